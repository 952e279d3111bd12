"""Generation parameters hidden in the lowest bits of the pixels, which survive when metadata is stripped.

The bits run down the columns from the left: 15 letters that name the coding, the length of what follows,
as 32 bits, the highest first, and the text itself, as it is or compressed by gzip. NovelAI and extensions of
Stable Diffusion web UIs write it (https://github.com/NovelAI/novelai-image-metadata).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from aigdetect.evidence.fields import Field
from aigdetect.evidence.generators.nested import json_object
from aigdetect.evidence.png_text import inflate
from aigdetect.formats import png, riff

if TYPE_CHECKING:  # loaded for the few files that need it
    import numpy as np
    from numpy.typing import NDArray

_MAX_PIXELS = 40_000_000
_MAX_TEXT = 1 << 20
_GZIP = 31
_NAMES = {b"stealth_pnginfo": 1, b"stealth_pngcomp": 1, b"stealth_rgbinfo": 3, b"stealth_rgbcomp": 3}
_FIRST_LETTER = (0, 1, 1, 1, 0, 0, 1, 1)
_WHERE = {1: "alpha channel", 3: "lowest bits of the colours"}


def read_stealth(data: bytes) -> tuple[Field, ...]:
    """Read the texts hidden in the pixels of a PNG, or of a lossless WebP with alpha.

    The pixels are only decoded if the first of them begin as they must; those of a WebP have to be.

    Args:
        data: the whole file.

    Returns:
        the texts by the names that they would have in a PNG; empty if there are none; never raises.
    """
    try:
        if data.startswith(png.SIGNATURE):
            channels = _png_channels(data)
            return next((texts for each in channels if (texts := _texts(data, each))), ())
        return _texts(data, 1) if _is_lossless_with_alpha(data) else ()
    except Exception:  # noqa: BLE001 - the pixels may be damaged in any way
        return ()


def _png_channels(data: bytes) -> Iterator[int]:
    """The codings, by bits per pixel, that the first rows of a PNG allow."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bytes_per_pixel = {(8, 2): 3, (8, 6): 4}.get((depth, colour), 0)
    if not bytes_per_pixel or interlaced or not 0 < width * height <= _MAX_PIXELS:
        return
    length = 1 + width * bytes_per_pixel
    rows = inflate(_pixel_data(data, 4096 + 8 * length), 8 * length)
    column = _first_column([rows[i * length : i * length + 5] for i in range(min(height, 8))])
    for channels in (1, 3):
        bits = [bit for pixel in column for bit in (pixel[3:4] if channels == 1 else pixel[:3])]
        if (channels == 3 or bytes_per_pixel == 4) and tuple(bit & 1 for bit in bits[:8]) == _FIRST_LETTER[
            : len(bits)
        ]:
            yield channels


def _pixel_data(data: bytes, most: int) -> bytes:
    """The compressed pixels of a PNG, up to a length."""
    parts: list[bytes] = []
    for chunk in png.chunks(data):
        if chunk.kind == "IDAT" and most > 0:
            parts.append(chunk.head(most))
            most -= len(parts[-1])
    return b"".join(parts)


def _first_column(rows: list[bytes]) -> list[bytes]:
    """The first pixel of each row. Nothing is to its left, so that filters only know the pixel above."""
    above = bytes(4)
    column = []
    for row in rows:
        if len(row) < 2:
            break
        factor = {2: 2, 3: 1, 4: 2}.get(row[0], 0)  # Up and Paeth add the pixel above, Average half of it
        above = bytes((value + up * factor // 2) & 0xFF for value, up in zip(row[1:], above, strict=False))
        column.append(above)
    return column


def _is_lossless_with_alpha(data: bytes) -> bool:
    """Whether this is a WebP of one lossless picture that says that it uses its alpha channel."""
    pictures = [each for each in riff.chunks(data) if each.kind in ("VP8 ", "VP8L", "ANMF")]
    if not riff.is_webp(data) or len(pictures) != 1 or pictures[0].kind != "VP8L":
        return False
    head = pictures[0].head(5)
    if len(head) < 5 or head[:1] != b"\x2f":
        return False
    (bits,) = struct.unpack_from("<I", head, 1)
    pixels = (1 + (bits & 0x3FFF)) * (1 + (bits >> 14 & 0x3FFF))
    return bool(bits >> 28 & 1) and pixels <= _MAX_PIXELS


def _texts(data: bytes, channels: int) -> tuple[Field, ...]:
    """The texts in one coding."""
    import numpy as np
    from PIL import Image

    with Image.open(BytesIO(data)) as image:
        if image.width * image.height > _MAX_PIXELS:
            return ()
        pixels = np.asarray(image.convert("RGBA"))
    text = _hidden(pixels[..., 3:] if channels == 1 else pixels[..., :3])
    # NovelAI hides all its PNG texts as one object, others hide the text of a web UI
    values = json_object(text) or ({"parameters": text} if text else {})
    where = _WHERE[channels]
    return tuple(Field("text", key, value, where) for key, value in values.items() if isinstance(value, str))


def _hidden(channels: NDArray[np.uint8]) -> str:
    """The text in the lowest bits of channels ``(H, W, C)``, empty if there is none."""
    import numpy as np

    header = np.packbits(channels.transpose(1, 0, 2).reshape(-1)[: 19 * 8] & 1).tobytes()
    name = header[:15]
    if _NAMES.get(name) != channels.shape[2]:
        return ""
    (length,) = struct.unpack(">I", header[15:])
    if length > 8 * _MAX_TEXT:
        return ""
    body = channels.transpose(1, 0, 2).reshape(-1)[19 * 8 : 19 * 8 + length] & 1
    text = np.packbits(body).tobytes()
    if name.endswith(b"comp"):
        text = inflate(text, _MAX_TEXT, bits=_GZIP)
    return text.decode("utf-8", "replace")
