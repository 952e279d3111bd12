"""The fields in blocks of a container: EXIF, XMP, IPTC-IIM, Photoshop's resources, profiles, JUMBF."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aigdetect.evidence.containers import XMP_KEY
from aigdetect.evidence.directories import in_words
from aigdetect.evidence.field_names import (
    ADOBE,
    ICC_HEADER,
    ICC_TAGS,
    INTEROPERABILITY,
    IPTC_DATA_SETS,
    JFIF,
    MPF_TAGS,
    PHOTOSHOP_RESOURCES,
    PNG_CHRM,
    PNG_PHYS,
)
from aigdetect.evidence.findings import clip, decoded
from aigdetect.evidence.packets import read_properties
from aigdetect.evidence.png_text import inflate, png_text
from aigdetect.formats import boxes, photoshop, tiff
from aigdetect.formats.block import cut

MAX_BLOCK = 8 << 20
"""Most bytes of one block that are read."""

_MAX_DEPTH = 8
_MAX_IMAGES = 32
_MPF_IMAGES = 0xB002


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


Reader = Callable[[bytes, int, int], Iterator[RawField]]
"""Lists the fields between two places of a file."""


def attempt(read: Reader, data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """What a reader lists before it fails: the rest of the file is listed all the same."""
    try:
        yield from read(data, begin, end)
    except Exception:  # noqa: BLE001 - the bytes may be anything
        return


def numbers(
    group: str, data: bytes, begin: int, end: int, names: tuple[tuple[str, str], ...]
) -> Iterator[RawField]:
    """Whole numbers that stand one behind the other: name and code of ``struct`` with its byte order."""
    for name, code in names:
        size = struct.calcsize(code)
        if begin + size > end or begin + size > len(data):
            return
        if name:
            (value,) = struct.unpack_from(code, data, begin)
            text = decoded(value) if isinstance(value, bytes) else str(value)
            yield RawField(group, name, text, begin, size)
        begin += size


def _form(group: str, names: tuple[tuple[str, str], ...]) -> Reader:
    return lambda data, begin, end: numbers(group, data, begin, end, names)


def read_exif(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """The entries of a TIFF structure, and what is in some of them."""
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
    readers: dict[int, Reader] = {0x02BC: read_xmp, 0x83BB: _iptc, 0x8649: read_resources, 0x8773: _icc}
    if entry.tag in readers and entry.directory == "IFD0":
        yield from attempt(readers[entry.tag], data, begin + entry.value.offset, begin + entry.value.end)


def read_xmp(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """The properties of a packet of XMP."""
    at = data.find(b"<", begin, end)
    for group, name, text, offset, length in read_properties(data[at : min(end, at + MAX_BLOCK)]):
        yield RawField(group, name, text, at + offset, length)


def read_resources(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """Photoshop's image resources."""
    readers: dict[int, Reader] = {
        photoshop.IPTC: _iptc,
        photoshop.EXIF: read_exif,
        photoshop.XMP: read_xmp,
        photoshop.VERSION: _photoshop_version,
        photoshop.QUALITY: _photoshop_quality,
    }
    for kind, block in photoshop.resources(cut(data, "resources", begin, end)):
        name = PHOTOSHOP_RESOURCES.get(kind, f"0x{kind:04X}")
        yield RawField("Photoshop", name, "", begin, block.end - begin)
        if kind in readers:
            yield from attempt(readers[kind], data, block.offset, block.end)
        begin = block.offset + block.length + block.length % 2


