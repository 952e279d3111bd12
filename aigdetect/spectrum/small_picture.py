"""The spectrum of an image's residual as a small picture, for pages that show many of them."""

from __future__ import annotations

import numpy as np

from aigdetect.errors import ImageError
from aigdetect.images.thumbnail import encode_webp
from aigdetect.images.views import Pixels
from aigdetect.spectrum.analysis import average_tiles
from aigdetect.spectrum.distance import over_median
from aigdetect.spectrum.figures import IMAGE_LIMITS, coarse

SIDE = 128
"""Side of the picture in pixels, at most."""

CAPTION = (
    "What a 3x3 median takes away from the image's centre, as a spectrum with zero frequency in the middle. "
    "Each point is the highest level around it, from 12 dB below the median (dark) to 30 dB above (bright). "
    "Bright points away from the centre are periodic traces: of upsampling, but also of JPEG, of resizing or "
    "of a pattern in the picture. aigdetect spectrum measures them."
)
"""What the picture shows and what not."""

_COLOURS = 16  # steps of 2.8 dB: peaks stand out by more, and noise does not compress


def spectrum_webp(pixels: Pixels) -> bytes | None:
    """The spectrum of an image's residual as a WebP of 128 pixels a side at most, about 5 KB.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.

    Returns:
        the picture, or None if the image is too small for a spectrum or its residual is zero everywhere.
    """
    try:
        power = average_tiles(pixels).power()
    except ImageError:
        return None
    levels = coarse(over_median(power), SIDE)
    low, high = IMAGE_LIMITS
    steps = np.clip((levels - low) / (high - low), 0, 1) * (_COLOURS - 1)
    return encode_webp(_colours()[np.rint(steps).astype(np.uint8)], quality=None)


def _colours() -> Pixels:
    """``(16, 3)`` uint8, from dark to bright."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.linspace(0, 1, _COLOURS), bytes=True)[:, :3])
