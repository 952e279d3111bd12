"""Files that are there as a whole or not at all, written by one process only, and how one is recognised."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from hashlib import blake2b, sha256
from pathlib import Path
from typing import BinaryIO

from aigdetect.errors import UsageError

_PARTIAL = ".aigdetect-{}.part"
IN_USE = "cannot be written (another scan is writing to it)"
"""What is said of a file that belongs to another process for now."""

FINGERPRINT_DIGITS = 24
"""Length of a :func:`fingerprint`."""


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


def is_partial(path: Path) -> bool:
    """Whether a file is one in the making (:class:`Draft`), or what a database keeps beside such a one."""
    return fnmatch(path.name, _PARTIAL.format("*") + "*")


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed while it wrote into a folder left behind.

    Raises:
        UsageError: if something cannot be removed.
    """
    with writing(folder):
        for path in filter(is_partial, folder.iterdir()):
            path.unlink(missing_ok=True)


class Draft:
    """A file in the making beside the one whose place it is to take; see :func:`draft_beside`.

    Attributes:
        path: where it is, under a name that nobody can guess.
        file: open for writing.
    """

    def __init__(self, target: Path) -> None:
        # a name of fixed length: the target's own may fill what the file system allows
        self.path = target.with_name(_PARTIAL.format(secrets.token_hex(8)))
        self.kept = False
        with writing(target):
            self.file: BinaryIO = self.path.open("xb")  # never through a link that somebody has put there

    def finish(self) -> None:
        """Close it once all of it is on disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def keep(self, kept: bool = True) -> None:
        """Leave it where it is at the end of the block, or not after all."""
        self.kept = kept


@contextlib.contextmanager
def draft_beside(target: Path) -> Iterator[Draft]:
    """A new file in a target's folder, which is gone after the block unless it was kept or has moved.

    Raises:
        UsageError: if it cannot be made.
    """
    draft = Draft(target)
    try:
        yield draft
    finally:
        with contextlib.suppress(OSError, ValueError):
            draft.file.close()
        if not draft.kept:
            with contextlib.suppress(OSError):
                draft.path.unlink()


@contextlib.contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` once all of it is there and on disk.

    A crash at any moment, and any exception inside the block, leaves what was there before.

    Raises:
        UsageError: if it cannot be opened, closed or put in its place; nothing is left behind. What is
            written inside the block needs a :func:`writing` of its own.
    """
    with draft_beside(path) as draft:
        yield draft.file
        with writing(path):
            draft.finish()
            draft.path.replace(path)


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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return sha256_of(file)


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of all that is left to read in an open file, as hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    digest = sha256()
    while block := file.read(1 << 20):  # hashlib.file_digest came with Python 3.11
        digest.update(block)
    return digest.hexdigest()


def path_digest(path: str) -> bytes:
    """A short digest of an absolute path: links are resolved in its folder, not in its name."""
    return blake2b(_absolute(path), digest_size=FINGERPRINT_DIGITS // 2).digest()


def fingerprint(path: str, archive: str | None = None) -> str:
    """Fingerprint of a file by absolute path, size and time of change; of the path alone if it is gone.

    Args:
        path: the file.
        archive: the file that it lies in, whose size and time count; None: it lies by itself.
    """
    try:
        status = os.stat(path if archive is None else archive)  # noqa: PTH116 - many small files: pathlib costs more than the call itself
        state = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        state = "gone"
    return blake2b(_absolute(path) + b"\0" + state.encode(), digest_size=FINGERPRINT_DIGITS // 2).hexdigest()


def _absolute(path: str) -> bytes:
    """What :mod:`aigdetect.images.find` tells files apart by: of ``link/..`` the text alone knows nothing."""
    folder, name = os.path.split(path)
    try:
        folder = os.path.realpath(folder)
    except ValueError:  # a name that no file can have
        folder = os.path.abspath(folder)  # noqa: PTH100
    return os.fsencode(os.path.join(folder, name))  # noqa: PTH118
