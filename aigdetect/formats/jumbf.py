"""C2PA manifest stores, wherever in a file they lie: boxes of JUMBF (ISO/IEC 19566-5), perhaps in pieces.

Where they belong is for each container to say (C2PA 2.2, A.3); they are looked for beyond that.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from aigdetect.formats import boxes, gif, jpeg, png, riff
from aigdetect.formats.block import MAX_BLOCKS, Block

MARK = b"jumdc2pa"
"""What every manifest store has at its beginning, and nothing in it has again but another store."""

MAX_STORES = 4
"""Most stores of one file that are looked at."""

MAX_BYTES = 32 << 20
"""Most bytes of one store."""

MANIFEST_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""What a box ``"uuid"`` begins with that holds a store."""

_PLACES = ("before the pixels", "behind the pixels", "behind the end of the image", "behind another image")
_ANOTHER = 3
_MOVED = "moved"
_SHUFFLED = "moved, out of order or misnumbered"
_MAX_MARKS = 64
_MAX_PACKETS = 1 << 12
_SPACE = ("free", "skip")
_HEAD = 20  # of a box of JUMBF up to its mark, at most


@dataclass(frozen=True)
class Store:
    """One manifest store.

    Attributes:
        where: what holds it and where that stands, in words.
        pieces: where what holds it begins and ends in the file, each piece with its header.
        data: the box, put together.
        by_itself: whether it may as well belong to another image that is kept in this file: no block of the
            container accounts for it, or another image comes before it.
    """

    where: str
    pieces: tuple[tuple[int, int], ...]
    data: bytes = field(repr=False)
    by_itself: bool = False


def stores(data: bytes) -> Iterator[Store]:
    """The stores in blocks that are made for them, then those that stand elsewhere, up to a number.

    Args:
        data: the whole file.
    """
    return islice(_stores(data), MAX_STORES)


def _stores(data: bytes) -> Iterator[Store]:
    known: list[tuple[int, int]] = []
    for store in _in_blocks(data):
        known += store.pieces
        yield store
    at = 0
    for _ in range(_MAX_MARKS):
        at = data.find(MARK, at)
        if at < 0:
            return
        inside = next((end for begin, end in known if begin <= at < end), 0)
        begin, end = _box(data, at)
        if not inside and end:
            yield Store(f"at byte {begin}", ((begin, end),), data[begin : min(end, begin + MAX_BYTES)], True)
        at = max(inside, end, at + 1)


def _box(data: bytes, mark: int) -> tuple[int, int]:
    """Where the box begins and ends whose mark stands at a place; zeros if there is none around it."""
    for head, form in ((12, ">I"), (20, ">xxxxxxxxQ")):  # the length in four bytes, or in eight behind a 1
        begin = mark - head
        if begin >= 0 and data[begin + 4 : begin + 8] == b"jumb":
            (size,) = struct.unpack_from(form, data, begin)
            if head < size <= len(data) - begin:
                return begin, begin + size
    return 0, 0


def _in_blocks(data: bytes) -> Iterator[Store]:
    if data.startswith(jpeg.SIGNATURE):
        yield from _in_jpeg(data)
    elif data.startswith(png.SIGNATURE):
        place = 0
        for chunk in png.chunks(data):
            place = {"IDAT": 1, "IEND": 2}.get(chunk.kind, place)
            if chunk.kind == "caBX":
                yield _one(f"caBX {_where(place)}", chunk, 8, 4)
    elif riff.is_webp(data):
        end = 8 + int.from_bytes(data[4:8], "little")
        for chunk in riff.chunks(data):
            if chunk.kind == "C2PA":
                place = 2 if chunk.offset > end else 0
                yield _one(f"chunk C2PA {_where(place)}", chunk, 8, chunk.length % 2)
    elif data.startswith(gif.SIGNATURES):
        yield from _in_gif(data)
    elif boxes.is_boxed(data):
        yield from _in_boxes(data)


def _where(place: int) -> str:
    """Where a store in one piece stands: to be before the pixels is no fault in itself."""
    return _PLACES[place] if place else _MOVED


def _one(where: str, block: Block, before: int, behind: int) -> Store:
    """A store that one block holds, with so many bytes before and behind its content."""
    piece = (block.offset - before, block.end + behind)
    return Store(where, (piece,), block.head(MAX_BYTES))


