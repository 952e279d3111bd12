"""The items of a HEIC or AVIF file that describe its picture (ISO/IEC 14496-12, 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from aigdetect.formats.block import Block, cut
from aigdetect.formats.boxes import boxes

_MAX_ITEMS = 1 << 12
_MAX_EXTENTS = 1 << 8  # of one item
_MAX_ALL_EXTENTS = 1 << 14
_MAX_REFERENCES = 1 << 14
_MAX_GIVEN = 64


@dataclass
class _Item:
    """What is said of an item: its kind, where its parts are, and which items it describes."""

    kind: str = ""
    within: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)
    describes: set[int] = field(default_factory=set)


def items(data: bytes, meta: Block, wanted: Collection[str], most: int) -> Iterator[Block]:
    """The items of a meta box that describe the picture that is shown, and those that do not say which.

    Args:
        data: the whole file.
        meta: its box ``"meta"``.
        wanted: their types, ``"Exif"`` for instance, or those of their content: ``"application/rdf+xml"``.
        most: longest content put together of the parts of all items, in bytes.

    Yields:
        blocks by their type, up to a number. What lies outside the file is left out.
    """
    found: dict[int, _Item] = {}
    inner = {box.kind: box for box in reversed([*boxes(data, meta.offset + 4, meta.end)])}
    readers = {"iinf": _kinds, "iloc": _places, "iref": _references}
    for kind, read in readers.items():
        if kind in inner:
            try:
                read(data, inner[kind].offset, inner[kind].end, found)
            except (struct.error, IndexError):  # cut off: what came before counts
                continue
    shown = _shown(inner.get("pitm"))
    own = inner.get("idat")
    asked = [item for item in found.values() if item.kind in wanted]
    telling = [item for item in asked if shown in item.describes]
    for item in islice(telling + [item for item in asked if not item.describes], _MAX_GIVEN):
        block = _content(data, item, own, most)
        most -= len(block.data) if len(item.extents) > 1 else 0
        yield block


def _shown(primary: Block | None) -> int:
    """The number of the item that is the picture shown."""
    content = primary.head(8) if primary else b""
    return int.from_bytes(content[4 : 8 if content[:1] > b"\0" else 6], "big")


def _kinds(data: bytes, at: int, end: int, found: dict[int, _Item]) -> None:
    """iinf: what each item is."""
    for box in boxes(data, at + (8 if data[at] else 6), end):
        version = data[box.offset] if box.kind == "infe" and box.data else 0
        if version < 2:
            continue
        name = ">xxxxHxx4s" if version == 2 else ">xxxxIxx4s"
        number, kind = struct.unpack_from(name, data, box.offset)
        if kind == b"mime":
            # its name, which may be empty, and the type of its content
            texts = box.head(4096)[struct.calcsize(name) :].split(b"\0")
            kind = next((text for text in texts[1:2]), b"")
        _item(found, number).kind = kind.decode("latin-1")


def _places(data: bytes, at: int, end: int, found: dict[int, _Item]) -> None:
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

    extents, left = sizes[3] + sizes[0] + sizes[1], _MAX_ALL_EXTENTS
    for _ in range(min(take(4 if version == 2 else 2), _MAX_ITEMS)):
        item = _item(found, take(4 if version == 2 else 2))
        method = take(2) & 15 if version else 0
        elsewhere = take(2)  # in another file
        base = take(sizes[2])
        count = take(2)
        read = min(count, left, _MAX_EXTENTS - len(item.extents)) if method < 2 and not elsewhere else 0
        for _ in range(read):
            take(sizes[3])
            item.extents.append((base + take(sizes[0]), take(sizes[1])))
        left -= read
        take((count - read) * extents)
        item.within = method == 1


def _references(data: bytes, at: int, end: int, found: dict[int, _Item]) -> None:
    """iref: which item describes which."""
    wide = data[at] != 0
    number, size = ("I", 4) if wide else ("H", 2)
    left = _MAX_REFERENCES
    for box in boxes(data, at + 4, end):
        if box.kind == "cdsc":
            source, count = struct.unpack_from(f">{number}H", data, box.offset)
            count = min(count, (len(box.data) - size - 2) // size, left)
            left -= count
            _item(found, source).describes.update(
                struct.unpack_from(f">{count}{number}", data, box.offset + size + 2)
            )


def _item(found: dict[int, _Item], number: int) -> _Item:
    if number not in found and len(found) >= _MAX_ITEMS:
        return _Item()
    return found.setdefault(number, _Item())


def _content(data: bytes, item: _Item, own: Block | None, most: int) -> Block:
    """The bytes of an item, out of the file or the meta box's own data."""
    first, stop = (own.offset if own else 0, own.end if own else 0) if item.within else (0, len(data))
    if len(item.extents) == 1:
        ((offset, length),) = item.extents
        begin = first + offset
        return cut(data, item.kind, begin, begin + length if length else stop, stop)
    parts, left = [], most
    for offset, length in item.extents:
        begin = first + offset
        part = data[begin : min(stop, begin + min(length or stop, left))] if begin < stop else b""
        parts.append(part)
        left -= len(part)
    whole = b"".join(parts)
    start = first + item.extents[0][0] if item.extents else 0
    return Block(item.kind, start, max(len(whole), sum(size for _, size in item.extents)), memoryview(whole))
