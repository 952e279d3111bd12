"""The boxes of HEIC, AVIF, JPEG XL and JPEG 2000 files that carry metadata (ISO/IEC 14496-12, 23008-12).

Only what the structure of the file says is metadata counts: bytes that look like it in a box of another kind,
free space for instance, are not read. Nothing has to be decodable, or even there, beyond these boxes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

MAX_BYTES = 8 << 20
"""Longest item of metadata that is looked at, in bytes."""

_MAX_BOXES = 1 << 12
_MAX_ITEMS = 1 << 12
_MAX_EXTENTS = 1 << 8
_TIFF = (b"II*\0", b"MM\0*")
_EXIF = b"Exif\0\0"
_XMP_TYPE = b"application/rdf+xml"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_UUID = b"JpgTiffExif->JP2"


@dataclass(frozen=True)
class Boxes:
    """What the boxes hold; empty where there is nothing.

    Attributes:
        exif: a TIFF structure.
        xmp: packets of XMP.
    """

    exif: bytes = b""
    xmp: tuple[bytes, ...] = ()


@dataclass
class _Item:
    """What is said of an item: its kind, where its parts are, and which items it describes."""

    kind: bytes = b""
    within: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)
    describes: set[int] = field(default_factory=set)


def read_boxes(data: bytes) -> Boxes:
    """Read the metadata of a file made of boxes; of several blocks of a kind the first counts."""
    exif, xmp = b"", b""
    for kind, begin, end in walk_boxes(data, 0, len(data)):
        body = data[begin : min(end, begin + MAX_BYTES)] if kind in (b"Exif", b"xml ", b"uuid") else b""
        if kind == b"meta" and not (exif and xmp):
            of_items = _read_items(data, begin + 4, end)
            exif, xmp = exif or of_items.exif, xmp or b"".join(of_items.xmp)
        elif kind == b"Exif" or body.startswith(_EXIF_UUID):
            exif = exif or _tiff(body.removeprefix(_EXIF_UUID))
        elif kind == b"xml " or body.startswith(_XMP_UUID):
            xmp = xmp or body.removeprefix(_XMP_UUID)
    return Boxes(exif, (xmp,) if xmp else ())


def walk_boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of the boxes between two places; the last may be cut off."""
    return islice(_all_boxes(data, at, stop), _MAX_BOXES)


def _all_boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= stop:
        size, kind, begin = *struct.unpack_from(">I4s", data, at), at + 8
        if size == 1 and at + 16 <= stop:
            (size,), begin = struct.unpack_from(">Q", data, at + 8), at + 16
        end = at + size if size else stop
        if end < begin:
            return
        yield kind, begin, min(end, stop)
        at = end


def _tiff(block: bytes) -> bytes:
    """The TIFF structure in a block of EXIF, behind an offset that a common writer leaves out."""
    for at in (4 + int.from_bytes(block[:4], "big"), 0, 4):
        structure = block[at:].removeprefix(_EXIF)
        if structure.startswith(_TIFF):
            return structure
    return b""


# -- items of a meta box -----------------------------------------------------------------------------------


def _read_items(data: bytes, begin: int, end: int) -> Boxes:
    """EXIF and XMP among the items of a meta box: those that describe the picture that is shown."""
    items: dict[int, _Item] = {}
    inner = {kind: (start, stop) for kind, start, stop in reversed([*walk_boxes(data, begin, end)])}
    readers = {b"iinf": _kinds, b"iloc": _places, b"iref": _references}
    for kind, read in readers.items():
        if kind in inner:
            try:
                read(data, *inner[kind], items)
            except (struct.error, IndexError):  # cut off: what came before counts
                continue
    start, stop = inner.get(b"pitm", (0, 0))
    wide = data[start : start + 1] > b"\0"
    shown = int.from_bytes(data[start + 4 : min(stop, start + (8 if wide else 6))], "big")
    own = inner.get(b"idat", (0, 0))
    exif = (_content(data, item, own) for item in _described(items, b"Exif", shown))
    xmp = (_content(data, item, own) for item in _described(items, _XMP_TYPE, shown))
    return Boxes(
        next((found for block in exif if (found := _tiff(block))), b""),
        tuple(filter(None, (next(xmp, b""),))),
    )


def _described(items: dict[int, _Item], kind: bytes, shown: int) -> list[_Item]:
    """Items of a kind that describe the picture shown, and behind them those that do not say which."""
    wanted = [item for item in items.values() if item.kind == kind]
    return [item for item in wanted if shown in item.describes] + [
        item for item in wanted if not item.describes
    ]


def _kinds(data: bytes, at: int, end: int, items: dict[int, _Item]) -> None:
    """iinf: what each item is."""
    for kind, start, stop in walk_boxes(data, at + (8 if data[at] else 6), end):
        version = data[start] if kind == b"infe" and stop > start else 0
        if version < 2:
            continue
        name = ">xxxxHxx4s" if version == 2 else ">xxxxIxx4s"
        number, kind = struct.unpack_from(name, data, start)
        if kind == b"mime":
            # its name, which may be empty, and the type of its content
            texts = data[start + struct.calcsize(name) : min(stop, start + 4096)].split(b"\0")
            kind = next((text for text in texts[1:2]), b"")
        _item(items, number).kind = kind


def _places(data: bytes, at: int, end: int, items: dict[int, _Item]) -> None:
    """iloc: where each item is."""
    version = data[at]
    sizes = [data[at + 4] >> 4, data[at + 4] & 15, data[at + 5] >> 4, data[at + 5] & 15 if version else 0]
    at += 6

    def take(size: int) -> int:
        nonlocal at
        at += size
        if at > end:
            raise struct.error
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(min(take(4 if version == 2 else 2), _MAX_ITEMS)):
        item = _item(items, take(4 if version == 2 else 2))
        method = take(2) & 15 if version else 0
        elsewhere = take(2)  # in another file
        base = take(sizes[2])
        count = take(2)
        for _ in range(count):
            take(sizes[3])
            extent = base + take(sizes[0]), take(sizes[1])
            if method < 2 and not elsewhere and len(item.extents) < _MAX_EXTENTS:
                item.extents.append(extent)
        item.within = method == 1


def _references(data: bytes, at: int, end: int, items: dict[int, _Item]) -> None:
    """iref: which item describes which."""
    wide = data[at] != 0
    number, size = ("I", 4) if wide else ("H", 2)
    for kind, start, stop in walk_boxes(data, at + 4, end):
        if kind == b"cdsc":
            source, count = struct.unpack_from(f">{number}H", data, start)
            count = min(count, (stop - start - size - 2) // size, _MAX_ITEMS)
            _item(items, source).describes.update(
                struct.unpack_from(f">{count}{number}", data, start + size + 2)
            )


def _item(items: dict[int, _Item], number: int) -> _Item:
    if number not in items and len(items) >= _MAX_ITEMS:
        return _Item()
    return items.setdefault(number, _Item())


def _content(data: bytes, item: _Item, own: tuple[int, int]) -> bytes:
    """The bytes of an item, out of the file or the meta box's own data; what lies outside is left out."""
    first, stop = own if item.within else (0, len(data))
    parts, left = [], MAX_BYTES
    for offset, length in item.extents:
        begin = first + offset
        part = data[begin : min(stop, begin + min(length or stop, left))] if begin < stop else b""
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
