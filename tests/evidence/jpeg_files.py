"""JPEG files with tables, segments and thumbnails of choice, made on the spot."""

from __future__ import annotations

import io

from metadata_files import jpeg_segment
from PIL import Image

# of Photoshop at quality 12, in the order of a file
PHOTOSHOP = (
    (1,) * 43 + (2,) * 11 + (3,) * 10,
    (1,) * 10 + (2, 2, 1, 2, 2) + (3,) * 49,
)


def jpeg(mode: str = "RGB", size: tuple[int, int] = (40, 24), **options: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def with_tables(tables: tuple[tuple[int, ...], ...], **options: object) -> bytes:
    """A JPEG with quantisation tables in the order of a file."""
    data = jpeg(**options)
    first = data.index(b"\xff\xdb")
    behind = data.index(b"\xff\xc0")
    body = b"".join(bytes((number, *table)) for number, table in enumerate(tables))
    return data[:first] + jpeg_segment(0xDB, body) + data[behind:]


def tiff_with_thumbnail(thumbnail: bytes) -> bytes:
    """A TIFF structure with nothing but a thumbnail in its second directory."""
    head = b"II*\0" + (8).to_bytes(4, "little")
    first = (0).to_bytes(2, "little") + (14).to_bytes(4, "little")
    entries = ((0x0201, 4, 14 + 2 + 24 + 4), (0x0202, 4, len(thumbnail)))
    second = (2).to_bytes(2, "little")
    for tag, kind, value in entries:
        second += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little")
        second += value.to_bytes(4, "little")
    return head + first + second + bytes(4) + thumbnail