def _in_boxes(data: bytes) -> Iterator[Store]:
    start = 0  # of the whole box, whose head has eight bytes or sixteen
    for box in boxes.boxes(data):
        head = box.head(64)
        if (box.kind == "jumb" or (box.kind == "uuid" and head.startswith(MANIFEST_UUID))) and MARK in head:
            begin = box.offset + head.index(MARK) - 12
            content = data[begin : min(box.end, begin + MAX_BYTES)]
            yield Store(f"box {box.kind} {_MOVED}", ((start, box.end),), content)
        elif box.kind in _SPACE and (at := data.find(MARK, box.offset, box.end)) >= 0:
            begin, end = _box(data, at)
            content = data[begin : min(end, begin + MAX_BYTES)]
            yield Store(f"in box {box.kind}", ((start, box.end),), content, True)
        start = box.end


def _in_gif(data: bytes) -> Iterator[Store]:
    place, end = 0, gif.first_block(data)
    for block in islice(gif.blocks(data), MAX_BLOCKS):
        place, end = place or block.kind == "image", block.end + 1
        if _is_extension(block):
            yield _extension(block, int(place))
    behind = data.find(b"!\xff\x0bC2PA_GIF", end)
    for block in islice(gif.blocks(data, behind), 1) if behind >= 0 else ():
        yield _extension(block, 2)


def _is_extension(block: Block) -> bool:
    return block.kind == "application" and block.head(12)[1:].startswith(b"C2PA_GIF")


def _extension(block: Block, place: int) -> Store:
    piece = (block.offset - 2, block.end + 1)
    return Store(f"extension C2PA_GIF {_where(place)}", (piece,), gif.joined(block, MAX_BYTES)[11:])


@dataclass(frozen=True)
class _Packet:
    """A piece of a store in a JPEG (ISO/IEC 19566-5, D.2).

    Attributes:
        number: its own among those of the store; the first may have 0 or 1.
        place: where it stands, as the place in :data:`_PLACES`.
        block: the segment.
    """

    number: int
    place: int
    block: Block


def _in_jpeg(data: bytes) -> Iterator[Store]:
    found: dict[tuple[bytes, int], list[_Packet]] = {}
    counts: Counter[tuple[bytes, int]] = Counter()
    segments = ((place, block) for place, block in _segments(data) if block.kind == "APP11")
    for place, block in islice(segments, _MAX_PACKETS):
        head = block.head(16)
        if not head.startswith(b"JP") or len(head) < 16:
            continue
        store, number = head[2:4] + head[12:16], int.from_bytes(head[4:8], "big")
        store += b"?" if place == _ANOTHER else b""
        # a number that comes again is that of another store
        found.setdefault((store, counts[store, number]), []).append(_Packet(number, place, block))
        counts[store, number] += 1
    for packets in found.values():
        in_order = sorted(packets, key=lambda packet: packet.number)
        if MARK in in_order[0].block.head(8 + _HEAD + len(MARK)):
            yield _of_packets(in_order)


def _segments(data: bytes) -> Iterator[tuple[int, Block]]:
    """The segments of a JPEG with their place."""
    place = 0
    for block in jpeg.segments(data):
        yield place, block
        if block.kind == "SOS":
            place = 1
        elif block.kind == "EOI":
            for another, behind in jpeg.segments_behind(data, block.offset, b"\xebJP"):
                yield _ANOTHER if another else 2, behind


def _of_packets(packets: list[_Packet]) -> Store:
    first = packets[0].block
    head = 16 if first.head(12)[8:] == b"\0\0\0\1" else 8  # each packet repeats the head of the box
    box = bytearray(first.head(8 + head)[8:])
    for packet in packets:
        box += packet.block.data[8 + head :]
        if len(box) >= MAX_BYTES:
            break
    places = sorted({packet.place for packet in packets})
    where = " and ".join(_PLACES[place] for place in places) if places != [0] else _SHUFFLED
    pieces = tuple(sorted((packet.block.offset - 4, packet.block.end) for packet in packets))
    return Store(f"APP11 {where}", pieces, bytes(box[:MAX_BYTES]), places == [_ANOTHER])
