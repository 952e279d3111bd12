"""The small pictures of an image that a page of results shows beside its row."""

from __future__ import annotations

from dataclasses import dataclass

from aigdetect.images.thumbnail import thumbnail
from aigdetect.images.views import Pixels


@dataclass(frozen=True)
class Pictures:
    """Pictures of an image as files in memory; None for those that there are not.

    Attributes:
        thumbnail: the image, small.
        spectrum: the spectrum of its residual.
        heatmap: where in it the evidence lies.
        heatmap_caption: what the heat map shows.
    """

    thumbnail: bytes | None = None
    spectrum: bytes | None = None
    heatmap: bytes | None = None
    heatmap_caption: str = ""


def draw(pixels: Pixels) -> Pictures:
    """Those pictures of an image that need no model; none if there is no memory for them.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.
    """
    from aigdetect.spectrum.thumbnail import spectrum_webp  # spectra take a while to import

    try:
        return Pictures(thumbnail(pixels), spectrum_webp(pixels))
    except MemoryError:
        return Pictures()
