"""How an image lies in its file, and how large it is once it is upright."""

from __future__ import annotations

from PIL import Image

_ORIENTATION = 0x0112

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by EXIF's number for how it lies."""


def displayed_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image once it is upright."""
    return (image.height, image.width) if orientation_of(image) > 4 else image.size


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation that is still to be applied; 1 if unreadable or out of range."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - broken metadata must not stop an image
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1
