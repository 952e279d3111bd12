"""From an image of any size to the square views that the model sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
#: an array ``(H, W, 3)`` uint8, or an image of mode ``RGB``: views of both are the same to the bit
Picture: TypeAlias = Pixels | Image.Image


def take_views(picture: Picture, names: Sequence[str], size: int) -> Pixels:
    """The views of an image that :data:`VIEWS` names.

    Args:
        picture: sRGB, 0..255.
        names: keys of :data:`VIEWS`.
        size: side of a view in pixels.

    Returns:
        ``(V, size, size, 3)`` uint8, contiguous.
    """
    return np.stack([VIEWS[name](picture, size) for name in names])


def center_view(picture: Picture, size: int) -> Pixels:
    """Native-resolution crop at the centre; smaller images are enlarged first, none is ever reduced.

    Args:
        picture: sRGB, 0..255.
        size: side of the view in pixels.

    Returns:
        ``(size, size, 3)`` uint8, contiguous.
    """
    if min(_sides(picture)) < size:
        picture = enlarge(np.asarray(picture), size)
    height, width = _sides(picture)
    return crop(picture, top=(height - size) // 2, left=(width - size) // 2, size=size)


def quarter_view(picture: Picture, size: int, *, right: bool, bottom: bool) -> Pixels:
    """Native-resolution crop at the centre of a quarter of the image, or as near to it as the image allows.

    The four of them cover an image of up to twice the view's side.

    Args and returns as for :func:`center_view`, and which quarter.
    """
    if min(_sides(picture)) < size:
        picture = enlarge(np.asarray(picture), size)
    top, left = (
        min(max(0, side * (3 if far else 1) // 4 - size // 2), side - size)
        for side, far in zip(_sides(picture), (bottom, right), strict=True)
    )
    return crop(picture, top=top, left=left, size=size)


def whole_view(picture: Picture, size: int) -> Pixels:
    """The whole image, reduced to a short side of ``size`` pixels; what sticks out of the long side is cut.

    Args and returns as for :func:`center_view`; smaller images are enlarged.
    """
    height, width = _sides(picture)
    short = min(height, width)
    if short > size:
        scale = size / short
        height, width = max(size, round(height * scale)), max(size, round(width * scale))
        picture = resize(picture, height=height, width=width)
    return center_view(picture, size)


def crop(picture: Picture, *, top: int, left: int, size: int) -> Pixels:
    """Square of ``size`` pixels at ``(top, left)``: a copy, which does not keep the whole image in memory."""
    if isinstance(picture, Image.Image):
        return np.array(picture.crop((left, top, left + size, top + size)))
    return np.array(picture[top : top + size, left : left + size])


def enlarge(pixels: Pixels, size: int) -> Pixels:
    """Enlarge (bicubic, aspect kept) to a short side of ``size`` pixels; larger images come back as they are.

    A long side that grows past what the square view can show is cut first, so that an extreme aspect ratio
    costs no memory.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    if short >= size:
        return pixels
    # the view covers `short` pixels of the long side at most; some margin serves random crops
    keep = 4 * short
    top, left = max(0, (height - keep) // 2), max(0, (width - keep) // 2)
    pixels = pixels[top : top + keep, left : left + keep]
    height, width = pixels.shape[:2]
    scale = size / short
    return resize(pixels, height=max(size, round(height * scale)), width=max(size, round(width * scale)))


def resize(picture: Picture, *, height: int, width: int) -> Pixels:
    """Resize with antialiased bicubic interpolation (Pillow's)."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _sides(picture: Picture) -> tuple[int, int]:
    """Height and width."""
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    return picture.shape[0], picture.shape[1]


def check_views(names: Sequence[str]) -> None:
    """Refuse names that are not those of views.

    Raises:
        ValueError: if one is unknown, or there is none.
    """
    if not names or set(names) - set(VIEWS):
        raise ValueError(f"views: {list(names)} is not a choice of {', '.join(VIEWS)}")


def scales_of(names: Sequence[str]) -> tuple[int, ...]:
    """The scale at which each view shows the image, by number, in the order in which scales come up.

    Crops of the image's own pixels are of one scale, and what is reduced is of another: traces of generation
    look alike in the first wherever they lie.
    """
    scales = [name == "whole" for name in names]
    order = list(dict.fromkeys(scales))
    return tuple(order.index(scale) for scale in scales)


def first_of_scales(names: Sequence[str]) -> tuple[str, ...]:
    """The first view of each scale, in order."""
    scales = scales_of(names)
    return tuple(name for place, name in enumerate(names) if scales[place] not in scales[:place])


def shares_of(scales: Sequence[int]) -> tuple[float, ...]:
    """How much each view counts in a mean over an image's views: scales alike, and views alike within one."""
    return tuple(1 / (len(set(scales)) * scales.count(scale)) for scale in scales)


#: the views that a model may be made for, by name
VIEWS: Mapping[str, Callable[[Picture, int], Pixels]] = MappingProxyType(
    {
        "center_crop": center_view,
        "whole": whole_view,
        "top_left": partial(quarter_view, right=False, bottom=False),
        "top_right": partial(quarter_view, right=True, bottom=False),
        "bottom_left": partial(quarter_view, right=False, bottom=True),
        "bottom_right": partial(quarter_view, right=True, bottom=True),
    }
)
