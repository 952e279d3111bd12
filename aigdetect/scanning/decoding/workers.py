"""Worker processes that read and decode files, any of which may kill its worker and nothing else.

A decoder that crashes, eats memory or never ends costs its own file's score, and a new worker takes the place
of the one that died. Workers know no model: they start before torch is imported, from a server process that
has what decoding needs already loaded.

Time is bounded on every system, and a worker ends with its parent. Memory is bounded on Linux; elsewhere only
by the limits of images and files. Windows has no server process: workers start one by one.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from aigdetect.errors import UsageError
from aigdetect.evidence.provenance import SECONDS as METADATA_SECONDS
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import why_failed
from aigdetect.images.views import Pixels
from aigdetect.scanning.decoding.form import FormError
from aigdetect.scanning.decoding.messages import (
    answer_pixels,
    answer_prepared,
    receive_pixels,
    receive_prepared,
)
from aigdetect.scanning.decoding.pool import (
    Call,
    NoWorkerError,
    Pool,
    WorkerDiedError,
    WorkerLateError,
    preload,
)
from aigdetect.scanning.preparation import Preparation, Prepared, metadata_unread
from aigdetect.scanning.record import Cause, Record

TIMEOUT = 60.0
"""Seconds that one file may take unless told otherwise."""

MEMORY = 3 << 30
"""Bytes that a worker may take beyond what it has when it starts, for images of up to `MAX_PIXELS`.

