"""Small pictures of images, for pages that show many of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from aigdetect.images.views import Pixels

SIDE = 128
"""Longest side of a thumbnail in pixels."""

_QUALITY = 70
_LONGEST = 8  # a strip is cut in its middle to so many times its short side: what is thinner shows nothing


def thumbnail(pixels: Pixels, side: int = SIDE) -> bytes:
    """A small WebP picture of an image, about 3 KB; smaller images keep their size.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.
        side: longest side in pixels, at most.
    """
    return encode_webp(reduced(_without_ends(pixels), side), quality=_QUALITY)


def reduced(pixels: Pixels, side: int) -> Pixels:
    """An image reduced to a longest side of ``side`` pixels, aspect kept; smaller ones as they are."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # reducing by a whole factor first is several times faster and cannot be told from the exact way
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(image)


def encode_webp(pixels: Pixels, *, quality: int | None) -> bytes:
    """``(H, W, 3)`` uint8 as WebP without any metadata; without a quality every pixel is kept."""
    kept = {"lossless": True} if quality is None else {"quality": quality}
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "WEBP", method=4, **kept)
    return file.getvalue()


def _without_ends(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    keep = _LONGEST * min(height, width)
    top, left = max(0, (height - keep) // 2), max(0, (width - keep) // 2)
    return pixels[top : top + keep, left : left + keep]
