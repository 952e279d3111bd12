"""The chunks of a PNG file (https://www.w3.org/TR/png-3/)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from aigdetect.formats.block import MAX_BLOCKS, Block, cut

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks(data: bytes) -> Iterator[Block]:
    """The chunks of a PNG file, the last one perhaps cut off, up to a number; their checksums are not read.

    Args:
        data: the whole file, from its signature on.
    """
    return islice(_chunks(data), MAX_BLOCKS)


def _chunks(data: bytes) -> Iterator[Block]:
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield cut(data, kind.decode("latin-1"), at + 8, at + 8 + size)
        at += 12 + size
