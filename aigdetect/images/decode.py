"""Turn the bytes of an image file into upright 8-bit sRGB pixels, or into one clear error.

The bytes may be hostile: see :mod:`aigdetect.images.opening`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from aigdetect.errors import ImageError
from aigdetect.images.jpeg import jpeg_quality
from aigdetect.images.opening import (
    MAX_FRAMES,
    MAX_PIXELS,
    check_size,
    count_frames,
    failures_named,
    open_image,
)
from aigdetect.images.render import eight_bit_key, render

MIN_SIDE = 32
"""Images with a shorter side hold too little to be scored."""

LOW_RESOLUTION_SIDE = 224
"""Images with a shorter side are noted as low resolution: the model sees them enlarged."""


@dataclass(frozen=True)
class DecodedImage:
    """An image ready to be looked at.

    Attributes:
        image: the pixels as Pillow holds them, mode ``RGB``, sRGB, upright.
        format: container by content: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"HEIF"``, ``"AVIF"``, ``"JXL"``...
        width: in pixels, as displayed.
        height: in pixels, as displayed.
        notes: what was done to the pixels, or limits what they tell; a few words each.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    notes: tuple[str, ...]

    @cached_property
    def pixels(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """``(height, width, 3)`` uint8, 0..255; a copy, which for a large image takes as long as a resize."""
        return np.array(self.image)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode the first frame of an image file, by content alone.

    Args:
        data: the whole file.
        max_pixels: refuse images of more pixels than this, by their header.

    Returns:
        upright sRGB pixels: orientation applied, colour profile converted, alpha laid over white, deeper
        samples scaled to 8 bits.

    Raises:
        ImageError: for any file that cannot be decoded, with what its header told.
    """
    image = open_image(data, max_pixels)
    with failures_named(image.format or "", image.size):
        notes = _notes_on_file(image, data)
        image.load()
        check_size(image.size, max_pixels)  # HEIF may turn out larger than its header said
        if image.format == "PNG" and "transparency" in image.info:
            image.info["transparency"] = eight_bit_key(image.info["transparency"], image.mode, data[24])
        return _rendered(image, notes)


def from_image(image: Image.Image) -> DecodedImage:
    """Treat an image that is in memory, or was opened by Pillow, as :func:`decode` treats a file.

    Raises:
        ImageError: if its pixels cannot be decoded.
    """
    with failures_named(image.format or "", image.size):
        image.load()
        return _rendered(image, [])


def require_scorable(image: DecodedImage) -> None:
    """Refuse an image with less than :data:`MIN_SIDE` pixels on its short side.

    Raises:
        ImageError: if it is too small to score.
    """
    if min(image.width, image.height) < MIN_SIDE:
        raise ImageError(
            f"too small to score: {image.width}x{image.height} pixels, at least {MIN_SIDE} on the short side",
            format=image.format,
            width=image.width,
            height=image.height,
        )


def _notes_on_file(image: ImageFile.ImageFile, data: bytes) -> list[str]:
    notes = []
    frames = count_frames(image, data)
    if frames > 1:
        notes.append(f"first frame of {frames if frames <= MAX_FRAMES else f'more than {MAX_FRAMES}'}")
    elif _has_broken_index(image):
        notes.append("first frame of an unknown number: their index is broken")
    if isinstance(image, JpegImageFile):
        quality = _jpeg_quality(image)
        if quality is not None and quality < 50:
            notes.append(f"strong compression (JPEG quality about {quality})")
    if image.format == "PNG" and not image.info.get("icc_profile") and b"iCCP" in data[: data.find(b"IDAT")]:
        notes.append("colour profile ignored: unreadable")
    return notes


def _notes_on_pixels(rgb: Image.Image) -> list[str]:
    notes = []
    if min(rgb.size) < LOW_RESOLUTION_SIDE:
        notes.append("low resolution")
    middle = rgb.height // 2
    row = rgb.crop((0, middle, rgb.width, middle + 1))  # sets nearly all images apart in no time
    if _is_uniform(row) and _is_uniform(rgb):
        notes.append("uniform image: no content")
    return notes


def _is_uniform(rgb: Image.Image) -> bool:
    return all(low == high for low, high in cast("tuple[tuple[int, int], ...]", rgb.getextrema()))


def _has_broken_index(image: ImageFile.ImageFile) -> bool:
    """Whether a JPEG says that it holds further pictures, but not readably where."""
    if not isinstance(image, JpegImageFile) or "mp" not in image.info:
        return False
    try:
        image._getmp()
    except Exception:  # noqa: BLE001 - whatever a broken index makes of Pillow's parser
        return True
    return False


def _jpeg_quality(image: JpegImageFile) -> int | None:
    """The libjpeg quality whose luminance table is nearest to the image's, 1..100."""
    table = image.quantization.get(image.layer[0][3]) if image.layer else None
    if table is None or len(table) != 64:
        return None
    return jpeg_quality(table)


def _rendered(image: Image.Image, notes: list[str]) -> DecodedImage:
    rgb = render(image, notes)
    return DecodedImage(
        image=rgb,
        format=image.format or "",
        width=rgb.width,
        height=rgb.height,
        notes=(*notes, *_notes_on_pixels(rgb)),
    )
