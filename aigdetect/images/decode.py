"""Turn the bytes of an image file into upright 8-bit sRGB pixels, or into one clear error.

The bytes may be hostile: see :mod:`aigdetect.images.opening`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from aigdetect.errors import CameraRawError, ImageError
from aigdetect.images.compression import jpeg_quality, zeroed_bytes
from aigdetect.images.opening import (
    MAX_FRAMES,
    MAX_PIXELS,
    check_size,
    count_frames,
    damage_named,
    failures_named,
    open_image,
)
from aigdetect.images.partial import Part, decode_part
from aigdetect.images.raw import Preview, find_preview
from aigdetect.images.render import eight_bit_key, render
from aigdetect.images.upright import UPRIGHT, displayed_size

MIN_SIDE = 32
"""Images with a shorter side hold too little to be scored."""

LOW_RESOLUTION_SIDE = 224
"""Images with a shorter side are noted as low resolution: the model sees them enlarged."""


MOST_MISSING = 0.5
"""Share of the rows of an image from which on what is left allows no verdict but ``uncertain``."""

_HOLE = "damaged: "
_UNIFORM = "uniform image: no content"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class DecodedImage:
    """An image ready to be looked at.

    Attributes:
        image: the pixels as Pillow holds them, mode ``RGB``, sRGB, upright; of a damaged file those that are
            there, which may be fewer than width and height say.
        format: container by content: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"HEIF"``, ``"AVIF"``, ``"JXL"``...
        width: in pixels, as displayed.
        height: in pixels, as displayed.
        notes: what was done to the pixels, or limits what they tell; a few words each.
        doubtful: whether so much is missing or damaged, or so little shown, that no verdict but ``uncertain``
            is due.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    notes: tuple[str, ...]
    doubtful: bool = False

    @cached_property
    def pixels(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """``(height, width, 3)`` uint8, 0..255; a copy, which for a large image takes as long as a resize."""
        return np.array(self.image)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, partial: bool = False) -> DecodedImage:
    """Decode the first frame of an image file, by content alone.

    Args:
        data: the whole file.
        max_pixels: refuse images of more pixels than this, by their header.
        partial: of a file that is cut off or damaged, take what can be decoded, and note how much is missing;
            of a raw photograph, take the preview in it, with a note.

    Returns:
        upright sRGB pixels: orientation applied, colour profile converted, alpha laid over white, deeper
        samples scaled to 8 bits.

    Raises:
        ImageError: for any file that cannot be decoded, with what its header told.
    """
    if partial:
        data = _without_empty_end(data)
    try:
        image = open_image(data, max_pixels)
    except CameraRawError as error:
        preview = find_preview(data) if partial else None
        if preview is None:
            raise
        return _decoded_preview(preview, error.format, max_pixels)
    with failures_named(image.format or "", image.size):
        notes = _notes_on_file(image, data)
        part, what = None, ""
        try:
            image.load()
        except Exception as error:
            if partial and not isinstance(error, MemoryError):
                part = decode_part(image, data, lambda data: open_image(data, max_pixels))
            if part is None:
                raise
            image, what = part.image, damage_named(error, image.format or "")
        check_size(image.size, max_pixels)  # HEIF may turn out larger than its header said
        if image.format == "PNG" and "transparency" in image.info:
            image.info["transparency"] = eight_bit_key(image.info["transparency"], image.mode, data[24])
        return _rendered(image, notes) if part is None else _rendered_part(part, notes, what)


def _decoded_preview(preview: Preview, name: str, max_pixels: int) -> DecodedImage:
    """The preview in a raw photograph, turned as that is to be shown unless it says so itself."""
    image = open_image(preview.data, max_pixels)
    with failures_named(name, image.size):
        said = image.getexif().get(_ORIENTATION)
    decoded = decode(preview.data, max_pixels=max_pixels, partial=True)
    turn = None if said else UPRIGHT.get(preview.orientation)
    if turn is not None:
        turned = decoded.image.transpose(turn)
        width, height = (
            (decoded.height, decoded.width) if preview.orientation > 4 else (decoded.width, decoded.height)
        )
        decoded = replace(decoded, image=turned, width=width, height=height)
    note = f"camera raw: what was scored is its preview of {decoded.width}x{decoded.height} pixels"
    return replace(decoded, format=name, notes=(note, *decoded.notes))


