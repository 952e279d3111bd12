"""Image files with metadata, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image, PngImagePlugin

from aigdetect.formats.block import Block

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

_SPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
}


def xmp(attributes: str = "", elements: str = "") -> bytes:
    """A packet of XMP: properties as attributes, and as elements."""
    spaces = " ".join(f'xmlns:{name}="{address}"' for name, address in _SPACES.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{elements}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def block(content: bytes) -> Block:
    """Bytes as a block of a file."""
    return Block("", 0, len(content), memoryview(content))


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """A small image as Pillow writes it."""
    out = io.BytesIO()
    Image.new(mode, (40, 40), "red").save(out, kind, **options)
    return out.getvalue()


def exif(base: dict[int, Any] | None = None, deeper: dict[int, Any] | None = None) -> Image.Exif:
    """EXIF with fields of its first directory, and of the one below."""
    made = Image.Exif()
    for tag, value in (base or {}).items():
        made[tag] = value
    made.get_ifd(0x8769).update(deeper or {})
    return made


def camera() -> dict[int, str]:
    """The fields that every camera writes."""
    return {0x010F: "Canon", 0x0110: "Canon EOS R5"}


def user_comment(text: str, order: str = "utf-16-be") -> bytes:
    """A comment as EXIF holds it."""
    return b"UNICODE\0" + text.encode(order)


def png(packed: bool = False, **texts: str) -> bytes:
    """A PNG with texts."""
    info = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key.replace("__", "-"), value, zip=packed)
    return saved("PNG", pnginfo=info)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes) -> bytes:
    """A PNG with chunks put in behind its header."""
    data = saved("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(*segments: bytes) -> bytes:
    """A JPEG with segments put in at its beginning."""
    data = saved("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def iptc_record(number: int, value: bytes, part: int = 2) -> bytes:
    return struct.pack(">BBBH", 0x1C, part, number, len(value)) + value


def photoshop(records: bytes) -> bytes:
    """A segment of Photoshop's resources, with another resource before the records."""
    other = b"8BIM" + struct.pack(">H", 0x0400) + b"\x03abc" + struct.pack(">I", 3) + b"xyz\0"
    size = struct.pack(">I", len(records))
    body = other + b"8BIM" + struct.pack(">H", 0x0404) + b"\0\0" + size + records
    return jpeg_segment(0xED, b"Photoshop 3.0\0" + body)
