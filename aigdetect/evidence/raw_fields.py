"""Every field of a file with its place: the blocks of the container, and what the known ones hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from aigdetect.evidence.field_names import BMP_HEADER, BOXES, GIF_SCREEN, JPEG_FRAME, PNG_HEADER, PSD_HEADER
from aigdetect.evidence.findings import clip, decoded
from aigdetect.evidence.jpeg_structure import read_segments, read_structure
from aigdetect.evidence.raw_blocks import (
    CHUNKS,
    MAX_BLOCK,
    RIFF,
    SEGMENTS,
    RawField,
    attempt,
    numbers,
    read_exif,
    read_jumbf,
    read_resources,
    read_xmp,
)
from aigdetect.formats import boxes, gif, jpeg, jumbf, png, riff, tiff

MAX_FIELDS = 10_000
"""Most fields of one file that are listed."""

SECONDS = 10.0
"""No further field of a file is looked for after this time."""

_MAX_DEPTH = 4
_NESTED = {"moov", "meta", "iprp", "ipco", "dinf", "iinf", "jp2h", "trak", "mdia"}


class RawFields(NamedTuple):
    """The fields of a file.

    Attributes:
        fields: in the order of the file, block by block.
        limit: what ended the list before the end of the file, in words; empty if nothing did.
    """

    fields: tuple[RawField, ...]
    limit: str = ""


def read_raw_fields(data: bytes, seconds: float = SECONDS) -> RawFields:
    """List the fields of a file, up to a number and for a time; never raises.

    Args:
        data: the whole file; it need not be sound.
        seconds: after which no further field is looked for.
    """
    end = time.monotonic() + seconds
    found: list[RawField] = []
    try:
        for field in _fields(data):
            if len(found) >= MAX_FIELDS:
                return RawFields(tuple(found), f"more than {MAX_FIELDS} fields")
            found.append(field)
            if time.monotonic() > end:
                return RawFields(tuple(found), "it takes too long")
    except Exception:  # noqa: BLE001 - what is listed so far counts, whatever follows
        return RawFields(tuple(found))
    return RawFields(tuple(found))


def _fields(data: bytes) -> Iterator[RawField]:
    if data.startswith(jpeg.SIGNATURE):
        return _jpeg(data)
    if data.startswith(png.SIGNATURE):
        return _png(data)
    if data.startswith(b"RIFF"):
        return _riff(data)
    if data.startswith(gif.SIGNATURES):
        return _gif(data)
    if data.startswith(tiff.SIGNATURES):
        return read_exif(data, 0, len(data))
    if data.startswith(b"8BPS"):
        return _psd(data)
    if data.startswith(b"BM"):
        return numbers("BMP", data, 0, 54, BMP_HEADER)
    if boxes.is_boxed(data):
        return _boxes(data, 0, len(data), 0)
    return iter(())


def _jpeg(data: bytes) -> Iterator[RawField]:
    built = read_structure(data)
    for each in read_segments(data):
        yield RawField("JPEG", each.name, "", each.offset, each.end - each.offset)
        begin, end = each.begin, each.end
        if each.name.startswith("SOF"):
            yield from numbers("JPEG", data, begin, end, JPEG_FRAME)
            if built and built.subsampling:
                yield RawField("JPEG", "YCbCrSubSampling", built.subsampling, begin + 6, end - begin - 6)
        elif each.name in SEGMENTS:
            skip, read = SEGMENTS[each.name]
            yield from attempt(read, data, begin + skip, end)
        elif each.name == "COM":
            yield RawField(
                "JPEG", "Comment", clip(decoded(data[begin : min(end, begin + 1000)])), begin, end - begin
            )


def _png(data: bytes) -> Iterator[RawField]:
    for chunk in png.chunks(data):
        yield RawField("PNG", chunk.kind, "", chunk.offset - 8, chunk.end - chunk.offset + 8)
        if chunk.kind == "IHDR":
            yield from numbers("PNG", data, chunk.offset, chunk.end, PNG_HEADER)
        elif chunk.kind in CHUNKS:
            yield from attempt(CHUNKS[chunk.kind], data, chunk.offset, chunk.end)
        elif chunk.kind == "IEND" and chunk.end + 4 < len(data):
            yield RawField("PNG", "trailer", "", chunk.end + 4, len(data) - chunk.end - 4)
            return


def _riff(data: bytes) -> Iterator[RawField]:
    for chunk in riff.chunks(data):
        yield RawField("RIFF", chunk.kind, "", chunk.offset - 8, chunk.end - chunk.offset + 8)
        if chunk.kind in RIFF:
            yield from attempt(RIFF[chunk.kind], data, chunk.offset, chunk.end)


_GIF_NAMES = {"image": "image", "comment": "Comment", "application": "application", "F9": "graphic control"}


def _gif(data: bytes) -> Iterator[RawField]:
    yield from numbers("GIF", data, 6, 13, GIF_SCREEN)
    start = gif.first_block(data)
    for block in gif.blocks(data):
        name = _GIF_NAMES.get(block.kind, f"extension 0x{block.kind}")
        text = _first_part(block.head(256)) if block.kind in ("comment", "application") else ""
        stop = min(block.end + 1, len(data))  # with the byte that ends its sub-blocks
        yield RawField("GIF", name, text, start, stop - start)
        if text.startswith("XMP Data"):
            yield from attempt(read_xmp, data, block.offset + 12, stop)
        start = stop


def _first_part(content: bytes) -> str:
    """The text of the first sub-block."""
    return clip(decoded(content[1 : 1 + content[0]])) if content else ""


def _psd(data: bytes) -> Iterator[RawField]:
    yield from numbers("PSD", data, 12, 26, PSD_HEADER)
    at = 30 + int.from_bytes(data[26:30], "big")
    size = int.from_bytes(data[at : at + 4], "big")
    yield from read_resources(data, at + 4, min(at + 4 + size, len(data)))


def _boxes(data: bytes, at: int, stop: int, depth: int) -> Iterator[RawField]:
    for box in boxes.boxes(data, at, stop):
        begin, end = box.offset, box.end
        yield RawField("box", box.kind, "", at, end - at)
        yield from numbers("box", data, begin, end, BOXES.get(box.kind, ()))
        if box.kind == "jumb":
            yield from attempt(read_jumbf, data, at, end)
        elif box.kind in _NESTED and depth < _MAX_DEPTH:
            skip = {"meta": 4, "iinf": 8 if box.head(1) > b"\0" else 6}.get(box.kind, 0)
            yield from _boxes(data, begin + skip, end, depth + 1)
        elif box.kind == "Exif":
            at_tiff = _tiff_in(data, begin, end)
            yield from attempt(read_exif, data, at_tiff, end) if at_tiff else ()
        elif box.kind == "uuid" and jumbf.MARK in box.head(64):
            yield from attempt(read_jumbf, data, begin + box.head(64).index(jumbf.MARK) - 12, end)
        elif box.kind in ("xml ", "uuid"):
            yield from attempt(read_xmp, data, begin, end)
        elif box.kind == "infe":
            yield RawField("box", "item", clip(decoded(box.head(200)[8:])), begin, end - begin)
        elif box.kind in ("mdat", "idat"):  # where HEIC and AVIF keep what their items say
            at_tiff = data.find(b"Exif\0\0", begin, min(end, begin + MAX_BLOCK))
            if at_tiff >= 0 and data[at_tiff + 6 : at_tiff + 8] in (b"II", b"MM"):
                yield from attempt(read_exif, data, at_tiff + 6, end)
            if data.find(b"<x:xmpmeta", begin, min(end, begin + MAX_BLOCK)) >= 0:
                yield from attempt(read_xmp, data, begin, end)
        at = end


def _tiff_in(data: bytes, begin: int, end: int) -> int:
    places = (data.find(mark, begin, min(end, begin + 64)) for mark in (b"II*\0", b"MM\0*"))
    return max(0, *places)
