"""What can be decoded of an image whose file is cut off or damaged: whole rows, and how many they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile

from aigdetect.formats.jpeg import count_scans

_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Part:
    """An image of which not all could be decoded.

    Attributes:
        image: loaded; rows that are missing hold no picture.
        rows: first row that is there, and the one behind the last; before any rotation.
        blurred: whether all rows are there, but coarse: passes over the picture are missing.
    """

    image: ImageFile.ImageFile
    rows: tuple[int, int]
    blurred: bool = False

    @property
    def missing(self) -> float:
        """Share of the rows that are missing, 0..1."""
        return 1 - (self.rows[1] - self.rows[0]) / self.image.height


def decode_part(
    failed: ImageFile.ImageFile, data: bytes, reopen: Callable[[bytes], ImageFile.ImageFile]
) -> Part | None:
    """Decode the longest run of whole rows that there is.

    The decoders do not say how far they came. So the image is decoded once more, into memory that was filled
    with another value than the zeros of the first time: a row that differs was not written.

    Args:
        failed: the image, whose decoder has failed; it is not used any more afterwards.
        data: its file.
        reopen: reads the header of a file.

    Returns:
        what there is; None if there is not one row, or if the decoder gives nothing before it has all.
    """
    failed.tile = []  # nothing more is to be decoded
    image = _decoded_over(data, reopen, 255)
    if image is not None and _is_loaded(failed) and (failed.mode, failed.size) == (image.mode, image.size):
        begin, end = _longest_run(failed, image)
        if end > begin:
            return Part(image, (begin, end))
    # the first pass shows the whole image, coarsely; only a second one says that it is complete
    if failed.format == "JPEG" and failed.info.get("progressive") and count_scans(data, 2) > 1:
        whole = reopen(data.rstrip(b"\xff") + b"\xff\xd9")  # the decoder makes do with the passes that it has
        with contextlib.suppress(Exception):
            whole.load()
            return Part(whole, (0, whole.height), blurred=True)
    return None


def _decoded_over(
    data: bytes, reopen: Callable[[bytes], ImageFile.ImageFile], value: int
) -> ImageFile.ImageFile | None:
    """An image decoded as far as that goes, over memory that holds a value; None if not into that memory."""
    image = reopen(data)
    bands = len(image.getbands())
    try:
        memory = Image.new(image.mode, image.size, value if bands == 1 else (value,) * bands).im
    except ValueError:  # a mode that only this format's decoder knows
        return None
    image.im = memory
    with contextlib.suppress(Exception):  # it fails: that is why it comes here
        image.load()
    image.tile = []
    return image if image.im is memory else None


def _is_loaded(image: ImageFile.ImageFile) -> bool:
    """Whether an image has memory for its pixels."""
    try:
        image.load()
    except Exception:  # noqa: BLE001 - what a format's own reader makes of an image without pixels
        return False
    return True


def _longest_run(one: Image.Image, other: Image.Image) -> tuple[int, int]:
    """The longest run of rows that are alike: its first row, and the one behind its last."""
    alike = np.zeros(one.height + 2, bool)
    for top in range(0, one.height, _ROWS_AT_ONCE):
        box = (0, top, one.width, min(top + _ROWS_AT_ONCE, one.height))
        differs = np.asarray(one.crop(box)) != np.asarray(other.crop(box))
        alike[1 + top : 1 + box[3]] = ~differs.reshape(box[3] - top, -1).any(axis=1)
    changes = np.flatnonzero(alike[1:] != alike[:-1])
    runs = [(int(begin), int(end)) for begin, end in zip(changes[::2], changes[1::2], strict=True)]
    return max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
