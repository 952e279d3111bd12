"""Photoshop's image resources, in its own files, in JPEG and in TIFF.

https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/#50577409_pgfId-1037504
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from aigdetect.formats.block import Block

MAX_BYTES = 8 << 20
"""Most bytes of resources that are looked at."""

IPTC, EXIF, XMP = 0x0404, 0x0422, 0x0424
"""Numbers of the resources that hold metadata."""

VERSION, QUALITY = 0x0421, 0x0406
"""Numbers of those that say which program wrote the file, and how it compressed it as a JPEG."""

_MAX_RESOURCES = 1 << 12


def resources(block: Block) -> Iterator[tuple[int, Block]]:
    """Number and content of Photoshop's image resources, up to the first that is damaged."""
    data, at = block.head(MAX_BYTES), 0
    for _ in range(_MAX_RESOURCES):
        if data[at : at + 4] != b"8BIM" or at + 7 > len(data):
            return
        name = data[at + 6] + 1
        start = at + 6 + name + name % 2
        if start + 4 > len(data):
            return
        (kind,), (size,) = struct.unpack_from(">H", data, at + 4), struct.unpack_from(">I", data, start)
        yield kind, block.part(start + 4, start + 4 + size)
        at = start + 4 + size + size % 2
