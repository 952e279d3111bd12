"""Every entry of the directories of a TIFF structure, EXIF's among them, with the place of its value.

What exifread gives has no places, and what :mod:`aigdetect.formats.tiff` gives is a choice of tags.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aigdetect.evidence.findings import clip, decoded

MAX_ENTRIES = 1 << 12
"""Most entries that are read out of one structure, over all its directories."""

_MAX_DIRECTORIES = 64
_MAX_VALUES = 16  # of one entry, put into words
_DEEPER = {0x8769: "ExifIFD", 0x8825: "GPS", 0xA005: "InteropIFD", 0x014A: "SubIFD"}
# by number of type: how many bytes one value has, and how struct reads it
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
_ASCII, _UTF8, _UNDEFINED = 2, 129, 7


@dataclass(frozen=True)
class Entry:
    """One entry of a directory.

    Attributes:
        directory: which: ``"IFD0"``, ``"IFD1"``..., ``"ExifIFD"``, ``"GPS"``, ``"InteropIFD"``, ``"SubIFD"``.
        tag: its number.
        kind: the number of its type, as written.
        count: how many values it says it has.
        offset: where its value begins, counted from the beginning of the structure.
        data: its value as stored, not copied, as many may point to the same; shorter than it says where the
            structure ends before.
        order: byte order, as struct has it.
    """

    directory: str
    tag: int
    kind: int
    count: int
    offset: int
    data: memoryview
    order: str

    def numbers(self) -> tuple[float, ...]:
        """Its first values as numbers, fractions divided; empty if they are none."""
        size, code = _TYPES.get(self.kind, (0, ""))
        if not size:
            return ()
        most = min(self.count, _MAX_VALUES, len(self.data) // size)
        values = struct.unpack(f"{self.order}{code * most}", self.data[: size * most])
        if len(code) == 1:
            return values
        return tuple(
            above / below if below else float("nan")
            for above, below in zip(values[::2], values[1::2], strict=True)
        )

    def text(self) -> str:
        """Its value in words, bounded in length."""
        if self.kind in (_ASCII, _UTF8) or (self.kind == _UNDEFINED and self._is_text()):
            return clip(decoded(bytes(self.data[:1000]).rstrip(b"\0 ")))
        numbers = self.numbers()
        if not numbers or (self.kind in (1, 6) and self.count > _MAX_VALUES):
            return f"({len(self.data)} bytes)"
        words = " ".join(f"{number:.10g}" for number in numbers)
        return words + (" ..." if self.count > len(numbers) else "")

    def _is_text(self) -> bool:
        return 0 < len(self.data) <= 64 and all(32 <= byte < 127 for byte in bytes(self.data).rstrip(b"\0"))


def read_entries(structure: bytes | memoryview) -> Iterator[Entry]:
    """Every entry, directory by directory, up to a number; of an entry that points out of it, what is there.

    Args:
        structure: from the byte order mark on; offsets count from there.
    """
    data = memoryview(structure)
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
    if not order or len(data) < 8:
        return
    waiting = [("IFD0", struct.unpack_from(f"{order}I", data, 4)[0])]
    seen: set[int] = set()
    left, number = MAX_ENTRIES, 0
    while waiting and len(seen) < _MAX_DIRECTORIES and left > 0:
        name, at = waiting.pop(0)
        if at in seen or not 8 <= at <= len(data) - 2:
            continue
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        count = min(count, left, (len(data) - at - 2) // 12)
        left -= count
        for start in range(at + 2, at + 2 + 12 * count, 12):
            entry = _entry(data, start, name, order)
            yield entry
            if entry.tag in _DEEPER:
                waiting += [(_DEEPER[entry.tag], int(each)) for each in entry.numbers() if each == each]
        behind = at + 2 + 12 * count
        if name.startswith("IFD") and behind + 4 <= len(data):
            number += 1
            waiting.append((f"IFD{number}", struct.unpack_from(f"{order}I", data, behind)[0]))


def _entry(data: memoryview, start: int, directory: str, order: str) -> Entry:
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, start)
    size = count * _TYPES.get(kind, (1, ""))[0]
    place = start + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, start + 8)[0]
    return Entry(directory, tag, kind, count, place, data[place : place + size], order)
