"""The picture that a camera put into a raw photograph: the largest JPEG that the file's structure names."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_STARTS = {
    **{b"II*\0": "<", b"MM\0*": ">"},
    b"IIU\0": "<",  # Panasonic's
    **{b"IIRO": "<", b"IIRS": "<", b"MMOR": ">"},  # Olympus's
}
_FUJIFILM = b"FUJIFILMCCD-RAW"
_MAX_DIRECTORIES = 32
_MAX_ENTRIES = 1000
_MAX_VALUES = 64

_COMPRESSION, _OFFSETS, _ORIENTATION, _LENGTHS, _DEEPER = 0x0103, 0x0111, 0x0112, 0x0117, 0x014A
_JPEG, _JPEG_LENGTH, _PANASONIC_JPEG = 0x0201, 0x0202, 0x002E
_JPEG_COMPRESSIONS = (6, 7)

# Olympus keeps the picture in its notes, whose places count from their own beginning: the settings of the
# camera name it; https://exiftool.org/TagNames/Olympus.html
_EXIF, _MAKER_NOTE = 0x8769, 0x927C
_OLYMPUS = {b"OLYMPUS\0": 8, b"OM SYSTEM\0\0\0": 12}  # where the order of bytes stands
_SETTINGS, _SETTINGS_JPEG, _SETTINGS_JPEG_LENGTH = 0x2020, 0x0101, 0x0102

# Canon's CR3: boxes as in a film, with a track for each picture; https://github.com/lclevy/canon_cr3
_CR3 = b"ftypcrx "
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_MAX_BOXES = 1000

_FORMATS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I"}


@dataclass(frozen=True)
class Preview:
    """A picture inside a raw photograph.

    Attributes:
        data: a JPEG file.
        orientation: in which the photograph is to be shown, as EXIF counts; 1 if nothing is said.
    """

    data: bytes
    orientation: int = 1


@dataclass
class _Found:
    """What was met in the directories of a file."""

    places: list[tuple[int, int]] = field(default_factory=list)
    orientation: int = 1


def find_preview(data: bytes) -> Preview | None:
    """The largest picture that a raw photograph holds as a JPEG of the usual kind; None if there is none.

    Args:
        data: the whole file: one made of TIFF directories (DNG, CR2, NEF, ARW ...), RW2, ORF, RAF or CR3.
    """
    found = _Found()
    if data.startswith(_FUJIFILM) and len(data) >= 92:
        found.places.append(struct.unpack_from(">II", data, 84))
    elif data[:4] in _STARTS:
        _walk(data, _STARTS[data[:4]], found)
    elif data[4:12] == _CR3:
        _look_into_boxes(data, found)
    pictures = [data[at : at + length] for at, length in found.places if length]
    largest = max(pictures, key=_pixels, default=b"")
    return Preview(largest, found.orientation) if _pixels(largest) else None


def _walk(data: bytes, order: str, found: _Found) -> None:
    """Look through all directories, from the first one on."""
    waiting, seen = [int(struct.unpack_from(f"{order}I", data, 4)[0])] if len(data) >= 8 else [], set[int]()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        at = waiting.pop(0)
        if at in seen or at + 2 > len(data):
            continue
        seen.add(at)
        values = dict(_entries(data, at, order))
        waiting += (*values.get(_DEEPER, ()), *values.get(_EXIF, ()))
        end = at + 2 + 12 * int(struct.unpack_from(f"{order}H", data, at)[0])
        if end + 4 <= len(data):
            waiting.append(int(struct.unpack_from(f"{order}I", data, end)[0]))
        if len(seen) == 1 and values.get(_ORIENTATION):
            found.orientation = values[_ORIENTATION][0]
        found.places += zip(values.get(_JPEG, ()), values.get(_JPEG_LENGTH, ()), strict=False)
        if len(values.get(_OFFSETS, ())) == 1 and values.get(_COMPRESSION, (0,))[0] in _JPEG_COMPRESSIONS:
            found.places += zip(values[_OFFSETS], values.get(_LENGTHS, ()), strict=False)
        for note in values.get(_MAKER_NOTE, ()):
            _look_into_note(data, note, found)


def _look_into_note(data: bytes, at: int, found: _Found) -> None:
    """Take in the picture that the notes of an Olympus name."""
    begin = next((length for name, length in _OLYMPUS.items() if data.startswith(name, at)), None)
    if begin is None:
        return
    order = ">" if data.startswith(b"MM", at + begin) else "<"
    for settings in dict(_entries(data, at + begin + 4, order, at)).get(_SETTINGS, ()):
        values = dict(_entries(data, at + settings, order, at))
        places = (at + place for place in values.get(_SETTINGS_JPEG, ()))
        found.places += zip(places, values.get(_SETTINGS_JPEG_LENGTH, ()), strict=False)


def _entries(data: bytes, at: int, order: str, base: int = 0) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Tags and whole numbers of a directory, whose places count from a base.

    Of notes and of Panasonic's picture it is the place where they lie, which is in the entry.
    """
    if at + 2 > len(data):
        return
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for start in range(at + 2, min(at + 2 + 12 * min(count, _MAX_ENTRIES), len(data) - 11), 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, start)
        code = _FORMATS.get(kind, "")
        if not code:
            continue
        size = length * struct.calcsize(code)
        place = start + 8 if size <= 4 else base + struct.unpack_from(f"{order}I", data, start + 8)[0]
        if tag == _PANASONIC_JPEG:
            yield _JPEG, (place,)
            yield _JPEG_LENGTH, (size,)
        elif tag == _MAKER_NOTE:
            yield tag, (place,)
        elif length <= _MAX_VALUES and place + size <= len(data):
            yield tag, struct.unpack_from(f"{order}{length}{code}", data, place)


