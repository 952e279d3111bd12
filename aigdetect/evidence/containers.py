"""Finds the blocks of metadata in the bytes of an image file, whatever its container, in one bounded pass."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace
from itertools import islice

from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.findings import decoded
from aigdetect.evidence.png_text import any_text, png_text
from aigdetect.formats import boxes, gif, jpeg, jumbf, photoshop, png, riff, samsung, tiff
from aigdetect.formats.block import Block
from aigdetect.formats.items import items

MAX_BYTES = 8 << 20
"""Most bytes of metadata of one kind that are taken from one file, after decompression."""

MAX_BLOCKS = 20
"""Most blocks of metadata of one kind that are taken from one file; texts are bounded by their length."""

XMP_KEY = "XML:com.adobe.xmp"
"""Keyword of the text of a PNG that is a packet of XMP."""

_MAX_TEXTS = 1 << 13
_MAX_METAS = 8
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_ID = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>\s*)([0-9A-Fa-f]{32})")
_PHOTOSHOP = b"Photoshop 3.0\0"
_EXIF_TYPE, _XMP_TYPE = "Exif", "application/rdf+xml"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_UUID = b"JpgTiffExif->JP2"
_RAW_PROFILE = "Raw profile type "
_NO_HEX = re.compile(rb"[^0-9A-Fa-f]+")
_TIFF_XMP, _TIFF_IPTC, _TIFF_RESOURCES, _TIFF_C2PA = 0x02BC, 0x83BB, 0x8649, 0xCD41
_AIGC_LABEL = re.compile(rb".{0,60}?AIGC(?=\{)", re.DOTALL)


@dataclass(frozen=True)
class Blocks:
    """The metadata of a file, block by block, not yet understood.

    Attributes:
        exif: TIFF structures, in the order of the file.
        xmp: packets of XMP, each with its extension behind it.
        iptc: records of IPTC-IIM.
        texts: comments and named texts, and what stands behind the image.
        credentials: whether there is something in the place where C2PA content credentials go, or some of
            them elsewhere.
        unread: what is there and could not be read, each once.
    """

    exif: tuple[Block, ...] = ()
    xmp: tuple[Block, ...] = ()
    iptc: tuple[Block, ...] = ()
    texts: tuple[Field, ...] = field(default=(), repr=False)
    credentials: bool = False
    unread: tuple[Unread, ...] = ()


@dataclass
class _Found:
    """Blocks as they come."""

    exif: list[Block] = field(default_factory=list)
    xmp: list[Block] = field(default_factory=list)
    iptc: list[Block] = field(default_factory=list)
    texts: list[Field] = field(default_factory=list)
    credentials: bool = False
    unread: dict[Unread, None] = field(default_factory=dict)
    left: int = MAX_BYTES
    pixels_end: int = 0

    def add(self, kind: str, block: Block | None) -> None:
        """Keep a block of a kind, cut to what is read of one, and say what is missing of it."""
        kept: list[Block] = getattr(self, kind)
        if block is None or not block.data:
            return
        name = kind.upper()
        if len(kept) >= MAX_BLOCKS:
            self.lose(name, f"more than {MAX_BLOCKS} blocks")
            return
        if not block.whole:
            self.lose(name, "truncated")
        elif block.length > MAX_BYTES:
            self.lose(name, "too long")
        kept.append(replace(block, data=block.data[:MAX_BYTES]))

    def lose(self, where: str, reason: str) -> None:
        """Say what is not read, once."""
        self.unread[Unread(where, reason)] = None

    def text(self, name: str, value: str, where: str, offset: int, group: str = "text") -> None:
        """Keep a text."""
        self.texts.append(Field(group, name, value, where, offset))

    def coded(self, name: str, value: bytes, where: str, offset: int, group: str = "text") -> None:
        """Keep a text that is still to be decoded, unless there were too many."""
        try:
            text, cost = value.decode("utf-8"), len(value)
        except UnicodeDecodeError:  # as long as its escapes, and slow
            text, cost = "", 4 * len(value)
        if len(self.texts) >= _MAX_TEXTS or cost > self.left:
            self.lose(where, f"more than {_MAX_TEXTS} texts or {MAX_BYTES >> 20} MiB")
            return
        self.left -= cost
        self.text(name, text or decoded(value), where, offset, group)

    def blocks(self) -> Blocks:
        """All of it."""
        return Blocks(
            tuple(self.exif),
            tuple(self.xmp),
            tuple(self.iptc),
            tuple(self.texts),
            self.credentials,
            tuple(self.unread),
        )


def find_blocks(data: bytes) -> Blocks:
    """Find the metadata of an image file; of what is cut off or too long, the beginning.

    Args:
        data: the whole file; its pixels need not be decodable.
    """
    found = _Found()
    if data.startswith(jpeg.SIGNATURE):
        _jpeg(data, found)
    elif data.startswith(png.SIGNATURE):
        _png(data, found)
    elif riff.is_webp(data):
        _webp(data, found)
    elif data.startswith(gif.SIGNATURES):
        _gif(data, found)
    elif data.startswith((b"II", b"MM")):
        _tiff(data, found)
    elif data.startswith(b"8BPS"):
        _psd(data, found)
    elif boxes.is_boxed(data):
        _boxes(data, found)
    # where credentials lie is for their own reader to say; to search the pixels for them takes a while
    found.credentials = found.credentials or data.find(jumbf.MARK, found.pixels_end) >= 0
    return found.blocks()


def _joined(parts: list[Block]) -> Block | None:
    """Parts put together; its place is that of the first."""
    if len(parts) < 2:
        return parts[0] if parts else None
    data = b"".join(part.data for part in parts)
    missing = sum(part.length - len(part.data) for part in parts)
    return Block(parts[0].kind, parts[0].offset, len(data) + missing, memoryview(data))


# -- JPEG --------------------------------------------------------------------------------------------------


def _jpeg(data: bytes, found: _Found) -> None:
    exif: list[list[Block]] = []
    resources: list[Block] = []
    extensions: dict[bytes, dict[int, Block]] = {}
    left, end = 4 * MAX_BYTES, len(data)
    for segment in jpeg.segments(data):
        head = segment.head(64)
        if segment.kind == "EOI":
            end = found.pixels_end = segment.offset
        if not segment.kind.startswith(("APP", "COM")) or left <= 0:
            continue
        left -= len(segment.data)
        if segment.kind == "APP1" and head.startswith(_EXIF):
            body = segment.part(len(_EXIF))
            if body.head(4) in tiff.SIGNATURES or not exif:
                exif.append([])
            exif[-1].append(body)  # what is too long for one segment goes on in the next
        elif segment.kind == "APP1" and head.startswith(_XMP):
            found.add("xmp", segment.part(len(_XMP)))
        elif segment.kind == "APP1" and head.startswith(_EXTENDED_XMP) and len(head) == 64:
            _add_part(extensions, segment.part(len(_EXTENDED_XMP)))
        elif segment.kind == "APP13" and head.startswith(_PHOTOSHOP):
            resources.append(segment.part(len(_PHOTOSHOP)))
        elif segment.kind == "APP11" and head.startswith(b"JP"):
            found.credentials = True
        elif segment.kind == "COM" and segment.data:
            found.coded("Comment", segment.head(1 << 16), "JPEG comment", segment.offset)
        elif segment.kind.startswith("APP") and (label := _AIGC_LABEL.match(head)):
            value = segment.head(1 << 16)[label.end() :].rstrip(b"\0 ")
            found.coded("AIGC", value, f"JPEG segment {segment.kind}", segment.offset)
    if left <= 0:
        found.lose("JPEG segments", f"more than {4 * MAX_BYTES >> 20} MiB")
    for parts in exif[: MAX_BLOCKS + 1]:
        found.add("exif", _joined(parts))
    _photoshop(_joined(resources), found)
    _extend(found, extensions)
    for entry in samsung.entries(data, end):
        found.coded(entry.kind, entry.head(1 << 20), "Samsung trailer", entry.offset, "trailer")


def _add_part(extensions: dict[bytes, dict[int, Block]], body: Block) -> None:
    """Keep a piece of an extension of XMP; it knows the packet that it belongs to and its own place in it."""
    (offset,) = struct.unpack_from(">I", body.data, 36)
    extensions.setdefault(body.head(32).upper(), {}).setdefault(offset, body.part(40))


def _extend(found: _Found, extensions: dict[bytes, dict[int, Block]]) -> None:
    """Put the extensions that packets of XMP name behind these."""
    packets, found.xmp = found.xmp, []
    for packet in packets:
        found.xmp.append(packet)
        named = _EXTENDED_ID.search(packet.data)
        parts = extensions.pop(named[1].upper(), {}) if named else {}
        found.add("xmp", _joined([parts[offset] for offset in sorted(parts)]))
    if extensions:
        found.lose("XMP", "an extension that no packet names")


def _photoshop(resources: Block | None, found: _Found) -> None:
    """Photoshop's image resources that hold metadata."""
    kinds = {photoshop.IPTC: "iptc", photoshop.EXIF: "exif", photoshop.XMP: "xmp"}
    for number, block in photoshop.resources(resources) if resources else ():
        if number in kinds:
            found.add(kinds[number], block)


