"""What is left of an image once its content is smoothed away, in floating point and at native resolution."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aigdetect.errors import ImageError, UsageError

Floats = NDArray[np.float32]
Channel = Literal["luminance", "rgb"]
Tiling = Literal["center", "average"]

SMALLEST_TILE = 64
"""Shorter sides hold too few frequencies for a background to be told from a peak."""


def luminance(pixels: NDArray[Any]) -> Floats:
    """Luma of ``(H, W, 3)`` RGB as ``(H, W)`` float32 in the range of the input (ITU-R BT.601 weights)."""
    red, green, blue = np.moveaxis(pixels, -1, 0).astype(np.float32)
    luma: Floats = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return luma


def residual(image: NDArray[Any], kind: str = "median") -> Floats:
    """An image minus its smoothed self.

    Args:
        image: ``(H, W)``, or ``(H, W, C)`` whose channels are treated one by one; 0..255, any dtype.
        kind: one of :data:`RESIDUALS`. ``median``: 3x3, as in the literature on generators' traces;
            ``gaussian``: standard deviation of one pixel; ``wavelet``: BayesShrink; ``nlm``: non-local means,
            both as in scikit-image with the strength of the noise estimated from the image.

    Returns:
        float32 of the image's shape, signed. Beyond its edges the image is taken as mirrored, so that the
        outermost pixels (one for the median) carry a residual of their own and no dark frame.

    Raises:
        UsageError: no such kind.
    """
    smooth = _SMOOTH.get(kind)
    if smooth is None:
        raise UsageError(f"no residual is called {kind!r}: take one of {', '.join(RESIDUALS)}")
    image = np.asarray(image, np.float32)
    if image.ndim == 2:
        return image - smooth(image)
    return np.stack([channel - smooth(channel) for channel in np.moveaxis(image, -1, 0)], axis=-1)


def strength(residual: NDArray[Any]) -> Floats:
    """How strong a residual is from pixel to pixel: ``log(1 + |r|)`` about its mean; float32 of its shape.

    Block coding, interpolation and demosaicing leave the expectation of the residual as it is and make its
    variance periodic, which shows in no spectrum of the residual itself (Gallagher, Detection of linear and
    cubic interpolation in JPEG compressed images, 2005; Kirchner, Fast and reliable resampling detection,
    2008). The logarithm keeps a few strong edges from drowning many faint pixels.

    Args:
        residual: in grey levels, of one tile: the mean is that of each channel, if there are many.
    """
    magnitude = np.log1p(np.abs(np.asarray(residual, np.float32)))
    about_mean: Floats = magnitude - magnitude.mean(axis=(0, 1))
    return about_mean


def tile_size(height: int, width: int, largest: int = 512) -> int:
    """The largest power of two that fits both sides and is at most ``largest``.

    Raises:
        ImageError: a side is shorter than :data:`SMALLEST_TILE`.
        UsageError: ``largest`` is no power of two, or less than :data:`SMALLEST_TILE`.
    """
    if largest < SMALLEST_TILE or largest & (largest - 1):
        raise UsageError(f"a tile's side must be a power of two from {SMALLEST_TILE} on, not {largest}")
    short = min(height, width)
    if short < SMALLEST_TILE:
        raise ImageError(
            f"too small for a spectrum: {width}x{height} pixels, {SMALLEST_TILE} are needed on each side",
            width=width,
            height=height,
        )
    return min(largest, 1 << (short.bit_length() - 1))


def residual_tiles(
    image: NDArray[Any],
    size: int,
    *,
    kind: str = "median",
    channel: Channel = "luminance",
    tiles: Tiling = "center",
) -> Iterator[Floats]:
    """Square tiles of an image's residual at native resolution, one at a time.

    Each tile is filtered together with the pixels around it and cut afterwards, so that its edges are no
    artefact and memory does not grow with the image. Where a tile ends at the image's own edge, the mirrored
    pixels of :func:`residual` take the place of what is not there.

    Args:
        image: ``(H, W)``, or RGB as ``(H, W, 3)``; 0..255, any dtype, both sides at least ``size``.
        size: side of the tiles in pixels, see :func:`tile_size`.
        kind: one of :data:`RESIDUALS`.
        channel: of an RGB image its ``luminance``, or ``rgb`` for all three channels.
        tiles: ``center`` for one tile, ``average`` for all that fit side by side, centred as a whole.

    Yields:
        ``(size, size)`` float32, or ``(size, size, 3)`` for ``rgb``.

    Raises:
        ImageError: the image is smaller than a tile.
        UsageError: no such kind.
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise ImageError(
            f"too small for a tile of {size} pixels: {width}x{height}", width=width, height=height
        )
    for top in _offsets(height, size, tiles):
        for left in _offsets(width, size, tiles):
            above, before = min(top, _MARGIN), min(left, _MARGIN)
            area = image[top - above : top + size + _MARGIN, left - before : left + size + _MARGIN]
            if channel == "luminance" and area.ndim == 3:
                area = luminance(area)
            yield residual(area, kind)[above : above + size, before : before + size]


