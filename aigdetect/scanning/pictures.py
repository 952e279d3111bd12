"""The small pictures of an image that a page of results shows beside its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aigdetect.errors import ImageError
from aigdetect.images.decode import decode
from aigdetect.images.thumbnail import SIDE, encode_webp, reduced, thumbnail
from aigdetect.images.views import Pixels

_MAX_INGREDIENT = 4_000_000  # pixels
_GAP = 4
_QUALITY = 80


@dataclass(frozen=True)
class Pictures:
    """Pictures of an image as files in memory; None for those that there are not.

    Attributes:
        thumbnail: the image, small.
        spectrum: the spectrum of its residual.
        heatmap: where in it the evidence lies.
        heatmap_caption: what the heat map shows.
        before: what it was made from, side by side, by the thumbnails in its content credentials.
    """

    thumbnail: bytes | None = None
    spectrum: bytes | None = None
    heatmap: bytes | None = None
    heatmap_caption: str = ""
    before: bytes | None = None


def draw(pixels: Pixels, ingredients: Sequence[bytes] = ()) -> Pictures:
    """Those pictures of an image that need no model; none if there is no memory for them.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.
        ingredients: files of images as content credentials hold them; those that cannot be read are left out.
    """
    from aigdetect.spectrum.small_picture import spectrum_webp  # spectra take a while to import

    try:
        return Pictures(thumbnail(pixels), spectrum_webp(pixels), before=_side_by_side(ingredients))
    except MemoryError:
        return Pictures()


def _side_by_side(files: Sequence[bytes]) -> bytes | None:
    """Images in one row, each small, as WebP; None without any that can be decoded."""
    tiles = []
    for file in files:
        try:
            tiles.append(reduced(decode(file, max_pixels=_MAX_INGREDIENT).pixels, SIDE))
        except ImageError:
            continue
    if not tiles:
        return None
    width = sum(tile.shape[1] for tile in tiles) + _GAP * (len(tiles) - 1)
    row = np.full((max(tile.shape[0] for tile in tiles), width, 3), 255, np.uint8)
    left = 0
    for tile in tiles:
        row[: tile.shape[0], left : left + tile.shape[1]] = tile
        left += tile.shape[1] + _GAP
    return encode_webp(row, quality=_QUALITY)