# -- PNG ---------------------------------------------------------------------------------------------------


def _png(data: bytes, found: _Found) -> None:
    left, texts = MAX_BYTES, 0
    profiles: dict[str, Block] = {}
    for chunk in png.chunks(data):
        if chunk.kind == "eXIf":
            found.add("exif", chunk)
        elif chunk.kind in ("tEXt", "zTXt", "iTXt"):
            texts += 1
            if left <= 0 or texts > _MAX_TEXTS:
                most = f"{MAX_BYTES >> 20} MiB" if left <= 0 else str(_MAX_TEXTS)
                found.lose("PNG texts", f"more than {most}")
                continue
            key, value, state = png_text(chunk, left)
            left -= len(value)
            if state:
                found.lose("PNG text", f"{key[:40]} {state}")
            block = Block(key, chunk.offset, len(value), memoryview(value))
            if key == XMP_KEY:
                found.add("xmp", block)
            elif key.startswith(_RAW_PROFILE):
                profiles.setdefault(key.removeprefix(_RAW_PROFILE), block)
            elif value:
                found.text(key, any_text(value), "PNG text", chunk.offset)
        elif chunk.kind == "IEND":
            found.pixels_end = chunk.end
        found.credentials |= chunk.kind == "caBX"
    _raw_profiles(profiles, found)


