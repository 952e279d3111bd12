"""Every field of a file with its place: the blocks of the container, and what the known ones hold."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aigdetect.evidence.containers import XMP_KEY
from aigdetect.evidence.directories import in_words
from aigdetect.evidence.field_names import (
    ADOBE,
    BOXES,
    GIF_SCREEN,
    ICC_HEADER,
    ICC_TAGS,
    INTEROPERABILITY,
    IPTC_DATA_SETS,
    JFIF,
    JPEG_FRAME,
    PHOTOSHOP_RESOURCES,
    PNG_CHRM,
    PNG_HEADER,
    PNG_PHYS,
    PSD_HEADER,
)
from aigdetect.evidence.findings import clip, decoded
from aigdetect.evidence.jpeg_structure import read_segments, read_structure
from aigdetect.evidence.packets import read_properties
from aigdetect.evidence.png_text import inflate, png_text
from aigdetect.formats import boxes, gif, jpeg, photoshop, png, riff, tiff
from aigdetect.formats.block import cut

MAX_FIELDS = 10_000
"""Most fields of one file that are listed."""

SECONDS = 10.0
"""No further field of a file is looked for after this time."""

_MAX_BLOCK = 8 << 20
_MAX_DEPTH = 4
_NESTED = {"moov", "meta", "iprp", "ipco", "dinf", "iinf", "jumb", "jp2h", "trak", "mdia"}


@dataclass(frozen=True)
class RawField:
    """One field.

    Attributes:
        group: the block that it stands in: ``"JPEG"``, ``"IFD0"``, ``"ExifIFD"``, ``"XMP-dc"``, ``"IPTC"``...
        name: as ExifTool and the standards have it, or a number.
        value: in words, cut where it is long; empty for blocks that are listed by themselves or not known.
        offset: where it begins in the file; of a text that is compressed, where that begins.
        length: how many bytes it takes there.
    """

    group: str
    name: str
    value: str
    offset: int
    length: int


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
        return _exif(data, 0, len(data))
    if data.startswith(b"8BPS"):
        return _psd(data)
    if boxes.is_boxed(data):
        return _boxes(data, 0, len(data), 0)
    return iter(())


# -- containers --------------------------------------------------------------------------------------------


def _jpeg(data: bytes) -> Iterator[RawField]:
    built = read_structure(data)
    for each in read_segments(data):
        yield RawField("JPEG", each.name, "", each.offset, each.end - each.offset)
        begin, end = each.begin, each.end
        if each.name.startswith("SOF"):
            yield from _numbers("JPEG", data, begin, end, JPEG_FRAME)
            if built and built.subsampling:
                yield RawField("JPEG", "YCbCrSubSampling", built.subsampling, begin + 6, end - begin - 6)
        elif each.name in _SEGMENTS:
            skip, read = _SEGMENTS[each.name]
            yield from _attempt(read, data, begin + skip, end)
        elif each.name == "COM":
            yield RawField(
                "JPEG", "Comment", clip(decoded(data[begin : min(end, begin + 1000)])), begin, end - begin
            )


def _png(data: bytes) -> Iterator[RawField]:
    for chunk in png.chunks(data):
        yield RawField("PNG", chunk.kind, "", chunk.offset - 8, chunk.end - chunk.offset + 8)
        if chunk.kind == "IHDR":
            yield from _numbers("PNG", data, chunk.offset, chunk.end, PNG_HEADER)
        elif chunk.kind in _CHUNKS:
            yield from _attempt(_CHUNKS[chunk.kind], data, chunk.offset, chunk.end)
        elif chunk.kind == "IEND" and chunk.end + 4 < len(data):
            yield RawField("PNG", "trailer", "", chunk.end + 4, len(data) - chunk.end - 4)
            return


def _png_text(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    key, value, _ = png_text(cut(data, decoded(data[begin - 4 : begin]), begin, end), _MAX_BLOCK)
    name = "XMP" if key == XMP_KEY else clip(key)
    yield RawField("PNG", name, "" if name == "XMP" else clip(decoded(value[:1000])), begin, end - begin)
    if name == "XMP":
        at = data.find(value[:64], begin, end)  # -1 where it is compressed
        for group, name, text, offset, length in read_properties(value):
            place = (at + offset, length) if at >= 0 else (begin, end - begin)
            yield RawField(group, name, text, *place)


def _riff(data: bytes) -> Iterator[RawField]:
    for chunk in riff.chunks(data):
        yield RawField("RIFF", chunk.kind, "", chunk.offset - 8, chunk.end - chunk.offset + 8)
        if chunk.kind in _RIFF:
            yield from _attempt(_RIFF[chunk.kind], data, chunk.offset, chunk.end)


_GIF_NAMES = {"image": "image", "comment": "Comment", "application": "application", "F9": "graphic control"}


def _gif(data: bytes) -> Iterator[RawField]:
    yield from _numbers("GIF", data, 6, 13, GIF_SCREEN)
    start = gif.first_block(data)
    for block in gif.blocks(data):
        name = _GIF_NAMES.get(block.kind, f"extension 0x{block.kind}")
        text = _first_part(block.head(256)) if block.kind in ("comment", "application") else ""
        stop = min(block.end + 1, len(data))  # with the byte that ends its sub-blocks
        yield RawField("GIF", name, text, start, stop - start)
        if text.startswith("XMP Data"):
            yield from _attempt(_xmp, data, block.offset + 12, stop)
        start = stop


def _first_part(content: bytes) -> str:
    """The text of the first sub-block."""
    return clip(decoded(content[1 : 1 + content[0]])) if content else ""


def _psd(data: bytes) -> Iterator[RawField]:
    yield from _numbers("PSD", data, 12, 26, PSD_HEADER)
    at = 30 + int.from_bytes(data[26:30], "big")
    size = int.from_bytes(data[at : at + 4], "big")
    yield from _resources(data, at + 4, min(at + 4 + size, len(data)))


def _boxes(data: bytes, at: int, stop: int, depth: int) -> Iterator[RawField]:
    for box in boxes.boxes(data, at, stop):
        begin, end = box.offset, box.end
        yield RawField("box", box.kind, "", at, end - at)
        yield from _numbers("box", data, begin, end, BOXES.get(box.kind, ()))
        if box.kind in _NESTED and depth < _MAX_DEPTH:
            skip = {"meta": 4, "iinf": 8 if box.head(1) > b"\0" else 6}.get(box.kind, 0)
            yield from _boxes(data, begin + skip, end, depth + 1)
        elif box.kind == "Exif":
            at_tiff = _tiff_in(data, begin, end)
            yield from _attempt(_exif, data, at_tiff, end) if at_tiff else ()
        elif box.kind in ("xml ", "uuid"):
            yield from _attempt(_xmp, data, begin, end)
        elif box.kind == "infe":
            yield RawField("box", "item", clip(decoded(box.head(200)[8:])), begin, end - begin)
        elif box.kind in ("mdat", "idat"):  # where HEIC and AVIF keep what their items say
            at_tiff = data.find(b"Exif\0\0", begin, min(end, begin + _MAX_BLOCK))
            if at_tiff >= 0 and data[at_tiff + 6 : at_tiff + 8] in (b"II", b"MM"):
                yield from _attempt(_exif, data, at_tiff + 6, end)
            if data.find(b"<x:xmpmeta", begin, min(end, begin + _MAX_BLOCK)) >= 0:
                yield from _attempt(_xmp, data, begin, end)
        at = end


def _tiff_in(data: bytes, begin: int, end: int) -> int:
    places = (data.find(mark, begin, min(end, begin + 64)) for mark in (b"II*\0", b"MM\0*"))
    return max(0, *places)


# -- what is in the blocks ---------------------------------------------------------------------------------

Reader = Callable[[bytes, int, int], Iterator[RawField]]


def _attempt(read: Reader, data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """What a reader lists before it fails: the rest of the file is listed all the same."""
    try:
        yield from read(data, begin, end)
    except Exception:  # noqa: BLE001 - the bytes may be anything
        return


def _numbers(
    group: str, data: bytes, begin: int, end: int, form: tuple[tuple[str, str], ...]
) -> Iterator[RawField]:
    """Whole numbers that stand one behind the other: name and code of ``struct`` with its byte order."""
    for name, code in form:
        size = struct.calcsize(code)
        if begin + size > end or begin + size > len(data):
            return
        if name:
            (value,) = struct.unpack_from(code, data, begin)
            text = decoded(value) if isinstance(value, bytes) else str(value)
            yield RawField(group, name, text, begin, size)
        begin += size


def _form(group: str, form: tuple[tuple[str, str], ...]) -> Reader:
    return lambda data, begin, end: _numbers(group, data, begin, end, form)


def _exif(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    from PIL.ExifTags import GPSTAGS, TAGS  # loaded for files that need it

    yield RawField("TIFF", "ExifByteOrder", decoded(data[begin : begin + 2]), begin, 2)
    names_of = {"GPS": GPSTAGS, "InteropIFD": INTEROPERABILITY}
    for entry in tiff.entries(memoryview(data)[begin:end]):
        name = names_of.get(entry.directory, TAGS).get(entry.tag, f"0x{entry.tag:04X}")
        place, length = begin + entry.value.offset, len(entry.value.data)
        yield RawField(entry.directory, name, in_words(entry), place, length)
        yield from _within(data, begin, entry)


def _within(data: bytes, begin: int, entry: tiff.Entry) -> Iterator[RawField]:
    """What a TIFF keeps in entries of its own."""
    readers: dict[int, Reader] = {0x02BC: _xmp, 0x83BB: _iptc, 0x8649: _resources, 0x8773: _icc}
    if entry.tag in readers and entry.directory == "IFD0":
        yield from _attempt(readers[entry.tag], data, begin + entry.value.offset, begin + entry.value.end)


def _xmp(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    at = data.find(b"<", begin, end)
    for group, name, text, offset, length in read_properties(data[at : min(end, at + _MAX_BLOCK)]):
        yield RawField(group, name, text, at + offset, length)


def _resources(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """Photoshop's image resources."""
    readers = {photoshop.IPTC: _iptc, photoshop.EXIF: _exif, photoshop.XMP: _xmp}
    for kind, block in photoshop.resources(cut(data, "resources", begin, end)):
        name = PHOTOSHOP_RESOURCES.get(kind, f"0x{kind:04X}")
        yield RawField("Photoshop", name, "", begin, block.end - begin)
        if kind in readers:
            yield from _attempt(readers[kind], data, block.offset, block.end)
        begin = block.offset + block.length + block.length % 2


