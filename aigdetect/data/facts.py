"""What the file of an image tells apart from its pixels: format, size, compression, EXIF.

One reader for training's warnings and for the audit of an evaluation.
"""

from __future__ import annotations

import heapq
import io
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

import aigdetect.images.decode  # noqa: F401 - teaches Pillow HEIC and JPEG XL, and silences its warnings
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import ImageError
from aigdetect.images.compression import jpeg_quality

# What Pillow and its plugins let out on malformed or enormous headers.
_MALFORMED = (
    *(OSError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, MemoryError, RuntimeError),
    *(struct.error, Image.DecompressionBombError, ImageError),
)

_MAX_CHUNKS = 1000  # of a WebP, before its picture


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a header tells about one image.

    Attributes:
        label: 1 for AI-generated, 0 for real.
        format: container format by content (``"JPEG"``, ``"PNG"``...); of the two kinds of WebP, which are as
            unlike as JPEG and PNG, ``"WEBP"`` is the lossy one, the other ``"lossless WEBP"``.
        width: in pixels, as stored.
        height: in pixels, as stored.
        bytes_per_pixel: size of the file by its pixels.
        jpeg_quality: 1 to 100 on the scale of libjpeg, None if it is no JPEG.
        exif: whether there is an EXIF block (in a PNG: before the pixels).
    """

    label: int
    format: str
    width: int
    height: int
    bytes_per_pixel: float
    jpeg_quality: int | None = None
    exif: bool = False


def read_facts(sample: Sample) -> ImageFacts | None:
    """Read one image's header, without its pixels; None if that fails."""
    try:
        if sample.inside is not None:
            return facts_of(sample.inside.read(), sample.label)
        with Path(sample.path).open("rb") as file:
            return _facts(file, os.fstat(file.fileno()).st_size, sample.label)
    except _MALFORMED:
        return None


def facts_of(data: bytes, label: int) -> ImageFacts | None:
    """As `read_facts`, of a file in memory."""
    try:
        return _facts(io.BytesIO(data), len(data), label)
    except _MALFORMED:
        return None


def choose_some(samples: Iterable[Sample], *, per_class: int, seed: int = 0) -> list[Sample]:
    """Choose some images of each class, at random but the same ones for one seed, real ones first.

    Args:
        samples: in any order; the choice does not depend on it.
        per_class: how many of each class at most.
        seed: see `aigdetect.data.split.shuffle_key`.
    """
    samples = tuple(samples)
    chosen: list[Sample] = []
    for label in (0, 1):
        ours = (sample for sample in samples if sample.label == label)
        chosen += heapq.nsmallest(
            per_class, ours, key=lambda sample: (shuffle_key(sample, seed=seed), sample.path)
        )
    return chosen


def _facts(file: BinaryIO, size: int, label: int) -> ImageFacts | None:
    with Image.open(file) as image:
        width, height = image.size
        tables = getattr(image, "quantization", None) or {}
        quality = jpeg_quality(tables[0]) if 0 in tables else None
        form = image.format or ""
        if form == "WEBP" and _is_lossless_webp(file):
            form = "lossless WEBP"
        exif = bool(image.info.get("exif"))
    if width < 1 or height < 1:
        return None
    return ImageFacts(label, form, width, height, size / (width * height), quality, exif)


def _is_lossless_webp(file: BinaryIO) -> bool:
    """Look for the chunk of the picture, or of the first one of an animation, in a WebP file."""
    file.seek(12)
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, size = struct.unpack("<4sI", head)
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        # of a frame, only its own header is skipped; chunks have even sizes
        file.seek(16 if kind == b"ANMF" else size + size % 2, os.SEEK_CUR)
    return False
