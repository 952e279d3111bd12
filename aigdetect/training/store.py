"""Where the outputs of the frozen trunk are kept between epochs: in memory, or in memory-mapped files."""

from __future__ import annotations

import mmap
import os
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.training.distributed import ALONE, Group

#: with the choice ``auto``, tokens are kept up to this many bytes if the recipe names no budget
AUTO_BYTES = 6 << 30
#: token files, by the rank of the process that writes one
_FILE = ".tokens-{rank}"


class TokenStore:
    """A table of equally shaped tensors, filled once and read in any order.

    Each process of a group fills the rows of its images, and after :meth:`share` reads those of all.

    Args:
        images: how many images.
        copies: rows of each.
        shape: shape of one tensor.
        dtype: dtype of all.
        folder: put the rows into a file here, one per process, which is gone with the process whatever ends
            it; None keeps them in memory, and no other process sees them.
        group: the processes.

    Raises:
        UsageError: if the memory or the disk does not hold it.
    """

    def __init__(
        self,
        images: int,
        copies: int,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        *,
        folder: Path | None,
        group: Group = ALONE,
    ) -> None:
        self._shape, self._dtype, self._folder, self._group = shape, dtype, folder, group
        self._bounds = [copies * bound for bound in group.bounds(images)]
        self._first = self._bounds[group.rank]
        rows = self._bounds[group.rank + 1] - self._first
        try:
            if folder is None:
                self._own = torch.empty((rows, *shape), dtype=dtype)
            else:
                self._own = self._map(group.rank, rows, create=True)
        except (OSError, RuntimeError, ValueError) as error:
            place = f"{folder} ({getattr(error, 'strerror', error)})" if folder else "memory"
            raise UsageError(
                f"cache: {_gib(rows * _row_bytes(shape, dtype))} of tokens do not fit into {place}; use "
                "fewer copies or --cache none"
            ) from error
        self._parts = [self._own]

    def __setitem__(self, rows: slice, values: Tensor) -> None:
        self._own[rows.start - self._first : rows.stop - self._first] = values

    def __getitem__(self, rows: Tensor) -> Tensor:
        if len(self._parts) == 1:
            return self._own[rows]
        out = torch.empty((len(rows), *self._shape), dtype=self._dtype)
        for part, (first, end) in zip(self._parts, pairwise(self._bounds), strict=True):
            here = (rows >= first) & (rows < end)
            out[here] = part[rows[here] - first]
        return out

    def share(self) -> None:
        """Let every process read what all have written.

        Raises:
            UsageError: if the folder is not the same for all of them.
        """
        if self._folder is None:
            return
        self._group.wait()
        if not self._group.alone:
            try:
                self._parts = [
                    self._map(rank, end - first, create=False) if rank != self._group.rank else self._own
                    for rank, (first, end) in enumerate(pairwise(self._bounds))
                ]
            except OSError as error:
                raise UsageError(
                    f"cache: {self._folder} does not hold the tokens of every process "
                    f"({error.strerror}); put --out where all machines see it, or use --cache none"
                ) from error
            self._group.wait()
        # without a name the file goes with the processes that map it, even if they are killed
        self._path(self._group.rank).unlink()

    def close(self) -> None:
        """Give the memory or the files back."""
        del self._own, self._parts
        if self._folder is not None:
            self._path(self._group.rank).unlink(missing_ok=True)

    def _path(self, rank: int) -> Path:
        assert self._folder is not None
        return self._folder / _FILE.format(rank=rank)

    def _map(self, rank: int, rows: int, *, create: bool) -> Tensor:
        """The rows of a process's file; its own is made, and its space taken before anything is written."""
        size = rows * _row_bytes(self._shape, self._dtype)
        if not size:
            self._path(rank).touch()
            return torch.empty((rows, *self._shape), dtype=self._dtype)
        with self._path(rank).open("w+b" if create else "r+b") as file:
            if create:
                try:
                    # written through a map, a full disk would be a signal that ends the process
                    _allocate(file.fileno(), size)
                except OSError:
                    self._path(rank).unlink()
                    raise
            mapped = mmap.mmap(file.fileno(), size)
        return torch.frombuffer(mapped, dtype=self._dtype).view(rows, *self._shape)


def remove_leftovers(folder: Path) -> None:
    """Remove token files that a killed run left behind."""
    for path in folder.glob(_FILE.format(rank="*")):
        path.unlink()


def place_for(
    choice: str, budget: int | None, size: int, folder: Path, *, alone: bool = True
) -> tuple[bool, Path | None]:
    """Whether to keep tokens, and the folder for their files (None for memory).

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


def _row_bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return torch.Size(shape).numel() * dtype.itemsize


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
