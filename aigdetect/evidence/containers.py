"""Finds the blocks of metadata in the bytes of an image file, whatever its container, in one bounded pass."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from aigdetect.evidence import boxes, jpeg, png, tiff
from aigdetect.evidence.findings import decoded
from aigdetect.evidence.text import Text

MAX_BLOCK = 8 << 20
"""Longest block of metadata that is looked at, in bytes."""

_MAX_CHUNKS = 1 << 14
_MAX_COMMENTS = 20
_BOXES = (b"ftyp", b"JXL ", b"jP  ")
_TIFF_XMP, _TIFF_IPTC, _TIFF_RESOURCES, _TIFF_C2PA = 0x02BC, 0x83BB, 0x8649, 0xCD41


@dataclass(frozen=True)
class Blocks:
    """The metadata of a file, block by block, not yet understood.

    Attributes:
        exif: a TIFF structure.
        xmp: packets of XMP.
        iptc: records of IPTC-IIM.
        texts: comments and named texts.
        credentials: whether there is something in the place where C2PA content credentials go.
    """

    exif: bytes = b""
    xmp: tuple[bytes, ...] = ()
    iptc: bytes = b""
    texts: tuple[Text, ...] = field(default=(), repr=False)
    credentials: bool = False


def find_blocks(data: bytes) -> Blocks:
    """Find the metadata of an image file; blocks that are cut off or too long are left out.

    Args:
        data: the whole file; its pixels need not be decodable.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(png.SIGNATURE):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    if data.startswith((b"II", b"MM")):
        return _tiff(data)
    if data.startswith(b"8BPS"):
        return _psd(data)
    return _boxes(data) if data[4:8] in _BOXES else Blocks()


def _jpeg(data: bytes) -> Blocks:
    found = jpeg.read_segments(data)
    return Blocks(
        exif=found.exif,
        xmp=found.xmp,
        iptc=jpeg.photoshop_resource(found.resources, jpeg.IPTC_RESOURCE),
        texts=tuple(Text("Comment", decoded(text), "JPEG comment") for text in found.comments),
        credentials=found.credentials,
    )


def _png(data: bytes) -> Blocks:
    found = png.read_chunks(data)
    return Blocks(found.exif, found.xmp, found.iptc, found.texts, found.credentials)


def _webp(data: bytes) -> Blocks:
    exif, xmp, credentials = b"", b"", False
    for kind, begin, end in islice(_riff_chunks(data), _MAX_CHUNKS):
        if kind == b"EXIF" and not exif:
            exif = data[begin : min(end, begin + MAX_BLOCK)].removeprefix(b"Exif\0\0")
        elif kind == b"XMP " and not xmp:
            xmp = data[begin : min(end, begin + MAX_BLOCK)]
        credentials |= kind == b"C2PA"
    return Blocks(exif=exif, xmp=(xmp,) if xmp else (), credentials=credentials)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of each chunk."""
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, at + 8 + size
        at += 8 + size + size % 2


def _tiff(data: bytes) -> Blocks:
    values = tiff.read_values(data, (_TIFF_XMP, _TIFF_IPTC, _TIFF_RESOURCES, _TIFF_C2PA))
    xmp, resources = values.get(_TIFF_XMP, b""), values.get(_TIFF_RESOURCES, b"")
    return Blocks(
        exif=data,
        xmp=(xmp,) if xmp else (),
        iptc=values.get(_TIFF_IPTC) or jpeg.photoshop_resource(resources, jpeg.IPTC_RESOURCE),
        credentials=_TIFF_C2PA in values,
    )


def _psd(data: bytes) -> Blocks:
    if len(data) < 34:
        return Blocks()
    at = 30 + int.from_bytes(data[26:30], "big")  # behind the colours
    size = int.from_bytes(data[at : at + 4], "big")
    resources = data[at + 4 : at + 4 + min(size, MAX_BLOCK)]
    xmp = jpeg.photoshop_resource(resources, jpeg.XMP_RESOURCE)
    return Blocks(
        exif=jpeg.photoshop_resource(resources, jpeg.EXIF_RESOURCE),
        xmp=(xmp,) if xmp else (),
        iptc=jpeg.photoshop_resource(resources, jpeg.IPTC_RESOURCE),
    )


def _gif(data: bytes) -> Blocks:
    xmp, credentials = b"", False
    comments: list[bytes] = []
    for label, begin, end in islice(_gif_extensions(data), _MAX_CHUNKS):
        application = data[begin + 1 : begin + 12] if label == 0xFF else b""
        if application == b"XMP DataXMP" and not xmp:
            xmp = _packet(data, begin, end)  # in it, not behind it: many empty ones would cost a search each
        elif label == 0xFE and len(comments) < _MAX_COMMENTS:
            comments.append(_unblocked(data[begin : min(end, begin + MAX_BLOCK)]))
        credentials |= application.startswith(b"C2PA_GIF")
    texts = tuple(Text("Comment", decoded(text), "GIF comment") for text in comments)
    return Blocks(xmp=(xmp,) if xmp else (), texts=texts, credentials=credentials)


def _gif_extensions(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Label of each extension, and where its sub-blocks begin and end."""
    if len(data) < 13:
        return
    at = 13 + _gif_colours(data[10])
    while at + 1 < len(data) and data[at] in b"!,":
        begin = at + 2
        if data[at] == 0x2C:  # an image
            if at + 10 > len(data):
                return
            begin = at + 11 + _gif_colours(data[at + 9])
        end = begin
        while end < len(data) and data[end]:
            end += data[end] + 1
        if data[at] == 0x21:
            yield data[at + 1], begin, end
        at = end + 1


def _gif_colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _unblocked(data: bytes) -> bytes:
    """The content of the sub-blocks of a GIF."""
    parts, at = [], 0
    while at < len(data):
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += data[at] + 1
    return b"".join(parts)


def _boxes(data: bytes) -> Blocks:
    """HEIC, AVIF, JPEG XL, JPEG 2000."""
    found = boxes.read_boxes(data)
    # where credentials lie is for their own reader to say
    return Blocks(exif=found.exif, xmp=found.xmp, credentials=b"jumdc2pa" in data)


def _packet(data: bytes, start: int, stop: int) -> bytes:
    """The first packet of XMP between two places, known by its outermost element."""
    begin = data.find(b"<x:xmpmeta", start, stop)
    end = data.find(b"</x:xmpmeta>", begin, min(stop, begin + MAX_BLOCK)) if begin >= 0 else -1
    return data[begin : end + len(b"</x:xmpmeta>")] if end >= 0 else b""
