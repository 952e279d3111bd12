"""What the pixels of an image say of where it comes from, beside what its metadata claims."""

from __future__ import annotations

import logging

import numpy as np

from aigdetect.evidence.jpeg_structure import read_thumbnail
from aigdetect.evidence.provenance import Provenance
from aigdetect.evidence.thumbnails import LEAST_ALIKE, similarity
from aigdetect.evidence.watermarks import read_watermarks
from aigdetect.images.decode import DecodedImage, decode
from aigdetect.images.views import Pixels

_MAX_THUMBNAIL = 1 << 20  # pixels: those of cameras have 160 x 120, some 640 x 480

_log = logging.getLogger(__name__)


def with_pixels(provenance: Provenance, data: bytes, image: DecodedImage) -> Provenance:
    """Provenance with what the pixels add to it; as it is where they add nothing, or cannot be read.

    Args:
        provenance: what the metadata claims.
        data: the file.
        image: decoded from it.
    """
    if not provenance.wants_pixels(image.width, image.height):
        return provenance
    try:
        pixels = np.asarray(image.image)
        marks = read_watermarks(pixels)
        whole = image.image.size == (image.width, image.height) and not image.doubtful
        other = _other_thumbnail(provenance, data, pixels) if whole else ()
    except Exception:  # noqa: BLE001 - whatever the bytes lead to, the image is scored all the same
        _log.debug("pixels", exc_info=True)
        return provenance
    return provenance.seen(marks, other) if marks or other else provenance


def _other_thumbnail(provenance: Provenance, data: bytes, pixels: Pixels) -> tuple[str, ...]:
    """Whether the thumbnail in EXIF shows another picture."""
    if provenance.jpeg is None or not provenance.jpeg.thumbnail:
        return ()
    thumbnail = decode(read_thumbnail(data), max_pixels=_MAX_THUMBNAIL)
    alike = similarity(thumbnail.pixels, pixels)
    if alike is None or alike >= LEAST_ALIKE:
        return ()
    return (f"the thumbnail in EXIF shows another picture (similarity {alike:.2f}, below {LEAST_ALIKE:g})",)
