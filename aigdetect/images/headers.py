"""Facts out of the bytes of image containers, for what Pillow tells too late or not at all."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from aigdetect.errors import ImageError
from aigdetect.formats import gif, png
from aigdetect.formats.boxes import boxes


def sizes_before_opening(name: str, data: bytes) -> Iterator[tuple[int, int]]:
    """The sizes to check before the plugin is asked, where it decodes on opening or opens what it holds."""
    if name == "GIF":
        yield struct.unpack_from("<HH", data, 6)
    if name == "WEBP":
        yield from _webp_canvas(data)
    if name == "JXL":
        size, animated = _jxl_header(jxl_codestream(data))
        yield size
        if animated:  # its decoder would go through all frames, however many, and give the last
            raise ImageError("format not supported: animated JPEG XL", width=size[0], height=size[1])
    if name in {"ICO", "ICNS"}:
        for match in re.finditer(rb"\x89PNG\r\n\x1a\n....IHDR(.{8})", data, re.DOTALL):
            yield struct.unpack(">II", match[1])
        for match in re.finditer(rb"ihdr(.{8})|\xff\x4f\xff\x51....(.{8})", data, re.DOTALL):
            yield struct.unpack(">II", match[1] or match[2])
    if name == "ICO":
        for entry in range(struct.unpack_from("<H", data, 4)[0]):
            (offset,) = struct.unpack_from("<I", data, 18 + 16 * entry)
            if data[offset : offset + 4] == b"\x28\0\0\0" and len(data) >= offset + 12:
                width, height = struct.unpack_from("<ii", data, offset + 4)
                yield abs(width), abs(height) // 2  # the mask below the picture counts as height


def jxl_codestream(data: bytes) -> bytes:
    """The codestream of a JPEG XL file, out of its boxes if it has any."""
    if data.startswith(b"\xff\x0a"):
        return data
    parts = []
    for box in boxes(data):
        if box.kind == "jxlc":
            return bytes(box.data)
        if box.kind == "jxlp":
            parts.append(box.data[4:])
    return b"".join(parts)


def _webp_canvas(data: bytes) -> Iterator[tuple[int, int]]:
    """The canvas of a WebP, of which the decoder allocates two on opening."""
    if data[12:16] == b"VP8X":
        yield (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        yield 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif data[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield width & 0x3FFF, height & 0x3FFF


def _jxl_header(codestream: bytes) -> tuple[tuple[int, int], bool]:
    """Width and height as coded, and whether it is animated (ISO/IEC 18181-1, SizeHeader and on)."""
    bits = int.from_bytes(codestream[2:32], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side(small: int) -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    def size() -> tuple[int, int]:
        small = take(1)
        height = side(small)
        ratio = take(3)
        numerator, denominator = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
        return (height * numerator // denominator if ratio else side(small)), height

    displayed = size()
    if take(1) or not take(1):  # all metadata at its defaults, or no extra fields
        return displayed, False
    take(3)  # orientation
    if take(1):
        size()  # intrinsic size
    return displayed, not take(1) and bool(take(1))  # a preview, which nobody writes, would come between


def essential_png(data: bytes) -> bytes:
    """A PNG without the chunks that are not needed to show its pixels the right way up."""
    if not data.startswith(png.SIGNATURE):
        return data
    kept = (chunk for chunk in png.chunks(data) if chunk.kind in _ESSENTIAL)
    return b"".join((data[:8], *(data[chunk.offset - 8 : chunk.offset + chunk.length + 4] for chunk in kept)))


_ESSENTIAL = {"IHDR", "PLTE", "tRNS", "eXIf", "IDAT", "IEND"}


def count_gif_frames(data: bytes, *, most: int) -> int:
    """Frames of a GIF, counted to little more than ``most`` and without decoding any."""
    frames = 0
    for block in gif.blocks(data):
        frames += block.kind == "image"
        if frames > most:
            break
    return frames
