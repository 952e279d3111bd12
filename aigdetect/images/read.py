"""Read the bytes of a file that may be anything, and say in one line why it failed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from aigdetect.errors import ImageError, TooLargeError

MAX_BYTES = 1 << 30
"""Files of more bytes than this are not read."""

_CHANGED = "changed while it was read"


def read_bytes(path: str | int, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a regular file once.

    Args:
        path: the file, or a descriptor of it, which is closed.
        max_bytes: how large it may be.

    Raises:
        ImageError: if it is too large, not a regular file, or was written to meanwhile.
        OSError: if it cannot be read.
    """
    with open_regular(path) as (file, info):
        if info.st_size > max_bytes:
            raise ImageError(f"file too large: {info.st_size} bytes, the limit is {max_bytes}")
        parts, left = [], info.st_size
        while left and (part := file.read(left)):  # one call may give less than all
            parts.append(part)
            left -= len(part)
        if left:
            raise ImageError(_CHANGED, passing=True)
        require_unchanged(file, info)
        return parts[0] if len(parts) == 1 else b"".join(parts)


@contextmanager
def open_regular(path: str | int) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """A regular file, open for reading, and its state.

    Args:
        path: the file, or a descriptor of it, which is closed.

    Raises:
        ImageError: if it is not a regular file.
        OSError: if it cannot be opened.
    """
    with open(path, "rb", buffering=0, opener=open_without_waiting) as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise ImageError("not a regular file", passing=True)
        yield cast(BinaryIO, file), info


def require_unchanged(file: BinaryIO, before: os.stat_result) -> None:
    """Refuse a file that was written to meanwhile.

    Raises:
        ImageError: if its size or time of change is another than before.
    """
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ImageError(_CHANGED, passing=True)


def open_without_waiting(path: str, flags: int) -> int:
    """Opener for :func:`open` that does not wait for a writer, should a pipe have taken the file's place."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def why_failed(error: BaseException) -> str:
    """Why a file failed, in one line."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    if isinstance(error, TooLargeError):
        return f"{error}; --max-pixels allows more"
    text = str(error) if isinstance(error, ImageError) else f"{type(error).__name__}: {error}"
    return " ".join(text[:500].split())
