"""Images inside larger files, such as an archive of them: where each lies, and how it is read."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aigdetect.errors import ImageError
from aigdetect.images.read import MAX_BYTES


class Bytes(Protocol):
    """Something that holds the bytes of many images."""

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from an offset on; fewer where it ends.

        Raises:
            ImageError: if they cannot be read any more.
            OSError: likewise.
        """


@dataclass(frozen=True, slots=True)
class Member:
    """An image inside a larger file.

    Attributes:
        archive: path of that file.
        held: what holds its bytes: the file itself, or what was copied out of it.
        offset: where they begin there.
        size: how many they are.
    """

    archive: str
    held: Bytes = field(repr=False)
    offset: int
    size: int

    def read(self, max_bytes: int = MAX_BYTES) -> bytes:
        """The bytes of the image.

        Raises:
            ImageError: if they are too many, or cannot be read any more.
            OSError: if they cannot be read.
        """
        if self.size > max_bytes:
            raise ImageError(f"file too large: {self.size} bytes, the limit is {max_bytes}")
        data = self.held.read(self.offset, self.size)
        if len(data) < self.size:
            raise ImageError("cut off by the end of the archive")
        return data


@dataclass(frozen=True)
class FileBytes:
    """A file whose bytes are those of images, one after the other, with something between them.

    Attributes:
        path: the file.
        state: size and time of change that it must have.
    """

    path: str
    state: tuple[int, int]

    @classmethod
    def of(cls, path: str) -> FileBytes:
        """A file as it is now.

        Raises:
            OSError: if it is not there.
        """
        return cls(path, _state(Path(path).stat()))

    def read(self, offset: int, size: int) -> bytes:
        """See :class:`Bytes`."""
        with Path(self.path).open("rb", buffering=0) as file:
            if _state(os.fstat(file.fileno())) != self.state:
                raise ImageError("the archive has changed since it was looked into", passing=True)
            file.seek(offset)
            return file.read(size)


class Spool:
    """Bytes copied out of a file that must be read from its beginning, in a temporary file.

    It lies in the folder for temporary files (``TMPDIR``), and is gone with the program, however that ends.

    Attributes:
        size: how many bytes it has.

    Raises:
        OSError: if there is no place for it.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="aigdetect-")  # noqa: SIM115 - it lives as long as this
        self.size = 0
        self._alone = threading.Lock()

    def add(self, data: bytes) -> int:
        """Append an image.

        Returns:
            where it begins.

        Raises:
            OSError: if there is no room for it.
        """
        with self._alone:
            self._file.seek(self.size)
            self._file.write(data)
            begin = self.size
            self.size += len(data)
            return begin

    def read(self, offset: int, size: int) -> bytes:
        """See :class:`Bytes`."""
        with self._alone:
            self._file.seek(offset)
            return self._file.read(size)


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