_MARGIN = 16  # pixels around a tile that its residual may look at: more than any filter's reach


def _offsets(length: int, size: int, tiles: Tiling) -> range:
    count = length // size if tiles == "average" else 1
    first = (length - count * size) // 2
    return range(first, first + count * size, size)


def _median(image: Floats) -> Floats:
    """3x3 median, equal to scipy's bit for bit.

    Sorting each column of three once serves three windows; the median of nine is then the median of the
    largest minimum, the middle median and the smallest maximum (Devillard, Fast median search, 1998).
    """
    padded = np.pad(image, 1, mode="symmetric")
    low, middle, high = _sort3(padded[:-2], padded[1:-1], padded[2:])
    lows, middles, highs = ((rows[:, :-2], rows[:, 1:-1], rows[:, 2:]) for rows in (low, middle, high))
    largest_low = np.maximum(np.maximum(lows[0], lows[1]), lows[2])
    smallest_high = np.minimum(np.minimum(highs[0], highs[1]), highs[2])
    return _median3(largest_low, _median3(*middles), smallest_high)


def _sort3(a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.minimum(low, c), np.maximum(low, np.minimum(high, c)), np.maximum(high, c)


def _median3(a: Floats, b: Floats, c: Floats) -> Floats:
    middle: Floats = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return middle


def _gaussian(image: Floats) -> Floats:
    smooth: Floats = ndimage.gaussian_filter(image, 1.0)
    return smooth


def _wavelet(image: Floats) -> Floats:
    from skimage.restoration import denoise_wavelet  # imported here, as only some need it

    unit = image / 255  # the range that its rescaling assumes
    sigma = _noise(unit)
    return np.asarray(denoise_wavelet(unit, sigma, rescale_sigma=True), np.float32) * 255 if sigma else image


def _nlm(image: Floats) -> Floats:
    from skimage.restoration import denoise_nl_means

    sigma = _noise(image)
    options = {"patch_size": 5, "patch_distance": 6, "h": 0.8 * sigma, "sigma": sigma}
    return np.asarray(denoise_nl_means(image, **options), np.float32) if sigma else image


def _noise(image: NDArray[Any]) -> float:
    """Standard deviation of the noise; zero where there is none, which leaves nothing to remove."""
    from skimage.restoration import estimate_sigma

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the median of no coefficients: there is no noise
        sigma = float(estimate_sigma(image))  # type: ignore[no-untyped-call]
    return sigma if np.isfinite(sigma) else 0.0


_SMOOTH: dict[str, Callable[[Floats], Floats]] = {
    "median": _median,
    "gaussian": _gaussian,
    "wavelet": _wavelet,
    "nlm": _nlm,
}

RESIDUALS = tuple(_SMOOTH)
"""Names of the residuals that :func:`residual` knows."""
