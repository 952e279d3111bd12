"""Files that are there as a whole or not at all, written by one process only, and how one is recognised."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from aigdetect.errors import UsageError

_PARTIAL = ".aigdetect-{}.part"
IN_USE = "cannot be written (another scan is writing to it)"
"""What is said of a file that belongs to another process for now."""

FINGERPRINT_DIGITS = 24
"""Length of a :func:`fingerprint`."""

_NUMBERS = itertools.count()  # one process may write several files at a time


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what the operating system says about a file that is written into an error that names it.

    Raises:
        UsageError: in the place of OSError and ValueError (a name that cannot be one).
        BrokenPipeError: as it is: the reader has gone, and the file is not at fault.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be written ({reason})") from error


def hold(file: io.FileIO | BinaryIO, path: str | Path) -> None:
    """Keep every other process from holding an open file, until it is closed; without effect on Windows.

    Args:
        file: a regular file.
        path: what to call it.

    Raises:
        UsageError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{path}: {IN_USE}") from error
    except OSError:  # a file system that knows no locks
        return


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed while it wrote into a folder left behind."""
    for path in folder.glob(_PARTIAL.format("*")):
        path.unlink()


@contextlib.contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` once all of it is there and on disk.

    A crash at any moment, and any exception inside the block, leaves what was there before.

    Raises:
        UsageError: if it cannot be opened, closed or put in its place; nothing is left behind. What is
            written inside the block needs a :func:`writing` of its own.
    """
    # a name of fixed length: the target's own may fill what the file system allows
    temporary = path.parent / _PARTIAL.format(f"{os.getpid()}-{next(_NUMBERS)}")
    try:
        with writing(path):
            file = temporary.open("wb")
        with contextlib.closing(file):
            yield file
            with writing(path):
                file.flush()
                os.fsync(file.fileno())
        with writing(path):
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in such a way that a crash at any moment leaves what was there before, or all of the new.

    Raises:
        UsageError: if it cannot be written; nothing is left behind.
    """
    with writing_atomically(path) as file, writing(path):
        file.write(data)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file as :func:`write_atomically` writes one.

    Raises:
        UsageError: if one cannot be read or the other not written; nothing is left behind.
    """
    with writing_atomically(target) as file, writing(target), source.open("rb") as opened:
        shutil.copyfileobj(opened, file)


def fingerprint(path: str) -> str:
    """Fingerprint of a file by absolute path, size and time of change; of the path alone if it is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116 - many small files: pathlib costs more than the call itself
        state = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        state = "gone"
    place = os.fsencode(os.path.abspath(path))  # noqa: PTH100 - links are not followed
    return blake2b(place + b"\0" + state.encode(), digest_size=FINGERPRINT_DIGITS // 2).hexdigest()
