"""From an image that Pillow has loaded to upright 8-bit sRGB: orientation, depth, profile, alpha."""

from __future__ import annotations

from io import BytesIO
from itertools import product
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms

from aigdetect.images.upright import UPRIGHT, orientation_of
from aigdetect.text import one_line

_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262

_PROFILE_SPACE = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}


def render(image: Image.Image, notes: list[str], rows: tuple[int, int] | None = None) -> Image.Image:
    """What is displayed of a loaded image.

    Args:
        image: of any mode.
        notes: gets a few words for each thing that was done to the pixels.
        rows: the first row to keep, as stored, and the one behind the last; None keeps all.

    Returns:
        mode ``RGB``, sRGB, upright, alpha laid over white.
    """
    colour, alpha = _colour_and_alpha(image, notes)
    rgb = _over_white(_to_srgb(colour, image.info.get("icc_profile"), notes), alpha, notes)
    if rows:
        rgb = rgb.crop((0, rows[0], rgb.width, rows[1]))
    orientation = UPRIGHT.get(orientation_of(image))
    return rgb if orientation is None else rgb.transpose(orientation)


def _colour_and_alpha(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Split into 8-bit colour (mode L, RGB, CMYK or LAB) and alpha (mode L), if any."""
    if image.mode == "I" or image.mode == "F" or image.mode.startswith("I;16"):
        return _deep_grey(image, notes)
    if image.mode in {"LA", "La"}:
        grey, alpha = (image if image.mode == "LA" else image.convert("LA")).split()
        return grey, alpha
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in {"L", "RGB", "CMYK", "LAB"}:
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def eight_bit_key(key: Any, mode: str, depth: int) -> Any:
    """The transparent colour of a PNG in the 8 bits that Pillow reduced or widened its samples to."""
    if mode == "RGB" and depth == 16:
        return tuple(value >> 8 for value in key)
    if mode == "L" and depth < 8:
        return key * 255 // ((1 << depth) - 1)
    return key


def _deep_grey(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        bottom, top = 0.0, float((1 << _sample_bits(image)) - 1)
    else:
        bottom, top = _range(values, image.mode)
        notes.append(f"{'floating-point' if image.mode == 'F' else 'integer'} values scaled to 8 bits")
    precision = np.float32 if image.mode.startswith("I;16") else np.float64  # enough, in half the memory
    clipped = np.clip(np.nan_to_num(values.astype(precision), nan=bottom), bottom, top)
    if _is_white_zero(image):
        clipped = bottom + top - clipped
    grey = Image.fromarray(np.rint((clipped - bottom) * (255 / (top - bottom))).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        return grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return grey, None


def _sample_bits(image: Image.Image) -> int:
    """12 for the TIFF files that keep 12-bit samples in 16 bits, else 16."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    return 12 if bits == (12,) else 16


def _is_white_zero(image: Image.Image) -> bool:
    """Whether zero is white in a TIFF: Pillow turns samples of 8 bits over, but no deeper ones."""
    return bool(getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0)


def _range(values: np.ndarray[Any, Any], mode: str) -> tuple[float, float]:
    """The usual range of samples that holds the finite values, or theirs if none does."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    for top in (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high if high > low else low + 1


def _to_srgb(image: Image.Image, profile: object, notes: list[str]) -> Image.Image:
    """Convert colours (mode L, RGB, CMYK or LAB) to sRGB, through the embedded profile if it can be used."""
    if isinstance(profile, bytes) and profile:
        try:
            return _through_profile(image, profile, notes)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError):
            notes.append("colour profile ignored: unreadable")
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    mode = _PROFILE_SPACE[source.profile.xcolor_space]
    if mode == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if mode != image.mode:
        notes.append("colour profile ignored: made for other colours than the image's")
        return image.convert("RGB")
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if _changes_nothing(transform, mode):
        return image.convert("RGB")
    notes.append(f"converted from {_profile_name(source)} to sRGB")
    return transform.apply(image)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile is sRGB by what it does: its name tells little, and such pixels stay untouched."""
    if mode not in {"L", "RGB"}:
        return False
    levels = range(0, 256, 17)
    samples = list(product(levels, repeat=3)) if mode == "RGB" else [(level,) * 3 for level in levels]
    before = Image.fromarray(np.array([samples], np.uint8)).convert(mode)
    after = transform.apply(before)
    return int(np.abs(np.asarray(after, np.int16) - np.asarray(before.convert("RGB"), np.int16)).max()) <= 2


def _profile_name(profile: ImageCms.ImageCmsProfile) -> str:
    try:
        return one_line(ImageCms.getProfileDescription(profile), 60) or "an unnamed profile"
    except ImageCms.PyCMSError:
        return "an unnamed profile"


def _over_white(rgb: Image.Image, alpha: Image.Image | None, notes: list[str]) -> Image.Image:
    if alpha is None or cast("tuple[int, int]", alpha.getextrema())[0] == 255:
        return rgb
    notes.append("alpha flattened over white")
    white = Image.new("RGB", rgb.size, (255, 255, 255))
    white.paste(rgb, mask=alpha)
    return white
