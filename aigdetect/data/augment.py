"""Random training views: what happens to the pixels of both classes alike before the model sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from aigdetect.errors import UsageError
from aigdetect.images import perturb
from aigdetect.images.views import Pixels, crop, enlarge
from aigdetect.parsing import STRICT_KEYS

# perturbations see this much around the final crop: blur needs it, and JPEG's grid gets a random phase
_MARGIN = 32
# whole images are reduced to so many times the view's side before anything costly happens to them
_COSTLY = 4
# a whole image is reduced to between the view's side and so many times it
_LOOSE = 1.15
# resizing enlarges by this much at most, and to a short side of no more than so many pixels
_ENLARGED = 1.25
_RESIZED = 1600


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and ranges of the random operations, in the order in which they run.

    Attributes:
        symmetric: resize and re-encode images of both classes at random. Real images were mostly born as
            JPEG and generated ones as PNG of few sizes; without this a detector learns that.
        resize_probability: with ``symmetric``, probability of resizing the whole image to a short side
            between the view's and 1.25 times its own (or 1.5 times the view's), log-uniformly, 1,600 pixels
            at most: sites and messengers reduce what is sent to between 400 and 1,600.
        encode_probability: with ``symmetric``, probability of JPEG or WebP encoding.
        encode_quality: with ``symmetric``, range of its quality, both ends included.
        blur_probability: probability of Gaussian blur.
        blur_sigma: range of its sigma in pixels.
        jpeg_probability: probability of JPEG encoding.
        jpeg_quality: range of its quality, both ends included.
        flip_probability: probability of mirroring left to right.

    Raises:
        UsageError: if a value is out of range.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    symmetric: bool = False
    resize_probability: float = 0.5
    encode_probability: float = 0.7
    encode_quality: tuple[int, int] = (50, 98)
    blur_probability: float = 0.1
    blur_sigma: tuple[float, float] = (0.0, 3.0)
    jpeg_probability: float = 0.1
    jpeg_quality: tuple[int, int] = (30, 100)
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("resize", "encode", "blur", "jpeg", "flip"):
            value = getattr(self, f"{name}_probability")
            if not 0 <= value <= 1:
                raise UsageError(f"{name}_probability: {value} is not in 0..1")
        for name, low, high in (("encode_quality", 1, 100), ("jpeg_quality", 1, 100), ("blur_sigma", 0, 64)):
            first, last = getattr(self, name)
            if not low <= first <= last <= high:
                raise UsageError(f"{name}: {first}..{last} is not a range in {low}..{high}")


def training_views(
    pixels: Pixels, size: int, augmentation: Augmentation, views: Sequence[str], seed: Sequence[int]
) -> Pixels:
    """One random copy of an image, through all views of a scan.

    What happens to the image is drawn once, so that all views show the same copy; where each view lies in it
    is drawn for each. A view does not depend on which others are asked for.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB.
        size: side of a view in pixels.
        augmentation: what may happen.
        views: views of a scan, keys of :data:`aigdetect.images.views.VIEWS`: ``"center_crop"`` becomes a
            crop at random, ``"whole"`` the image reduced a little less than in a scan, and then cropped at
            random.
        seed: numbers from 0 on, the only source of chance.

    Returns:
        ``(V, size, size, 3)`` uint8.
    """
    drawn = _draw(pixels, size, augmentation, np.random.default_rng(seed))
    if drawn.factor is not None:
        pixels = perturb.rescale(_shortened(pixels, perturb.LONGEST_SIDE / drawn.factor), drawn.factor)
    return np.stack(
        [_view(pixels, size, drawn, name, np.random.default_rng([*seed, *name.encode()])) for name in views]
    )


@dataclass(frozen=True)
class _Drawn:
    """What happens to one copy of an image.

    Attributes:
        factor: both sides are resized by it; None: they are not.
        operations: after that, in order.
        flip: whether it is mirrored left to right.
    """

    factor: float | None
    operations: tuple[Callable[[Pixels], Pixels], ...]
    flip: bool


def _draw(pixels: Pixels, size: int, augmentation: Augmentation, rng: np.random.Generator) -> _Drawn:
    factor = None
    operations: list[Callable[[Pixels], Pixels]] = []
    if augmentation.symmetric and rng.random() < augmentation.resize_probability:
        short = min(pixels.shape[:2])
        low, high = min(size, short), min(max(1.5 * size, _ENLARGED * short), _RESIZED)
        factor = math.exp(rng.uniform(math.log(low), math.log(high))) / short
    if augmentation.symmetric and rng.random() < augmentation.encode_probability:
        operations.append(_encoder(augmentation.encode_quality, rng))
    if rng.random() < augmentation.blur_probability:
        operations.append(partial(perturb.gaussian_blur, sigma=rng.uniform(*augmentation.blur_sigma)))
    if rng.random() < augmentation.jpeg_probability:
        operations.append(partial(perturb.jpeg, quality=_integer(augmentation.jpeg_quality, rng)))
    return _Drawn(factor, tuple(operations), bool(rng.random() < augmentation.flip_probability))


def _view(pixels: Pixels, size: int, drawn: _Drawn, view: str, rng: np.random.Generator) -> Pixels:
    if view == "whole":
        region = _shortened(_reduced(pixels, _COSTLY * size), perturb.LONGEST_SIDE)
    else:
        region = _random_crop(enlarge(pixels, size), size + 2 * _MARGIN, rng)
    for operation in drawn.operations:
        region = operation(region)
    if view == "whole":
        region = enlarge(_reduced(region, rng.uniform(size, _LOOSE * size)), size)
    chosen = _random_crop(region, size, rng)
    return perturb.flip(chosen) if drawn.flip else chosen


def _shortened(pixels: Pixels, longest: float) -> Pixels:
    """The middle of an image with a side of more than ``longest`` pixels, which no encoder takes."""
    keep = int(longest)
    top, left = (max(0, (side - keep) // 2) for side in pixels.shape[:2])
    return pixels[top : top + keep, left : left + keep]


def _reduced(pixels: Pixels, short: float) -> Pixels:
    """Reduced to a short side of ``short`` pixels; smaller images come back as they are."""
    factor = short / min(pixels.shape[:2])
    return perturb.rescale(pixels, factor) if factor < 1 else pixels


def _encoder(quality: tuple[int, int], rng: np.random.Generator) -> Callable[[Pixels], Pixels]:
    chosen = _integer(quality, rng)
    if rng.random() < 0.3:
        return partial(perturb.webp, quality=chosen)
    return partial(perturb.jpeg, quality=chosen, chroma="4:4:4" if rng.random() < 0.3 else "4:2:0")


def _random_crop(pixels: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Square at random, or what there is where a side is shorter."""
    height, width = pixels.shape[:2]
    top = int(rng.integers(max(0, height - size) + 1))
    left = int(rng.integers(max(0, width - size) + 1))
    return crop(pixels, top=top, left=left, size=size)


def _integer(bounds: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))
