"""Where the outputs of the frozen trunk are kept between epochs: in memory, or in a memory-mapped file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from aigdetect.errors import UsageError

#: with the choice ``auto``, tokens are kept in memory up to this many bytes
AUTO_BYTES = 6 << 30


class TokenStore:
    """A table of equally shaped tensors, filled once and read in any order.

    Args:
        rows: how many tensors.
        shape: shape of one.
        dtype: dtype of all.
        folder: write the table to a temporary file here, which goes with the store; None keeps it in memory.

    Raises:
        UsageError: if the memory or the disk does not hold it.
    """

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: torch.dtype, *, folder: Path | None) -> None:
        self._file = None
        size = (rows, *shape)
        try:
            if folder is None:
                self._table = torch.empty(size, dtype=dtype)
            else:
                self._file = tempfile.NamedTemporaryFile(dir=folder, prefix=".tokens-")  # noqa: SIM115
                count = torch.Size(size).numel()
                flat = torch.from_file(self._file.name, shared=True, size=count, dtype=dtype)
                self._table = flat.view(size)
        except (OSError, RuntimeError) as error:
            needed = torch.Size(size).numel() * dtype.itemsize / 2**30
            place = folder or "memory"
            raise UsageError(
                f"cache: {needed:.1f} GiB of tokens do not fit into {place}; use fewer copies or --cache none"
            ) from error

    def __setitem__(self, rows: slice, values: Tensor) -> None:
        self._table[rows] = values

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self._table[rows]

    def close(self) -> None:
        """Give the memory or the file back."""
        del self._table
        if self._file is not None:
            self._file.close()


def place_for(
    choice: str, rows: int, shape: tuple[int, ...], dtype: torch.dtype, folder: Path
) -> tuple[bool, Path | None]:
    """Whether to keep tokens, and the folder for their file (None for memory).

    Args:
        choice: ``auto``, ``memory``, ``disk`` or ``none``.
        rows: how many tensors there would be.
        shape: shape of one.
        dtype: dtype of all.
        folder: where a file would lie.
    """
    small = rows * torch.Size(shape).numel() * dtype.itemsize <= AUTO_BYTES
    keep = choice in {"memory", "disk"} or (choice == "auto" and small)
    return keep, folder if choice == "disk" else None
