"""Tensors of a safetensors file one by one: what is let go of leaves memory, whatever else is in use."""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 20  # bytes that are read at a time
_LARGE = 1 << 20  # bytes from which on a tensor is mapped and not read
_LENGTH = struct.Struct("<Q")
#: torch's names of the types that image towers come in
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies.

    Attributes:
        dtype: its type, in torch's words.
        shape: its shape.
        begin: first byte in the file.
        size: bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    size: int


class TensorFile:
    """A safetensors file; usable after it was closed, as far as tensors were taken out of it.

    Attributes:
        entries: by name, in the order of the file.
        metadata: what the file says of itself, text by name.
        status: owner, mode and the like of what was opened.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be read.
        safetensors.SafetensorError: if it is no safetensors file, or cut off.
        ValueError: if it holds a type that image towers do not come in.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, "np"):  # checks all of the header: types, sizes, that places lie side by side
            pass
        self._file: BinaryIO = path.open("rb")
        (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
        header = json.loads(self._file.read(length))
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self.status = os.fstat(self._file.fileno())
        self.entries = {name: _entry(told, _LENGTH.size + length) for name, told in header.items()}

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a tensor, a part at a time.

        Raises:
            EOFError: if the file has become shorter.
        """
        entry = self.entries[name]
        self._file.seek(entry.begin)
        for begin in range(0, entry.size, _PIECE):
            wanted = min(_PIECE, entry.size - begin)
            if len(piece := self._file.read(wanted)) < wanted:
                raise EOFError("the file has become shorter")
            yield piece

    def tensor(self, name: str) -> Tensor:
        """One tensor, of the type and shape that the file says.

        A large one is the file itself, mapped into memory for as long as the tensor lives and read as it is
        used; what is written to it stays in memory. A small one is read at once.
        """
        import torch

        entry = self.entries[name]
        dtype: torch.dtype = getattr(torch, entry.dtype)
        if not entry.size:
            return torch.empty(entry.shape, dtype=dtype)
        if entry.size < _LARGE:
            read = torch.frombuffer(bytearray().join(self.pieces(name)), dtype=dtype)
            return read.view(entry.shape).clone()  # to where torch puts tensors of its own
        before = entry.begin % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(
            self._file.fileno(), before + entry.size, access=mmap.ACCESS_COPY, offset=entry.begin - before
        )
        count = math.prod(entry.shape)
        return torch.frombuffer(mapped, dtype=dtype, offset=before, count=count).view(entry.shape)


def _entry(told: dict[str, Any], start: int) -> Entry:
    dtype, shape, (begin, end) = told["dtype"], told["shape"], told["data_offsets"]
    if dtype not in _DTYPES:
        raise ValueError(f"tensors of the type {dtype} are no weights of an image tower")
    return Entry(_DTYPES[dtype], tuple(shape), start + begin, end - begin)