def _photoshop_version(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """Which program wrote the file, and of which version the format is."""
    yield from numbers("Photoshop", data, begin, end, (("", ">I"), ("HasRealMergedData", ">B")))
    at = begin + 5
    for name in ("WriterName", "ReaderName"):
        length = 2 * int.from_bytes(data[at : at + 4], "big")
        text = data[at + 4 : min(at + 4 + length, end)]
        yield RawField("Photoshop", name, clip(text.decode("utf-16-be", "replace")), at + 4, len(text))
        at += 4 + length


def _photoshop_quality(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    quality = int.from_bytes(data[begin : begin + 2], "big", signed=True) + 4  # as Photoshop shows it
    yield RawField("Photoshop", "PhotoshopQuality", str(quality), begin, 2)
    names = (("PhotoshopFormat", ">H"), ("ProgressiveScans", ">H"))
    yield from numbers("Photoshop", data, begin + 2, end, names)


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


def _mpf(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """The further images behind a JPEG (CIPA DC-007): previews, gain maps, the other eye."""
    for entry in tiff.entries(memoryview(data)[begin:end]):
        name = MPF_TAGS.get(entry.tag, f"0x{entry.tag:04X}")
        at, content = begin + entry.value.offset, entry.value.data
        yield RawField("MPF0", name, in_words(entry), at, len(content))
        for number in range(min(len(content) // 16, _MAX_IMAGES)) if entry.tag == _MPF_IMAGES else ():
            group, place = f"MPImage{number + 1}", at + 16 * number
            kind, size, start = struct.unpack_from(f"{entry.order}III", content, 16 * number)
            yield RawField(group, "MPImageType", f"0x{kind & 0xFFFFFF:06X}", place, 4)
            yield RawField(group, "MPImageLength", str(size), place + 4, 4)
            yield RawField(group, "MPImageStart", str(start and begin + start), place + 8, 4)


def read_jumbf(data: bytes, begin: int, end: int, depth: int = 0) -> Iterator[RawField]:
    """The boxes of JUMBF by their labels, as far as they lie in one piece."""
    for box in boxes.boxes(data, begin, end):
        if box.kind == "jumb" and depth < _MAX_DEPTH:
            yield from read_jumbf(data, box.offset, box.end, depth + 1)
        elif box.kind == "jumd":
            head = box.head(256)
            yield RawField("JUMBF", "JUMDType", decoded(head[:4]), box.offset, 16)
            if head[16:17] and head[16] & 2:
                label = head[17:].split(b"\0", 1)[0]
                yield RawField("JUMBF", "JUMDLabel", clip(decoded(label)), box.offset + 17, len(label))
        else:
            yield RawField("JUMBF", box.kind, "", box.offset, len(box.data))


def _jumbf_packet(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    """The boxes in the first packet of a store; those behind it go on in the middle of one."""
    return read_jumbf(data, begin, end) if data[begin + 12 : begin + 16] == b"jumd" else iter(())


def _vp8x(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    yield from numbers("RIFF", data, begin, end, (("WebP_Flags", "<B"),))
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
    profile = inflate(data[begin + len(name) + 2 : end], MAX_BLOCK)
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


def _png_text(data: bytes, begin: int, end: int) -> Iterator[RawField]:
    key, value, _ = png_text(cut(data, decoded(data[begin - 4 : begin]), begin, end), MAX_BLOCK)
    name = "XMP" if key == XMP_KEY else clip(key)
    yield RawField("PNG", name, "" if name == "XMP" else clip(decoded(value[:1000])), begin, end - begin)
    if name == "XMP":
        at = data.find(value[:64], begin, end)  # -1 where it is compressed
        for group, name, text, offset, length in read_properties(value):
            place = (at + offset, length) if at >= 0 else (begin, end - begin)
            yield RawField(group, name, text, *place)


SEGMENTS: dict[str, tuple[int, Reader]] = {
    "APP0 JFIF": (5, _form("JFIF", JFIF)),
    "APP1 Exif": (6, read_exif),
    "APP1 XMP": (29, read_xmp),
    "APP2 ICC": (14, _icc),
    "APP2 MPF": (4, _mpf),
    "APP11 JUMBF": (8, _jumbf_packet),
    "APP13 Photoshop": (14, read_resources),
    "APP14 Adobe": (5, _form("Adobe", ADOBE)),
}
"""Readers of the segments of a JPEG, by their names, with how many bytes of each are only its name."""

CHUNKS: dict[str, Reader] = {
    "tEXt": _png_text,
    "zTXt": _png_text,
    "iTXt": _png_text,
    "eXIf": read_exif,
    "iCCP": _png_icc,
    "pHYs": _form("PNG", PNG_PHYS),
    "gAMA": _form("PNG", (("Gamma", ">I"),)),
    "sRGB": _form("PNG", (("SRGBRendering", ">B"),)),
    "cHRM": _form("PNG", PNG_CHRM),
    "tIME": _png_time,
    "caBX": read_jumbf,
}
"""Readers of the chunks of a PNG."""

RIFF: dict[str, Reader] = {
    "EXIF": lambda data, begin, end: read_exif(data, begin + 6 * data.startswith(b"Exif\0\0", begin), end),
    "XMP ": read_xmp,
    "ICCP": _icc,
    "C2PA": read_jumbf,
    "VP8X": _vp8x,
    "VP8 ": _vp8,
    "VP8L": _vp8l,
}
"""Readers of the chunks of a RIFF."""