Photographs of that size fit, also progressive ones with pictures drawn; 16-bit grey of it takes 3.2 GiB.
"""

_SLOWEST_DISK = 20e6  # bytes a second
_STACK = 16 << 20  # address space of one of a decoder's threads
_PRELOAD = "aigdetect.scanning.preparation"
_PRELOAD_PICTURES = "aigdetect.spectrum.small_picture"
_WINDOWS_ERROR = 0xC0000000  # statuses from here on are exceptions that nobody caught
_TO_DECODE = " to decode"
_log = logging.getLogger(__name__)


def start_server(*, pictures: bool = False) -> None:
    """Begin to load, in the background, what workers need: best called before anything slow.

    Without effect if it was called before, or where processes cannot be started in this way.

    Args:
        pictures: whether they will draw pictures.

    Raises:
        OSError: if no process can be started.
    """
    preload([_PRELOAD, *([_PRELOAD_PICTURES] if pictures else [])])


@dataclass
class _Job:
    item: Found
    prepare: Preparation
    future: Future[Prepared]
    failure: str = ""
    cause: Cause = "file"
    unread: str = ""

    def lost(self, failure: str, cause: Cause) -> bool:
        """Take note of a worker's end; whether a new one can do with less what is left to do.

        Digest and metadata without the pixels come first: if they can be had, the pixels were at fault. If
        not, the metadata were, and the pixels are tried without them, and at last the digest alone.
        """
        whole = self.prepare.metadata is not None
        if whole and self.prepare.decode:
            self.failure, self.cause = failure, cause
            self.prepare = self.prepare.without_pixels()
        elif whole:
            self.unread, self.failure, self.cause = failure, "", cause
            self.prepare = replace(self.prepare.without_metadata(), decode=True)
        elif self.prepare.decode:
            self.failure, self.cause = failure, cause
            self.prepare = self.prepare.without_pixels()
        else:
            self.failure, self.cause = self.failure or failure, cause
            return False
        return True

    def seconds(self, timeout: float) -> float:
        """How long a worker may take now; metadata have a time of their own, twice what is asked of them."""
        alone = self.prepare.metadata is not None and not self.prepare.decode
        return min(timeout, 2 * METADATA_SECONDS) if alone else timeout

    def completed(self, prepared: Prepared) -> Prepared:
        """What is known at last, with what could not be had."""
        record = prepared.record
        if self.unread:
            record = record.noted(metadata_unread(self.unread.removesuffix(_TO_DECODE)))
            record = replace(record, cause=self.cause)  # they may be had another time
        if self.failure:
            return Prepared(record.failed(self.failure, self.cause))
        return replace(prepared, record=record)


class Processes:
    """Prepares files in worker processes: see the module and :class:`aigdetect.scanning.engines.Engine`.

    Args:
        prepare: what is done with each file; it is sent to the workers.
        workers: number of processes.
        timeout: seconds that a file may take.
        memory: bytes that a worker may take beyond what it has when it starts; None for an amount that lets
            ``prepare.max_pixels`` be decoded.
    """

    def __init__(
        self, prepare: Preparation, workers: int, *, timeout: float = TIMEOUT, memory: int | None = None
    ) -> None:
        self._prepare = prepare
        self._workers = workers
        self._timeout = timeout
        self._memory = memory or MEMORY * max(1, -(-prepare.max_pixels // MAX_PIXELS))
        self._pool: Pool | None = None
        self._worked = False

    def prepared(self, items: Iterable[Found], *, ahead: int) -> Generator[Prepared, None, None]:
        """See :class:`aigdetect.scanning.engines.Engine`; to close the generator closes the engine."""
        pending: deque[_Job] = deque()
        views = 0
        try:
            for item in items:
                pending.append(self._submit(item))
                views += self._prepare.most_views(item)
                while views >= ahead + self._workers and len(pending) > self._workers:
                    views -= self._prepare.most_views(pending[0].item)
                    yield self._result(pending)
            while pending:
                yield self._result(pending)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers at once, whatever they are doing."""
        running, self._pool = self._pool, None
        if running is not None:
            running.close()

    def pixels(self, path: str, sha256: str) -> Pixels | None:
        """See :class:`aigdetect.scanning.engines.Engine`."""
        receive = partial(receive_pixels, most=self._prepare.max_pixels)
        call = Call(answer_pixels, (self._prepare, path, sha256), receive, self._timeout, path)
        try:
            return self._running().submit(call).result()
        except (WorkerDiedError, WorkerLateError, NoWorkerError, FormError, OSError, MemoryError):
            return None

    def _submit(self, item: Found) -> _Job:
        return _Job(item, self._prepare, self._schedule(self._prepare, item, self._timeout))

    def _schedule(self, prepare: Preparation, item: Found, seconds: float) -> Future[Prepared]:
        video = item.kind == "video"
        receive = partial(
            receive_prepared,
            path=item.path,
            frames=prepare.video.most if video else None,
            also=len(prepare.also),
        )
        path = None if item.kind == "error" else item.path
        if video:
            seconds += _reading(item.path)
        return self._running().submit(Call(answer_prepared, (prepare, item), receive, seconds, path))

    def _result(self, pending: deque[_Job]) -> Prepared:
        """What became of the first file; it leaves the queue."""
        job = pending[0]
        while True:
            try:
                prepared = job.future.result()
                self._worked = True
            except NoWorkerError:
                if not self._worked:
                    raise UsageError(
                        "no worker process can be started; --workers 0 does without them"
                    ) from None
                prepared = Prepared(Record(job.item.path).failed("the decoding process ended", "process"))
            except (WorkerDiedError, WorkerLateError, FormError) as error:
                failure, cause = self._why_lost(error)
                _log.debug("%r: %s", job.item.path, failure)
                if job.lost(failure, cause):
                    job.future = self._schedule(job.prepare, job.item, job.seconds(self._timeout))
                    continue
                prepared = Prepared(Record(job.item.path))
            except Exception as error:  # noqa: BLE001 - it could not be opened, or there is no room for it
                cause = "access" if isinstance(error, OSError) else "file"
                prepared = Prepared(Record(job.item.path).failed(why_failed(error), cause))
            pending.popleft()
            return job.completed(prepared)

    def _why_lost(self, error: WorkerDiedError | WorkerLateError | FormError) -> tuple[str, Cause]:
        if isinstance(error, WorkerLateError):
            return f"took longer than {self._timeout:g} s{_TO_DECODE}", "time"
        if isinstance(error, FormError):
            return "the decoder gave no proper answer", "file"
        code = error.status
        if code < 0 and -code == getattr(signal, "SIGKILL", None):
            return "out of memory: the system ended the process that decoded it", "memory"
        if code < 0 or code >= _WINDOWS_ERROR:
            return f"the decoder crashed ({_signal_name(code)})", "file"
        return f"the decoder ended its process (status {code})", "file"

    def _running(self) -> Pool:
        if self._pool is None:
            start_server(pictures=self._prepare.pictures)
            memory = self._memory + _STACK * (os.cpu_count() or 1)
            self._pool = Pool(self._workers, memory, known=self._prepare)
        return self._pool


def _reading(path: str) -> float:
    """Seconds that it may take to read a file of any size twice, without its holes, which are not on disk."""
    try:
        status = os.stat(path)  # noqa: PTH116 - paths stay as given
    except (OSError, ValueError):
        return 0.0
    size = status.st_size
    return 2 * min(size, 512 * getattr(status, "st_blocks", size)) / _SLOWEST_DISK


def _signal_name(code: int) -> str:
    """What ended a process, by its status: a signal, or on Windows an exception such as 0xC0000005."""
    if code >= _WINDOWS_ERROR:
        return f"0x{code:08X}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
