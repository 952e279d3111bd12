"""Where outputs of the frozen tower are kept between epochs and runs: in memory, or in mapped files."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.files import write_atomically

#: with the choice ``auto``, outputs are kept up to this many bytes if the recipe names no budget
AUTO_BYTES = 6 << 30
#: folder of the files in that of the model to come
TABLES_NAME = ".tokens"

_KEY_BYTES = 32
# so many rows may be lost in a crash
_SETTLED = 64


class Table:
    """Equally long rows of numbers, each found by the SHA-256 of the image it belongs to.

    On disk a table is a folder: its settings, and pairs of files that each writer has made for itself, rows
    and the keys of those that are whole. So a writer that is killed loses at most the last few rows, several
    may write at once, and whoever opens the table later finds what all of them have left, and gives back the
    room that a killed one had taken for more.

    Args:
        settings: what the rows are; tables of other settings are others.
        width: numbers in a row.
        dtype: dtype of all.
        folder: where tables lie; None keeps the rows in memory, for this process alone.

    Raises:
        UsageError: if the folder cannot be used.
    """

    def __init__(
        self, settings: Mapping[str, Any], width: int, dtype: torch.dtype, *, folder: Path | None
    ) -> None:
        self._width, self._dtype = width, dtype
        self._bytes = width * dtype.itemsize
        self._places: dict[bytes, tuple[int, int]] = {}
        self._parts: list[Tensor] = []
        self._writer: _Writer | None = None
        self._added = 0
        self._folder = None
        if folder is not None:
            text = json.dumps({**settings, "width": width, "dtype": str(dtype)}, sort_keys=True, indent=1)
            self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_atomically(self._folder / "settings.json", text.encode())
                self._give_back()
            except OSError as error:
                raise UsageError(f"cache: {folder} cannot be used ({error.strerror})") from error
            self.share()

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def reserve(self, count: int) -> None:
        """Take the room for so many rows more: nothing may fail for lack of it later.

        Raises:
            UsageError: if the memory or the disk does not hold them.
        """
        if not count:
            return
        try:
            if self._folder is None:
                self._parts.append(torch.empty((count, self._width), dtype=self._dtype))
                self._added = 0
            else:
                self._writer = _Writer(self._folder, count * self._bytes)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            place = f"{self._folder.parent} ({reason})" if self._folder else "memory"
            raise UsageError(
                f"cache: {_gib(count * self._bytes)} of tokens do not fit into {place}; use "
                "fewer copies or --cache none"
            ) from error

    def add(self, key: bytes, row: Tensor) -> None:
        """Add a row for which there is room; one on disk can be read after :meth:`share`.

        Raises:
            ValueError: if it has another length or dtype than the table's rows.
        """
        if row.shape != (self._width,) or row.dtype != self._dtype:
            raise ValueError(f"row {tuple(row.shape)} {row.dtype} is not ({self._width},) {self._dtype}")
        if self._writer is None:
            self._parts[-1][self._added] = row
            self._places[key] = (len(self._parts) - 1, self._added)
            self._added += 1
        else:
            self._writer.add(key, row)

    def settle(self) -> None:
        """Finish what was added: after this, it can be read by all."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def share(self) -> None:
        """Let this process read what all have written and settled so far."""
        if self._folder is None:
            return
        self.settle()
        self._places.clear()
        self._parts.clear()
        for index in sorted(self._folder.glob("*.keys")):
            keys = index.read_bytes()
            count = len(keys) // _KEY_BYTES
            part = self._map(index.with_suffix(".rows"), count) if count else None
            if part is None:
                continue
            for row in range(count):
                key = keys[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]
                self._places.setdefault(key, (len(self._parts), row))
            self._parts.append(part)

    def row(self, key: bytes, columns: slice = slice(None)) -> Tensor:
        """The row ``(width,)`` of an image, or some columns of it; not to be changed.

        Raises:
            KeyError: if there is none.
        """
        part, row = self._places[key]
        return self._parts[part][row, columns]

    def close(self) -> None:
        """Give the memory or the maps back; rows on disk stay there, and a table without any goes."""
        self.settle()
        self._parts.clear()
        self._places.clear()
        if self._folder is not None and not any(self._folder.glob("*.keys")):
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._folder.parent.name == TABLES_NAME:
                with suppress(OSError):  # other tables are there
                    self._folder.parent.rmdir()

    def _give_back(self) -> None:
        """Cut the files of writers that were killed to the rows that are whole."""
        assert self._folder is not None
        for path in self._folder.glob("*.lock"):
            with suppress(Timeout), FileLock(path, timeout=0):  # a writer at work holds it
                rows, keys = path.with_suffix(".rows"), path.with_suffix(".keys")
                whole = keys.stat().st_size // _KEY_BYTES if keys.exists() else 0
                if whole and rows.exists():
                    os.truncate(rows, min(whole * self._bytes, rows.stat().st_size))
                else:
                    rows.unlink(missing_ok=True)
                    keys.unlink(missing_ok=True)
                path.unlink()

    def _map(self, path: Path, count: int) -> Tensor | None:
        """The rows of one writer's file; None if the file is shorter than its keys say."""
        size = count * self._bytes
        with suppress(FileNotFoundError), path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size >= size:
                mapped = mmap.mmap(file.fileno(), size)
                return torch.frombuffer(mapped, dtype=self._dtype).view(count, self._width)
        return None


