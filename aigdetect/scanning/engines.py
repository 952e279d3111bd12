"""Who prepares files ahead of the model: threads of this process; their order stays that of the files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from aigdetect.images.find import Found
from aigdetect.images.views import Pixels
from aigdetect.scanning.preparation import Preparation, Prepared


class Engine(Protocol):
    """Prepares files in the background."""

    def prepared(self, items: Iterable[Found], *, ahead: int) -> Generator[Prepared, None, None]:
        """Prepare files, one :class:`Prepared` for each, in their order.

        Args:
            items: files, asked for one at a time.
            ahead: how many of them may be in the works before the first of them is asked for; a video counts
                as all the frames that it may give.
        """

    def pixels(self, path: str, sha256: str) -> Pixels | None:
        """All pixels of a file that was prepared before; None if it has changed or cannot be decoded now."""

    def close(self) -> None:
        """Give back what it holds."""


def default_workers() -> int:
    """How many files are read and decoded at once unless told otherwise."""
    return min(4, os.cpu_count() or 1)


class Threads:
    """Prepares files in threads: quick to start, at the mercy of what decoders do to the process.

    Args:
        prepare: what is done with each file.
        workers: number of threads.
    """

    def __init__(self, prepare: Preparation, workers: int) -> None:
        self._prepare = prepare
        self._workers = workers

    def prepared(self, items: Iterable[Found], *, ahead: int) -> Generator[Prepared, None, None]:
        """See :class:`Engine`; to close the generator does not wait for files that are being decoded."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        pending: deque[tuple[int, Future[Prepared]]] = deque()
        views = 0
        try:
            for item in items:
                pending.append((self._prepare.most_views(item), pool.submit(self._prepare, item)))
                views += pending[-1][0]
                while views >= ahead + self._workers and len(pending) > self._workers:
                    most, first = pending.popleft()
                    views -= most
                    yield first.result()
            for _, each in pending:
                yield each.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def pixels(self, path: str, sha256: str) -> Pixels | None:
        """See :class:`Engine`."""
        return self._prepare.pixels(path, sha256)

    def close(self) -> None:
        """Nothing is held between files."""
