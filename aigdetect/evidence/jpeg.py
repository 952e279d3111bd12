"""The segments of a JPEG file that carry metadata."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

MAX_BYTES = 8 << 20
"""Most bytes of metadata of one kind that are put together from segments."""

_MAX_SEGMENTS = 1 << 12
_MAX_COMMENTS = 20
_MAX_GAP = 64
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_EXTENDED_ID = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>\s*)([0-9A-Fa-f]{32})")


IPTC_RESOURCE, EXIF_RESOURCE, XMP_RESOURCE = 0x0404, 0x0422, 0x0424


@dataclass(frozen=True)
class Segments:
    """What the segments before the pixels hold.

    Attributes:
        exif: the TIFF structure of the EXIF segments.
        xmp: the packet of XMP, and its extension if there is one.
        resources: Photoshop's image resources.
        comments: comments.
        credentials: whether there are JUMBF boxes, in which C2PA credentials come.
    """

    exif: bytes
    xmp: tuple[bytes, ...]
    resources: bytes
    comments: tuple[bytes, ...]
    credentials: bool


def read_segments(data: bytes) -> Segments:
    """Read the metadata of a JPEG file, as far as it goes before the pixels."""
    exif, xmp, resources, credentials = b"", b"", b"", False
    comments: list[bytes] = []
    parts: dict[int, bytes] = {}
    extension = b""
    for marker, body in islice(_segments(data), _MAX_SEGMENTS):
        if marker == 0xE1 and body.startswith(b"Exif\0\0") and len(exif) < MAX_BYTES:
            exif += body[6:]  # what is too long for one segment goes on in the next
        elif marker == 0xE1 and body.startswith(_XMP):
            if not xmp:
                xmp = body[len(_XMP) :]
                named = _EXTENDED_ID.search(xmp)
                extension = named[1].upper() if named else b""
        elif marker == 0xE1 and body.startswith(_EXTENDED_XMP):
            _add_part(parts, extension, body[len(_EXTENDED_XMP) :])
        elif marker == 0xED and body.startswith(_PHOTOSHOP) and len(resources) < MAX_BYTES:
            resources += body[len(_PHOTOSHOP) :]
        elif marker == 0xEB and body.startswith(b"JP"):
            credentials = True
        elif marker == 0xFE and len(comments) < _MAX_COMMENTS:
            comments.append(body)
    extended = b"".join(parts[offset] for offset in sorted(parts))
    packets = tuple(packet for packet in (xmp, extended) if packet)
    return Segments(exif, packets, resources, tuple(comments), credentials)


def photoshop_resource(resources: bytes, wanted: int) -> bytes:
    """One of Photoshop's image resources by its number, empty if it is not there."""
    at = 0
    for _ in range(_MAX_SEGMENTS):
        if resources[at : at + 4] != b"8BIM" or at + 7 > len(resources):
            break
        name = resources[at + 6] + 1
        start = at + 6 + name + name % 2
        if start + 4 > len(resources):
            break
        kind, size = (
            struct.unpack_from(">H", resources, at + 4)[0],
            struct.unpack_from(">I", resources, start)[0],
        )
        if kind == wanted:
            return resources[start + 4 : start + 4 + size]
        at = start + 4 + size + size % 2
    return b""


def _add_part(parts: dict[int, bytes], extension: bytes, body: bytes) -> None:
    """Keep a piece of the extension that the packet names; it knows its own offset."""
    if extension and body[:32].upper() == extension and len(body) >= 40:
        (offset,) = struct.unpack_from(">I", body, 36)
        if sum(map(len, parts.values())) < MAX_BYTES:
            parts.setdefault(offset, body[40:])


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of the segments before the pixels."""
    at = 2
    # a length that is wrong by a few bytes is all that is wrong with some files
    while (at := data.find(b"\xff", at, at + _MAX_GAP)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (0xD9, 0xDA):  # end of image, start of scan
            return
        (size,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + size
