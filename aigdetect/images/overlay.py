"""A map of numbers drawn over the image they belong to, with its scale of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aigdetect.images.thumbnail import reduced
from aigdetect.images.views import Pixels

COLOURS = "viridis"
"""Matplotlib's map of colours: perceptually uniform, and fit for readers who do not see all colours."""

_STRENGTH = 0.6  # of the colours; the rest is the image in grey
_BAR = 10  # height of the scale in pixels
_TEXT = 12


@dataclass(frozen=True)
class Scale:
    """What the colours mean.

    Attributes:
        low: number at the first colour; what is below has it, too.
        high: number at the last colour, likewise.
        ticks: numbers to be written, each with its text.
    """

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def overlay(pixels: Pixels, levels: NDArray[np.float32], scale: Scale, *, side: int) -> Pixels:
    """Colours for the numbers over the image in grey, and the scale below it.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.
        levels: ``(h, w)``, a map that covers the image evenly.
        scale: what the colours mean.
        side: longest side of the image in the picture, in pixels; smaller images keep their size.

    Returns:
        ``(H' + scale, W', 3)`` uint8.
    """
    image = reduced(pixels, side)
    height, width = image.shape[:2]
    shown = Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)
    colours = _coloured(np.asarray(shown), scale)
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)[..., None]
    # a dark picture must not make a warm place look cold: its grey is drawn to the middle
    mixed = (1 - _STRENGTH) * (64 + 0.75 * grey) + _STRENGTH * colours
    return np.concatenate([np.rint(mixed).clip(0, 255).astype(np.uint8), _legend(width, scale)])


def _coloured(levels: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """``(h, w)`` numbers to ``(h, w, 3)`` colours, 0..255."""
    from matplotlib import colormaps

    share = np.clip((levels - scale.low) / (scale.high - scale.low), 0, 1)
    return np.asarray(colormaps[COLOURS](share)[..., :3] * 255, np.float32)


def _legend(width: int, scale: Scale) -> Pixels:
    """The scale of colours on white, ``(h, width, 3)``; texts that find no room are left out."""
    image = Image.new("RGB", (width, _BAR + _TEXT + 9), "white")
    ramp = np.linspace(scale.low, scale.high, width, dtype=np.float32)
    image.paste(Image.fromarray(_coloured(ramp[None].repeat(_BAR, 0), scale).astype(np.uint8)), (0, 3))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=_TEXT)
    free = 0.0
    for number, text in scale.ticks:
        x = (number - scale.low) / (scale.high - scale.low) * (width - 1)
        length = draw.textlength(text, font=font)
        left = min(max(0.0, x - length / 2), width - length)
        if left >= free and left + length <= width:
            draw.line([(x, _BAR + 3), (x, _BAR + 6)], fill="black")
            draw.text((left, _BAR + 6), text, fill="black", font=font)
            free = left + length + 4
    return np.asarray(image)
