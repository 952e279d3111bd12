"""Blur, re-encoding, resizing: one set of perturbations for training, evaluation and stability.

Every function takes and returns ``(H, W, 3)`` uint8 sRGB pixels.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from aigdetect.images.views import Pixels, resize

_CHROMA = {"4:4:4": 0, "4:2:0": 2}


def gaussian_blur(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian blur of each channel with ``sigma`` in pixels (scipy's filter, as in the field's protocol)."""
    if sigma <= 0:
        return pixels
    # the filter truncates to the output's dtype, which would darken the image: round instead
    blurred = ndimage.gaussian_filter(pixels.astype(np.float32), sigma=(sigma, sigma, 0))
    return _eight_bit(blurred)


def jpeg(pixels: Pixels, quality: int, chroma: str = "4:2:0") -> Pixels:
    """Encode as JPEG with libjpeg's ``quality`` (1..100) and decode again.

    Args:
        pixels: see the module.
        quality: libjpeg's quality, 1..100.
        chroma: subsampling, ``"4:2:0"`` or ``"4:4:4"``.
    """
    return _reencode(pixels, "JPEG", quality=quality, subsampling=_CHROMA[chroma])


def webp(pixels: Pixels, quality: int) -> Pixels:
    """Encode as lossy WebP with ``quality`` (0..100) and decode again."""
    return _reencode(pixels, "WEBP", quality=quality, method=2)


def rescale(pixels: Pixels, factor: float) -> Pixels:
    """Resize both sides by ``factor`` (bicubic, antialiased), to at least one pixel."""
    height, width = pixels.shape[:2]
    return resize(pixels, height=max(1, round(height * factor)), width=max(1, round(width * factor)))


def flip(pixels: Pixels) -> Pixels:
    """Mirror left to right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def _eight_bit(values: NDArray[np.floating[Any]]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _reencode(pixels: Pixels, format: str, **options: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format, **options)
    return np.asarray(Image.open(buffer).convert("RGB"))
