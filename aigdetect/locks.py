"""One run at a time in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from aigdetect.errors import UsageError
from aigdetect.files import writing

#: the file that a run holds locked; it is gone when the run has ended, unless that was killed
LOCK_NAME = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs; a lock that a killed run left does not count.

    Args:
        folder: it must exist.

    Raises:
        UsageError: if another run is in it, or it cannot be written into.
    """
    from filelock import FileLock, Timeout

    path = folder / LOCK_NAME
    lock = FileLock(path)
    with writing(path):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"{folder}: another run is writing into it; wait for it, or choose another --out"
            ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def require_alone(folder: Path) -> None:
    """Refuse a folder in which another run is writing; one that does not exist is free.

    Raises:
        UsageError: as :func:`alone_in`.
    """
    if (folder / LOCK_NAME).exists():
        with alone_in(folder):
            pass
