"""Worker processes that read and decode files, any of which may kill its worker and nothing else.

A decoder that crashes, eats memory or never ends costs its own file's score, and a new worker takes the place
of the one that died. Workers know no model: they start before torch is imported, from a server process that
has what decoding needs already loaded.

Time is bounded on every system, and a worker ends with its parent. Memory is bounded on Linux; elsewhere only
by the limits of images and files. Windows has no server process: workers start one by one.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from aigdetect.errors import UsageError
from aigdetect.evidence.provenance import SECONDS as METADATA_SECONDS
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import why_failed
from aigdetect.images.views import Pixels
from aigdetect.scanning.preparation import Preparation, Prepared, metadata_unread
from aigdetect.scanning.record import Cause, Record

TIMEOUT = 60.0
"""Seconds that one file may take unless told otherwise."""

MEMORY = 3 << 30
"""Bytes that a worker may take beyond what it has when it starts, for images of up to `MAX_PIXELS`.

Photographs of that size fit, also progressive ones with pictures drawn; 16-bit grey of it takes 3.2 GiB.
"""

_STACK = 16 << 20  # address space of one of a decoder's threads
_FILES_PER_WORKER = 2000  # whatever a decoder leaks goes with its process
_TRIES = 3  # of a file whose worker was not at fault
_PRELOAD = "aigdetect.scanning.preparation"
_PRELOAD_PICTURES = "aigdetect.spectrum.thumbnail"
# one arena: each thread of a decoder would reserve address space for its own, and count against the limit
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_WINDOWS_ERROR = 0xC0000000  # statuses from here on are exceptions that nobody caught
_TO_DECODE = " to decode"
_log = logging.getLogger(__name__)

T = TypeVar("T")


def start_server(*, pictures: bool = False) -> None:
    """Begin to load, in the background, what workers need: best called before anything slow.

    Without effect if it was called before, or where processes cannot be started in this way.

    Args:
        pictures: whether they will draw pictures.

    Raises:
        OSError: if no process can be started.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload([_PRELOAD, *([_PRELOAD_PICTURES] if pictures else [])])
        with _inherited():
            forkserver.ensure_running()