def _look_into_boxes(data: bytes, found: _Found) -> None:
    """Take in the first picture of each track of a CR3, and the orientation."""
    waiting, left = [(0, len(data))], _MAX_BOXES
    lengths: list[int] = []
    while waiting and left:
        at, end = waiting.pop()
        if at + 8 > end:
            continue
        left -= 1
        (size,), kind, begin = struct.unpack_from(">I", data, at), data[at + 4 : at + 8], at + 8
        if size == 1 and at + 16 <= end:
            (size,), begin = struct.unpack_from(">Q", data, begin), at + 16
        stop = min(at + size, end) if size else end
        if stop < begin:
            continue
        waiting.append((stop, end))
        if kind in _PARENTS:
            waiting.append((begin, stop))
        elif kind == b"uuid" and data[begin : begin + 16] == _CANON:
            waiting.append((begin + 16, stop))
        elif kind == b"CMT1" and data[begin : begin + 4] in _STARTS:
            first = _Found()
            _walk(data[begin:stop], _STARTS[data[begin : begin + 4]], first)
            found.orientation = first.orientation
        elif kind == b"stsz" and stop - begin >= 12:  # before the place, in each track
            same, count = struct.unpack_from(">II", data, begin + 4)
            one = begin + 12 if not same and count and stop - begin >= 16 else begin + 4
            lengths = list(struct.unpack_from(">I", data, one))
        elif kind in (b"co64", b"stco") and stop - begin >= 16:
            places = struct.unpack_from(">Q" if kind == b"co64" else ">I", data, begin + 8)
            found.places += zip(places, lengths, strict=False)


def _pixels(picture: bytes) -> int:
    """Number of pixels of a JPEG by its header; 0 if it is none, or lossless, of the kind for raw data."""
    at = 2
    while picture[:2] == b"\xff\xd8" and at + 9 <= len(picture) and picture[at] == 0xFF:
        marker, size = picture[at + 1], int.from_bytes(picture[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack_from(">HH", picture, at + 5)
            return int(height * width)
        if marker == 0xDA or marker == 0xC3:
            break
        at += 2 + size
    return 0
