"""The chunks of a RIFF file, of which WebP is one (https://developers.google.com/speed/webp/docs/riff_container)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from aigdetect.formats.block import MAX_BLOCKS, Block, cut


def is_webp(data: bytes) -> bool:
    """Whether a file says that it is a WebP."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def chunks(data: bytes) -> Iterator[Block]:
    """The outermost chunks behind the first twelve bytes, the last one perhaps cut off, up to a number."""
    return islice(_chunks(data), MAX_BLOCKS)


def _chunks(data: bytes) -> Iterator[Block]:
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        yield cut(data, kind.decode("latin-1"), at + 8, at + 8 + size)
        at += 8 + size + size % 2