def _iptc(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """Data sets of IPTC-IIM."""
    while begin + 5 <= end and data[begin] == 0x1C:
        record, number, size = (
            data[begin + 1],
            data[begin + 2],
            int.from_bytes(data[begin + 3 : begin + 5], "big"),
        )
        if size & 0x8000:
            return
        value = data[begin + 5 : min(begin + 5 + size, end)]
        name = IPTC_DATA_SETS.get((record, number), f"{record}:{number:02}")
        text = str(int.from_bytes(value, "big")) if number == 0 else clip(decoded(value[:1000]))
        yield RawField("IPTC", name, text, begin, 5 + len(value))
        begin += 5 + size


def _icc(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """Header and tags of a colour profile (ICC.1:2022, 7.2 and 7.3)."""
    for name, at, size in ICC_HEADER:
        value = data[begin + at : begin + at + size]
        text = clip(decoded(value)) if value.isascii() and value.strip(b"\0 ").isalnum() else value.hex()
        yield RawField("ICC-header", name, text, begin + at, size)
    count = min(int.from_bytes(data[begin + 128 : begin + 132], "big"), 200)
    for at in range(begin + 132, min(begin + 132 + 12 * count, end - 11), 12):
        name, offset, size = struct.unpack_from(">4sII", data, at)
        value = data[begin + offset : min(begin + offset + size, end)]
        text = clip(decoded(value[8:1000])) if value[:4] == b"text" else ""
        if value[:4] == b"desc":
            text = clip(decoded(value[12:200].split(b"\0", 1)[0]))
        elif value[:4] == b"mluc" and len(value) >= 28:
            length, place = struct.unpack_from(">II", value, 20)
            text = clip(value[place : place + min(length, 400)].decode("utf-16-be", "replace"))
        key = decoded(name).strip()
        yield RawField("ICC_Profile", ICC_TAGS.get(key, key), text, begin + offset, len(value))


def _vp8x(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    yield from _numbers("RIFF", data, begin, end, (("WebP_Flags", "<B"),))
    for name, at in (("ImageWidth", begin + 4), ("ImageHeight", begin + 7)):
        yield RawField("RIFF", name, str(1 + int.from_bytes(data[at : at + 3], "little")), at, 3)


def _vp8(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """The header of a key frame (RFC 6386, 9.1)."""
    if data[begin + 3 : begin + 6] == b"\x9d\x01\x2a":
        for name, at in (("ImageWidth", begin + 6), ("ImageHeight", begin + 8)):
            yield RawField("RIFF", name, str(int.from_bytes(data[at : at + 2], "little") & 0x3FFF), at, 2)


def _vp8l(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    if data[begin : begin + 1] == b"\x2f":
        bits = int.from_bytes(data[begin + 1 : begin + 5], "little")
        for name, value in (("ImageWidth", 1 + (bits & 0x3FFF)), ("ImageHeight", 1 + (bits >> 14 & 0x3FFF))):
            yield RawField("RIFF", name, str(value), begin + 1, 4)


def _png_icc(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """A compressed profile: its fields lie where it lies."""
    name = data[begin : min(end, begin + 80)].split(b"\0", 1)[0]
    yield RawField("PNG", "ProfileName", clip(decoded(name)), begin, len(name))
    profile = inflate(data[begin + len(name) + 2 : end], _MAX_BLOCK)
    for field in _icc(profile, 0, len(profile)):
        yield RawField(field.group, field.name, field.value, begin, end - begin)


def _png_time(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    year, *rest = struct.unpack_from(">HBBBBB", data, begin)
    date = (
        ":".join(f"{each:02}" for each in (year, *rest[:2]))
        + " "
        + ":".join(f"{each:02}" for each in rest[2:])
    )
    yield RawField("PNG", "ModifyDate", date, begin, end - begin)


_SEGMENTS: dict[str, tuple[int, Reader]] = {
    "APP0 JFIF": (5, _form("JFIF", JFIF)),
    "APP1 Exif": (6, _exif),
    "APP1 XMP": (29, _xmp),
    "APP2 ICC": (14, _icc),
    "APP2 MPF": (4, _exif),
    "APP13 Photoshop": (14, _resources),
    "APP14 Adobe": (5, _form("Adobe", ADOBE)),
}
_CHUNKS: dict[str, Reader] = {
    "tEXt": _png_text,
    "zTXt": _png_text,
    "iTXt": _png_text,
    "eXIf": _exif,
    "iCCP": _png_icc,
    "pHYs": _form("PNG", PNG_PHYS),
    "gAMA": _form("PNG", (("Gamma", ">I"),)),
    "sRGB": _form("PNG", (("SRGBRendering", ">B"),)),
    "cHRM": _form("PNG", PNG_CHRM),
    "tIME": _png_time,
}
_RIFF: dict[str, Reader] = {
    "EXIF": lambda data, begin, end: _exif(data, begin + 6 * data.startswith(b"Exif\0\0", begin), end),
    "XMP ": _xmp,
    "ICCP": _icc,
    "VP8X": _vp8x,
    "VP8 ": _vp8,
    "VP8L": _vp8l,
}
