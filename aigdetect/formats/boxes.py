"""The boxes of HEIC, AVIF, JPEG XL and JPEG 2000 files (ISO/IEC 14496-12, 18181-2, 15444-1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from aigdetect.formats.block import Block, cut

_FIRST = (b"ftyp", b"JXL ", b"jP  ")
_MAX_BOXES = 1 << 12


def is_boxed(data: bytes) -> bool:
    """Whether a file begins with a box of one of these formats."""
    return data[4:8] in _FIRST


def boxes(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[Block]:
    """The boxes side by side between two places, cut off where these end, up to a number.

    Args:
        data: the whole file.
        begin: where the first box begins.
        end: where the outer box ends; that of the file by default.
    """
    return islice(_boxes(data, begin, len(data) if end is None else min(end, len(data))), _MAX_BOXES)


def _boxes(data: bytes, at: int, stop: int) -> Iterator[Block]:
    while at + 8 <= stop:
        size, kind, begin = *struct.unpack_from(">I4s", data, at), at + 8
        if size == 1 and at + 16 <= stop:
            (size,), begin = struct.unpack_from(">Q", data, at + 8), at + 16
        end = at + size if size else stop
        if end < begin:
            return
        yield cut(data, kind.decode("latin-1"), begin, end, stop)
        at = end