def _raw_profiles(profiles: dict[str, Block], found: _Found) -> None:
    """Metadata as ImageMagick keeps it in texts."""
    for name in ("exif", "APP1"):
        if (block := _raw_profile(profiles.get(name))) and block.head(6) == _EXIF:
            found.add("exif", block.part(6))
    found.add("xmp", _raw_profile(profiles.get("xmp")))
    for name in ("iptc", "8bim"):
        if block := _raw_profile(profiles.get(name)):
            if block.head(4) == b"8BIM":
                _photoshop(block, found)
            else:
                found.add("iptc", block)


def _raw_profile(text: Block | None) -> Block | None:
    """A profile as ImageMagick writes it: its name, its length, and hexadecimal digits."""
    lines = text.head(MAX_BYTES).strip(b"\n").split(b"\n", 2) if text else []
    if text is None or len(lines) < 3:
        return None
    digits = _NO_HEX.sub(b"", lines[2])
    profile = bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
    return Block(text.kind, text.offset, len(profile), memoryview(profile))


# -- all others --------------------------------------------------------------------------------------------


def _webp(data: bytes, found: _Found) -> None:
    found.pixels_end = 8 + int.from_bytes(data[4:8], "little")
    for chunk in riff.chunks(data):
        if chunk.kind == "EXIF":
            found.add("exif", chunk.part(6) if chunk.head(6) == _EXIF else chunk)
        elif chunk.kind == "XMP ":
            found.add("xmp", chunk)
        found.credentials |= chunk.kind == "C2PA"