def _without_empty_end(data: bytes) -> bytes:
    """A JPEG up to where its pixels turn into zeros to the end, as in a file that was downloaded in part."""
    begin, end = zeroed_bytes(data) if data.startswith(b"\xff\xd8") else (0, 0)
    return data[:begin] if end == len(data) and begin else data


def _rendered_part(part: Part, notes: list[str], what: str) -> DecodedImage:
    """What is there of an image, with a note that says how much is not."""
    if part.blurred:
        note = f"{what}: the last passes over the image are missing, and detail with them"
    else:
        note = f"{what}: {min(max(1, round(100 * part.missing)), 99)} % of the image missing"
    width, height = displayed_size(part.image)
    whole = _rendered(part.image, [*notes, note], part.rows)
    doubtful = part.blurred or part.missing > MOST_MISSING
    return replace(whole, width=width, height=height, doubtful=doubtful or whole.doubtful)


def from_image(image: Image.Image) -> DecodedImage:
    """Treat an image that is in memory, or was opened by Pillow, as :func:`decode` treats a file.

    Raises:
        ImageError: if its pixels cannot be decoded.
    """
    with failures_named(image.format or "", image.size):
        image.load()
        return _rendered(image, [])


def require_scorable(image: DecodedImage) -> None:
    """Refuse an image with less than :data:`MIN_SIDE` pixels on its short side.

    Raises:
        ImageError: if it is too small to score.
    """
    width, height = image.image.size
    if min(width, height) < MIN_SIDE:
        what = (
            "what is left of it is too small"
            if (width, height) != (image.width, image.height)
            else "too small"
        )
        raise ImageError(
            f"{what} to score: {width}x{height} pixels, at least {MIN_SIDE} on the short side",
            format=image.format,
            width=image.width,
            height=image.height,
        )


def _notes_on_file(image: ImageFile.ImageFile, data: bytes) -> list[str]:
    notes = []
    frames = count_frames(image, data)
    if frames > 1:
        notes.append(f"first frame of {frames if frames <= MAX_FRAMES else f'more than {MAX_FRAMES}'}")
    elif _has_broken_index(image):
        notes.append("first frame of an unknown number: their index is broken")
    if isinstance(image, JpegImageFile):
        begin, end = zeroed_bytes(data)
        if end:
            notes.append(f"{_HOLE}{end - begin} bytes of its pixels are zero, and what follows is displaced")
        quality = _jpeg_quality(image)
        if quality is not None and quality < 50:
            notes.append(f"strong compression (JPEG quality about {quality})")
    if image.format == "PNG" and not image.info.get("icc_profile") and b"iCCP" in data[: data.find(b"IDAT")]:
        notes.append("colour profile ignored: unreadable")
    return notes


def _notes_on_pixels(rgb: Image.Image) -> list[str]:
    notes = []
    if min(rgb.size) < LOW_RESOLUTION_SIDE:
        notes.append("low resolution")
    middle = rgb.height // 2
    row = rgb.crop((0, middle, rgb.width, middle + 1))  # sets nearly all images apart in no time
    if _is_uniform(row) and _is_uniform(rgb):
        notes.append(_UNIFORM)
    return notes


def _is_uniform(rgb: Image.Image) -> bool:
    return all(low == high for low, high in cast("tuple[tuple[int, int], ...]", rgb.getextrema()))


def _has_broken_index(image: ImageFile.ImageFile) -> bool:
    """Whether a JPEG says that it holds further pictures, but not readably where."""
    if not isinstance(image, JpegImageFile) or "mp" not in image.info:
        return False
    try:
        image._getmp()
    except Exception:  # noqa: BLE001 - whatever a broken index makes of Pillow's parser
        return True
    return False


def _jpeg_quality(image: JpegImageFile) -> int | None:
    """The libjpeg quality whose luminance table is nearest to the image's, 1..100."""
    table = image.quantization.get(image.layer[0][3]) if image.layer else None
    if table is None or len(table) != 64:
        return None
    return jpeg_quality(table)


def _rendered(image: Image.Image, notes: list[str], rows: tuple[int, int] | None = None) -> DecodedImage:
    rgb = render(image, notes, rows)
    seen = _notes_on_pixels(rgb)
    return DecodedImage(
        image=rgb,
        format=image.format or "",
        width=rgb.width,
        height=rgb.height,
        notes=(*notes, *seen),
        doubtful=any(note.startswith(_HOLE) for note in notes) or _UNIFORM in seen,
    )
