"""The directories of a TIFF structure, EXIF's among them (TIFF 6.0; Exif 3.0, CIPA DC-008).

exifread gives no places, reads UserComment only along with maker notes, at any length, and XMP likewise, has
no value of 1000 items or more unless it is text, and gives up a whole file for one damaged entry.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aigdetect.formats.block import Block, cut

SIGNATURES = (b"II*\0", b"MM\0*")

MAX_BYTES = 8 << 20
"""Most bytes that :func:`read_values` gives of one structure."""

MAX_ENTRIES = 1 << 14
"""Most entries that are read out of one structure, over all its directories."""

MAX_VALUES = 16
"""Most values of one entry that are given as numbers."""

_MAX_IN_DIRECTORY = 1 << 12
_MAX_DIRECTORIES = 64
_MAX_MET = 1 << 12  # places of directories, most of which may be none
_EXIF, _GPS = "ExifIFD", "GPS"
_DEEPER = {0x8769: _EXIF, 0x8825: _GPS, 0xA005: "InteropIFD", 0x014A: "SubIFD"}
# by number of type: how many bytes one value has, and how struct reads it; of all others, bytes
_TYPES = {
    1: (1, "B"),
    3: (2, "H"),
    4: (4, "I"),
    5: (8, "II"),
    6: (1, "b"),
    8: (2, "h"),
    9: (4, "i"),
    10: (8, "ii"),
    11: (4, "f"),
    12: (8, "d"),
    13: (4, "I"),
}


@dataclass(frozen=True)
class Entry:
    """One entry of a directory.

    Attributes:
        directory: which: ``"IFD0"``, ``"IFD1"``..., ``"ExifIFD"``, ``"GPS"``, ``"InteropIFD"``, ``"SubIFD"``.
        tag: its number.
        kind: the number of its type, as written; many programs get it wrong.
        count: how many values it says it has.
        value: as stored, its place counted from the beginning of the structure. It is not copied, as many
            entries may point to the same, and not whole where the structure ends before it does.
        order: byte order, as struct has it.
    """

    directory: str
    tag: int
    kind: int
    count: int
    value: Block
    order: str

    def numbers(self) -> tuple[float, ...]:
        """Its first values as numbers, fractions divided; empty if they are none."""
        size, code = _TYPES.get(self.kind, (0, ""))
        if not size:
            return ()
        most = min(self.count, MAX_VALUES, len(self.value.data) // size)
        values = struct.unpack(f"{self.order}{code * most}", self.value.data[: size * most])
        if len(code) == 1:
            return values
        return tuple(
            above / below if below else float("nan")
            for above, below in zip(values[::2], values[1::2], strict=True)
        )


def entries(structure: bytes | memoryview) -> Iterator[Entry]:
    """Every entry, directory by directory, up to a number; each directory once, however many lead to it.

    The directories that entries of one lead to come before the one that follows it in the chain.

    Args:
        structure: from the byte order mark on; offsets count from there.
    """
    data = memoryview(structure)
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
    if not order or len(data) < 8:
        return
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    waiting, met = deque([("IFD0", first)]), {first}
    read, left, number = 0, MAX_ENTRIES, 0

    def meet(name: str, at: int) -> None:
        if at not in met and len(met) < _MAX_MET:
            met.add(at)
            waiting.append((name, at))

    while waiting and read < _MAX_DIRECTORIES and left > 0:
        name, at = waiting.popleft()
        if not 8 <= at <= len(data) - 2:
            continue
        (said,) = struct.unpack_from(f"{order}H", data, at)
        count = min(said, left, _MAX_IN_DIRECTORY, (len(data) - at - 2) // 12)
        read, left = read + 1, left - count
        for start in range(at + 2, at + 2 + 12 * count, 12):
            entry = _entry(data, start, name, order)
            yield entry
            for each in entry.numbers() if entry.tag in _DEEPER else ():
                if isinstance(each, int):
                    meet(_DEEPER[entry.tag], each)
        behind = at + 2 + 12 * said
        if name.startswith("IFD") and behind + 4 <= len(data):
            number += 1
            meet(f"IFD{number}", *struct.unpack_from(f"{order}I", data, behind))


def _entry(data: memoryview, start: int, directory: str, order: str) -> Entry:
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, start)
    size = count * _TYPES.get(kind, (1, ""))[0]
    place = start + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, start + 8)[0]
    return Entry(directory, tag, kind, count, cut(data, f"{tag:04X}", place, place + size), order)


def read_values(structure: bytes | memoryview, wanted: Collection[int]) -> dict[int, Block]:
    """Read values from the first directory of a TIFF structure and from its EXIF and GPS directories.

    Types are not checked: many programs get them wrong.

    Args:
        structure: from the byte order mark on; offsets count from there.
        wanted: the tags to read.

    Returns:
        the value of each tag found, as stored, by its number; of a tag that comes twice, the first. What
        points out of the data is not whole; what is longer than all that may be read is left out.
    """
    found: dict[int, Block] = {}
    left = MAX_BYTES
    for entry in entries(structure):
        read = entry.directory in ("IFD0", _EXIF, _GPS) and entry.tag in wanted
        if read and entry.tag not in found and entry.value.length <= left:
            found[entry.tag] = entry.value
            left -= len(entry.value.data)
    return found