@dataclass
class _Job:
    item: Found
    prepare: Preparation
    future: Future[Prepared]
    tries: int = 1
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
            self.unread, self.failure = failure, ""
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
        self._pool: ProcessPool | None = None
        self._worked = False

    def prepared(self, items: Iterable[Found], *, ahead: int) -> Generator[Prepared, None, None]:
        """See :class:`aigdetect.scanning.engines.Engine`; to close the generator closes the engine."""
        pending: deque[_Job] = deque()
        try:
            for item in items:
                pending.append(self._submit(item))
                if len(pending) >= ahead + self._workers:
                    yield self._result(pending)
            while pending:
                yield self._result(pending)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers at once, whatever they are doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()

    def pixels(self, path: str, sha256: str) -> Pixels | None:
        """See :class:`aigdetect.scanning.engines.Engine`."""
        try:
            return self._schedule(self._prepare.pixels, path, sha256).result()
        except (ProcessExpired, TimeoutError, BrokenProcessPool):
            return None

    def _submit(self, item: Found) -> _Job:
        return _Job(item, self._prepare, self._schedule(self._prepare, item))

    def _schedule(self, function: Callable[..., T], *args: Any, timeout: float | None = None) -> Future[T]:
        try:
            future: Future[T] = self._running().schedule(
                function, args=args, timeout=timeout or self._timeout
            )
        except (BrokenProcessPool, RuntimeError) as error:
            future = Future()
            future.set_exception(BrokenProcessPool(str(error)))
        return future

    def _result(self, pending: deque[_Job]) -> Prepared:
        """What became of the first file; it leaves the queue."""
        job = pending[0]
        while True:
            try:
                prepared = job.future.result()
                self._worked = True
            except BrokenProcessPool:
                if job.tries >= _TRIES and not self._worked:
                    raise UsageError(
                        "no worker process can be started; --workers 0 does without them"
                    ) from None
                if job.tries >= _TRIES:
                    prepared = Prepared(Record(job.item.path).failed("the decoding process ended", "process"))
                else:
                    self._begin_anew(pending)
                    continue
            except (ProcessExpired, TimeoutError) as error:
                failure, cause = self._why_died(error)
                _log.debug("%r: %s", job.item.path, failure)
                if job.lost(failure, cause):
                    job.future = self._schedule(job.prepare, job.item, timeout=job.seconds(self._timeout))
                    continue
                prepared = Prepared(Record(job.item.path))
            except Exception as error:  # noqa: BLE001 - what came back cannot be understood
                prepared = Prepared(Record(job.item.path).failed(why_failed(error)))
            pending.popleft()
            return job.completed(prepared)

    def _why_died(self, error: ProcessExpired | TimeoutError) -> tuple[str, Cause]:
        if isinstance(error, TimeoutError):
            return f"took longer than {self._timeout:g} s{_TO_DECODE}", "time"
        code = int(error.exitcode or 0)
        if code < 0 and -code == getattr(signal, "SIGKILL", None):
            return "out of memory: the system ended the process that decoded it", "memory"
        if code < 0 or code >= _WINDOWS_ERROR:
            return f"the decoder crashed ({_signal_name(code)})", "file"
        return f"the decoder ended its process (status {code})", "file"

    # -- the pool ------------------------------------------------------------------------------------------

    def _running(self) -> ProcessPool:
        if self._pool is None:
            start_server(pictures=self._prepare.pictures)
            self._pool = ProcessPool(
                self._workers,
                max_tasks=_FILES_PER_WORKER,
                initializer=begin_work,
                initargs=(self._memory + _STACK * (os.cpu_count() or 1),),
                context=process_context(),
            )
        return self._pool

    def _begin_anew(self, pending: Iterable[_Job]) -> None:
        """Give all that went down with the workers to new ones."""
        self.close()
        for job in pending:
            if not job.future.done() or isinstance(job.future.exception(), BrokenProcessPool):
                job.tries += 1
                job.future = self._schedule(job.prepare, job.item)


def _signal_name(code: int) -> str:
    """What ended a process, by its status: a signal, or on Windows an exception such as 0xC0000005."""
    if code >= _WINDOWS_ERROR:
        return f"0x{code:08X}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def process_context() -> BaseContext:
    """How workers are started: from the server, or one by one where there is none."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """Start a process deaf to the keyboard's interrupt, and with libraries told to take little memory."""
    kept = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    handler: Any = None
    with contextlib.suppress(ValueError):  # another thread than the main one may not
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


# -- inside a worker ---------------------------------------------------------------------------------------


def begin_work(memory: int) -> None:
    """Set the limits of a worker, before its first file; call it inside the worker.

    Args:
        memory: bytes that it may take beyond what it has now.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ends it even in the middle of a decoder
    _end_with_parent()
    _limit_memory(memory)
    _silence()


def _end_with_parent() -> None:
    """Make the kernel end this process when its parent goes, whatever it is doing then."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    try:
        import fcntl
    except ImportError:  # Windows
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()
        return
    # the sentinel is a pipe whose other end only the parent has: SIGIO comes when it closes
    sentinel: int = parent.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)


def _wait_for(sentinel: int) -> None:
    """End this process when another has ended; a decoder that holds Python's lock delays that."""
    wait([sentinel])
    os._exit(1)


def _limit_memory(size: int) -> None:
    """Let this process take ``size`` bytes more than it has, where the system can hold it to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # pixels of evidence stay out of core files
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux
        return
    limit = pages * resource.getpagesize() + size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _silence() -> None:
    """What C libraries say of broken files is not for the terminal."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    os.close(devnull)
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