def _gif(data: bytes, found: _Found) -> None:
    for block in islice(gif.blocks(data), 1 << 14):
        application = block.head(12)[1:] if block.kind == "application" else b""
        if application == b"XMP DataXMP":
            found.add("xmp", _packet(block))  # in it, not behind it: many empty ones would cost a search each
        elif block.kind == "comment" and (comment := gif.joined(block, found.left)):
            found.coded("Comment", comment, "GIF comment", block.offset)
        found.credentials |= application.startswith(b"C2PA_GIF")


def _packet(block: Block) -> Block | None:
    """The packet of XMP in an extension of a GIF, which has no sub-blocks but a trailer instead."""
    end = block.head(MAX_BYTES).rfind(b"\1\xff\xfe\xfd\xfc")
    return block.part(12, end if end >= 0 else None)


def _tiff(data: bytes, found: _Found) -> None:
    values = tiff.read_values(data, (_TIFF_XMP, _TIFF_IPTC, _TIFF_RESOURCES, _TIFF_C2PA))
    found.exif.append(Block("TIFF", 0, len(data), memoryview(data)))
    found.add("xmp", values.get(_TIFF_XMP))
    found.add("iptc", values.get(_TIFF_IPTC))
    for number, block in photoshop.resources(values[_TIFF_RESOURCES]) if _TIFF_RESOURCES in values else ():
        if number == photoshop.IPTC:
            found.add("iptc", block)
    found.credentials |= _TIFF_C2PA in values


def _psd(data: bytes, found: _Found) -> None:
    if len(data) < 34:
        return
    at = 30 + int.from_bytes(data[26:30], "big")  # behind the colours
    size = int.from_bytes(data[at : at + 4], "big")
    _photoshop(Block("resources", at + 4, size, memoryview(data)[at + 4 : at + 4 + size]), found)


def _boxes(data: bytes, found: _Found) -> None:
    """HEIC, AVIF, JPEG XL, JPEG 2000.

    Only what the structure of the file says is metadata counts: bytes that look like it in a box of another
    kind, free space for instance, are not read.
    """
    metas = 0
    for box in boxes.boxes(data):
        name = box.head(16) if box.kind == "uuid" else b""
        if box.kind == "meta":
            metas += 1
            for item in items(data, box, (_EXIF_TYPE, _XMP_TYPE), MAX_BYTES) if metas <= _MAX_METAS else ():
                found.add(*(("exif", _tiff_structure(item)) if item.kind == _EXIF_TYPE else ("xmp", item)))
        elif box.kind == "Exif":
            found.add("exif", _tiff_structure(box))
        elif name == _EXIF_UUID:
            found.add("exif", _tiff_structure(box.part(16)))
        elif box.kind == "xml ":
            found.add("xmp", box)
        elif name == _XMP_UUID:
            found.add("xmp", box.part(16))
        elif box.kind == "brob":
            packed = decoded(box.head(4)).strip()
            if packed in ("Exif", "xml"):
                found.lose(packed.upper(), "compressed by Brotli")


def _tiff_structure(block: Block) -> Block | None:
    """The TIFF structure in a block of EXIF, behind an offset that a common writer leaves out."""
    for at in (4 + int.from_bytes(block.head(4), "big"), 0, 4):
        structure = block.part(at)
        if structure.head(6) == _EXIF:
            structure = structure.part(6)
        if structure.head(4) in tiff.SIGNATURES:
            return structure
    return None