class _Writer:
    """A pair of files that one process fills: a key is written once its row is on disk.

    A third one is locked until then: who finds it free knows that the process was killed.
    """

    def __init__(self, folder: Path, size: int) -> None:
        stem = uuid.uuid4().hex
        self._paths = [folder / f"{stem}.rows", folder / f"{stem}.keys"]
        self._lock = FileLock(folder / f"{stem}.lock")
        self._lock.acquire()
        self._rows: BinaryIO = self._paths[0].open("w+b")
        try:
            # a disk that is full is noticed before anything is written
            _allocate(self._rows.fileno(), size)
            self._keys: BinaryIO = self._paths[1].open("w+b")
        except OSError:
            self._rows.close()
            self._paths[0].unlink()
            self._unlock()
            raise
        self._waiting: list[bytes] = []

    def add(self, key: bytes, row: Tensor) -> None:
        self._rows.write(row.contiguous().view(torch.uint8).numpy().tobytes())
        self._waiting.append(key)
        if len(self._waiting) >= _SETTLED:
            self._settle()

    def close(self) -> None:
        self._settle()
        self._rows.truncate()
        self._rows.close()
        empty = not self._keys.tell()
        os.fsync(self._keys.fileno())  # other machines may read them at once
        self._keys.close()
        if empty:
            for path in self._paths:
                path.unlink()
        self._unlock()

    def _unlock(self) -> None:
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _settle(self) -> None:
        self._rows.flush()
        os.fsync(self._rows.fileno())
        self._keys.write(b"".join(self._waiting))
        self._keys.flush()
        self._waiting.clear()


def remove_tables(folder: Path) -> None:
    """Remove the tables in a model folder."""
    shutil.rmtree(folder / TABLES_NAME, ignore_errors=True)


def place_for(
    choice: str, budget: int | None, size: int, folder: Path, *, alone: bool = True
) -> tuple[bool, Path | None]:
    """Whether to keep outputs, and the folder for their files (None for memory).

    Several processes share files in the place of memory: the system keeps those in memory, too, once for all
    processes of a machine, where there is room.

    Args:
        choice: ``auto``, ``memory``, ``disk`` or ``none``.
        budget: most bytes that may be kept; None as for :class:`aigdetect.training.recipe.Recipe`.
        size: bytes that there would be.
        folder: where files would lie.
        alone: whether this is the only process.

    Raises:
        UsageError: if ``memory`` or ``disk`` was asked for, and the budget is too small.
    """
    if choice == "none":
        return False, None
    if choice == "auto":
        keep = size <= (AUTO_BYTES if budget is None else budget)
        return keep, folder if keep and not alone else None
    if budget is not None and size > budget:
        raise UsageError(
            f"cache_budget: {_gib(budget)} are fewer than the {_gib(size)} of tokens; use fewer copies, a "
            "larger budget or --cache none"
        )
    return True, folder if choice == "disk" or not alone else None


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
