"""Blur, re-encoding, resizing: one set of perturbations for training, evaluation and stability.

Every function takes and returns ``(H, W, 3)`` uint8 sRGB pixels, 0..255. What looks like chance is drawn from
the pixels themselves: the same image always comes out the same.
"""

from __future__ import annotations

import io
from hashlib import blake2b

import numpy as np
from PIL import Image

from aigdetect.errors import ImageError
from aigdetect.images.views import Pixels, resize

_CHROMA = {"4:4:4": 0, "4:2:0": 2}
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383}  # libjpeg's and WebP's own bounds
LONGEST_SIDE = min(_LONGEST.values())
"""Images of no longer side than this, in pixels, can be encoded in any way that is known here."""


def gaussian_blur(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian blur of each channel with ``sigma`` in pixels: scipy's filter, cut to whole grey levels.

    The field's benchmarks filter uint8 arrays in place, where scipy cuts after each of two passes. To cut
    once stays within one grey level of that as well as of the filter in floating point; rounding would not.
    """
    if sigma <= 0:
        return pixels
    from scipy import ndimage  # takes longer to load than an image to read, and few blur

    blurred = np.empty_like(pixels)
    for channel in range(3):  # one at a time, for the memory's sake
        # in single precision 128 comes out as 128; double precision may give just under it
        exact = ndimage.gaussian_filter(pixels[..., channel].astype(np.float32), sigma)
        blurred[..., channel] = np.clip(np.floor(exact), 0, 255)
    return blurred


def jpeg(pixels: Pixels, quality: int, chroma: str = "4:2:0") -> Pixels:
    """Encode as JPEG and decode again; see `encode_jpeg`."""
    return _decode(encode_jpeg(pixels, quality, chroma))


def encode_jpeg(pixels: Pixels, quality: int, chroma: str = "4:2:0") -> bytes:
    """Encode as JPEG, as Pillow's ``save`` does it.

    Args:
        pixels: see the module.
        quality: libjpeg's quality, 1..100.
        chroma: subsampling, ``"4:2:0"`` or ``"4:4:4"``.

    Raises:
        ImageError: if a side is longer than a JPEG may have.
    """
    return _encode(pixels, "JPEG", quality=quality, subsampling=_CHROMA[chroma])


def webp(pixels: Pixels, quality: int) -> Pixels:
    """Encode as lossy WebP and decode again; see `encode_webp`."""
    return _decode(encode_webp(pixels, quality))


def encode_webp(pixels: Pixels, quality: int) -> bytes:
    """Encode as lossy WebP with ``quality`` (0..100).

    Raises:
        ImageError: if a side is longer than a WebP may have.
    """
    return _encode(pixels, "WEBP", quality=quality, method=2)


def double_jpeg(pixels: Pixels, first: int, second: int, shift: int = 4) -> Pixels:
    """Encode as JPEG twice, the second time on a grid of 8x8 blocks that lies ``shift`` pixels off the first.

    The image loses that many rows at the top and columns at the left, as when a JPEG is cropped and saved
    again.

    Args:
        pixels: see the module; both sides longer than ``shift``.
        first: quality of the first encoding, 1..100.
        second: quality of the second, 1..100.
        shift: 1..7 pixels.
    """
    return jpeg(jpeg(pixels, first)[shift:, shift:], second)


def rescale(pixels: Pixels, factor: float) -> Pixels:
    """Resize both sides by ``factor`` (bicubic, antialiased), to at least one pixel."""
    height, width = pixels.shape[:2]
    return resize(pixels, height=max(1, round(height * factor)), width=max(1, round(width * factor)))


def resize_back(pixels: Pixels, factor: float) -> Pixels:
    """Resize by ``factor`` (see `rescale`), then back to the size it had."""
    height, width = pixels.shape[:2]
    return resize(rescale(pixels, factor), height=height, width=width)


def screenshot(pixels: Pixels, factor: float, quality: int | None = None) -> Pixels:
    """As a screenshot of the image shown at ``factor`` of its size.

    Args:
        pixels: see the module.
        factor: of both sides, above 0; bilinear, antialiased.
        quality: of a JPEG, 1..100; None for a PNG, which loses nothing more.
    """
    height, width = pixels.shape[:2]
    shown = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.BILINEAR
    )
    taken = np.asarray(shown)
    return taken if quality is None else jpeg(taken, quality)


def random_crop(pixels: Pixels, share: float) -> Pixels:
    """Keep ``share`` (above 0, at most 1) of each side, somewhere in the image.

    A crop at the centre would leave a model's view at the centre as it is.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    rng = _rng(pixels)
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    return np.array(pixels[top : top + rows, left : left + columns])


def gaussian_noise(pixels: Pixels, sigma: float) -> Pixels:
    """Add normal noise with a standard deviation of ``sigma`` grey levels, independent in every sample."""
    rng = _rng(pixels)
    noisy = np.empty_like(pixels)
    for channel in range(3):  # one at a time, for the memory's sake
        noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32)
        noisy[..., channel] = np.clip(np.rint(pixels[..., channel] + sigma * noise), 0, 255)
    return noisy


def flip(pixels: Pixels) -> Pixels:
    """Mirror left to right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def _rng(pixels: Pixels) -> np.random.Generator:
    digest = blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _encode(pixels: Pixels, format: str, **options: int) -> bytes:
    height, width = pixels.shape[:2]
    if max(height, width) > _LONGEST[format]:
        raise ImageError(
            f"too long for {format}: {width}x{height} pixels, {_LONGEST[format]} on a side at most"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format, **options)
    return buffer.getvalue()


def _decode(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
