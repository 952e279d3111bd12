"""The chunks of a PNG file that carry metadata."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from aigdetect.evidence.jpeg import IPTC_RESOURCE, photoshop_resource
from aigdetect.evidence.text import Text

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_BYTES = 8 << 20
"""Most bytes of text that are taken from one file, after decompression."""

_MAX_CHUNKS = 1 << 14
_MAX_TEXTS = 100
_XMP_KEY = "XML:com.adobe.xmp"
_RAW_PROFILE = "Raw profile type "
_NO_HEX = re.compile(rb"[^0-9A-Fa-f]+")


@dataclass(frozen=True)
class Chunks:
    """What the chunks hold.

    Attributes:
        exif: a TIFF structure.
        xmp: packets of XMP.
        iptc: records of IPTC-IIM.
        texts: every other text.
        credentials: whether there is a chunk for C2PA credentials.
    """

    exif: bytes
    xmp: tuple[bytes, ...]
    iptc: bytes
    texts: tuple[Text, ...]
    credentials: bool


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the chunks of a PNG file, whole or cut off, up to a limit."""
    return islice(_chunks(data), _MAX_CHUNKS)


def read_chunks(data: bytes) -> Chunks:
    """Read the metadata of a PNG file, wherever it stands in it."""
    exif, credentials, left = b"", False, MAX_BYTES
    found: list[tuple[str, bytes]] = []
    for kind, begin, end in chunks(data):
        if kind == b"eXIf" and not exif:
            exif = data[begin : min(end, begin + MAX_BYTES)]
        elif kind in _TEXTS and len(found) < _MAX_TEXTS and left > 0:
            key, value = _text(kind, data[begin : min(end, begin + left)], left)
            left -= len(value)
            found.append((key, value))
        credentials |= kind == b"caBX"
    profiles = {key.removeprefix(_RAW_PROFILE): value for key, value in found if key.startswith(_RAW_PROFILE)}
    xmp = [value for key, value in found if key == _XMP_KEY] + [_raw_profile(profiles.get("xmp", b""))]
    iptc = _raw_profile(profiles.get("iptc", b"")) or _raw_profile(profiles.get("8bim", b""))
    return Chunks(
        exif=exif or _exif_profile(profiles),
        xmp=tuple(packet for packet in xmp if packet)[:2],
        iptc=photoshop_resource(iptc, IPTC_RESOURCE) or iptc,
        texts=tuple(
            Text(key, _any_text(value), "PNG text")
            for key, value in found
            if key != _XMP_KEY and not key.startswith(_RAW_PROFILE)
        ),
        credentials=credentials,
    )


_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}


def inflate(data: bytes, most: int, *, bits: int = zlib.MAX_WBITS) -> bytes:
    """Decompress to ``most`` bytes at most; empty if the data is no such stream."""
    try:
        return zlib.decompressobj(bits).decompress(data, most)
    except zlib.error:
        return b""


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, min(at + 8 + size, len(data))
        at += 12 + size


def _text(kind: bytes, body: bytes, most: int) -> tuple[str, bytes]:
    """Keyword and undecoded text of a chunk."""
    key, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        value = rest
    elif kind == b"zTXt":
        value = inflate(rest[1:], most)
    else:
        packed, value = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        value = inflate(value, most) if packed else value
    return key[:80].decode("latin-1"), value


def _any_text(data: bytes) -> str:
    """Text that should be Latin-1 by the standard, and is UTF-8 by the habits of many programs."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _exif_profile(profiles: dict[str, bytes]) -> bytes:
    for name in ("exif", "APP1"):
        profile = _raw_profile(profiles.get(name, b""))
        if profile.startswith(b"Exif\0\0"):
            return profile[6:]
    return b""


def _raw_profile(text: bytes) -> bytes:
    """A profile as ImageMagick writes it: its name, its length, and hexadecimal digits."""
    lines = text.strip(b"\n").split(b"\n", 2)
    if len(lines) < 3:
        return b""
    digits = _NO_HEX.sub(b"", lines[2])
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
