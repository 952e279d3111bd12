"""Values out of the directories of a TIFF structure, where exifread gives none within bounds.

exifread reads UserComment only along with maker notes, at any length, and XMP likewise, has no value of 1000
items or more unless it is text, and gives up a whole file for one damaged entry.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from aigdetect.formats.block import Block, cut

SIGNATURES = (b"II*\0", b"MM\0*")
EXIF_DIRECTORY = 0x8769
GPS_DIRECTORY = 0x8825

MAX_BYTES = 8 << 20
"""Most bytes that are read out of one structure."""

_MAX_ENTRIES = 1000
_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # every other type: one byte


def read_values(data: bytes, wanted: Collection[int]) -> dict[int, Block]:
    """Read values from the first directory of a TIFF structure and from its EXIF and GPS directories.

    Types are not checked: many programs get them wrong.

    Args:
        data: from the byte order mark on; offsets count from there.
        wanted: the tags to read.

    Returns:
        the value of each tag found, as stored, by its number; of a tag that comes twice, the first. What
        points out of the data is not whole.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
    if not order or len(data) < 8:
        return {}
    reader = _Reader(data, order)
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    found = reader.directory(first, {*wanted, EXIF_DIRECTORY, GPS_DIRECTORY})
    for deeper in (EXIF_DIRECTORY, GPS_DIRECTORY):
        pointer = found.pop(deeper, None)
        if pointer is not None and len(pointer.data) == 4:
            (offset,) = struct.unpack(f"{order}I", pointer.data)
            found = {**reader.directory(offset, wanted), **found}
    return found


class _Reader:
    """Reads directories until it has read too much."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._left = MAX_BYTES

    def directory(self, at: int, wanted: Collection[int]) -> dict[int, Block]:
        """The wanted values of the directory at an offset."""
        data, order = self._data, self._order
        found: dict[int, Block] = {}
        if at + 2 > len(data):
            return found
        (count,) = struct.unpack_from(f"{order}H", data, at)
        end = min(at + 2 + 12 * min(count, _MAX_ENTRIES), len(data) - 11)
        for start in range(at + 2, end, 12):
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, start)
            if tag not in wanted or tag in found:
                continue
            size = length * _SIZES.get(kind, 1)
            place = start + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, start + 8)[0]
            if size <= self._left:
                found[tag] = cut(data, f"{tag:04X}", place, place + size)
                self._left -= len(found[tag].data)
        return found
