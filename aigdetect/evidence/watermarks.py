"""Open watermarks: the fixed bits that public pipelines write into the colours of what they make.

The pipelines of SDXL and FLUX call ``WatermarkEncoder`` of invisible-watermark with its method ``dwtDct``
(https://github.com/ShieldMnt/invisible-watermark, ``maxDct.py``; in spite of the name there is no cosine
transform in it). The blue difference U of YUV is halved by a Haar wavelet; of every 4x4 of its averages the
largest but the first carries one bit: its remainder by 36 becomes 9 for a 0 and 27 for a 1. The bits of the
message come again and again, block by block and row by row. So they survive no resize, few crops, and JPEG
only at the highest qualities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigdetect.evidence.findings import Finding, Kind, Says, Strength

if TYPE_CHECKING:  # loaded for the files that need it
    import numpy as np
    from numpy.typing import NDArray

MIN_SIDE = 256
"""Shorter sides are not read: no pipeline marks them."""

MAX_PIXELS = 1 << 22
"""Images of more pixels are not read: no pipeline makes them."""

MAX_CHANCE = 1e-6
"""A message is claimed if the chance that it fits so well is no more than this."""

_STEP = 36
_BLOCK = 8


@dataclass(frozen=True)
class Message:
    """A fixed message of a public pipeline.

    Attributes:
        pipeline: who writes it.
        bits: its bits, ``"0"`` and ``"1"``.
    """

    pipeline: str
    bits: str


MESSAGES = (
    # https://github.com/Stability-AI/generative-models, sgm/inference/helpers.py; diffusers, watermark.py
    Message("SDXL", "101100111110110010010000011110111011000110011110"),
    # https://github.com/black-forest-labs/flux, src/flux/util.py: of its 48 digits Python's bin() drops the
    # first two, which are zeros, so that the pipeline itself writes 46; a copy that keeps them writes all
    Message("FLUX", "1010101111111010000111100111001111010100101110"),
    Message("FLUX", "001010101111111010000111100111001111010100101110"),
)
"""What is looked for. Those who publish them drew them at random, which is what the chance rests on."""


@dataclass(frozen=True)
class Watermark:
    """A message found in an image.

    Attributes:
        pipeline: who writes it.
        agree: bits of the message that were read as they should be, each by itself.
        bits: bits of the message.
        chance: bound of the chance that a random message fits this image so well, all messages looked for
            counted.
    """

    pipeline: str
    agree: int
    bits: int
    chance: float

    def finding(self) -> Finding:
        """What it claims: pipelines mark what they make and what they change alike, and anyone can."""
        bound = f"1e{math.ceil(math.log10(self.chance))}"
        claim = (
            f"bits of {self.pipeline}'s pipelines: {self.agree} of {self.bits} agree, chance under {bound}"
        )
        return Finding(Kind.WATERMARK, "pixels", claim, Says.GENERATED, Strength.WATERMARK)


def can_be_marked(width: int, height: int) -> bool:
    """Whether an image of this size is looked at."""
    return min(width, height) >= MIN_SIDE and width * height <= MAX_PIXELS


def read_watermarks(pixels: NDArray[np.uint8]) -> tuple[Watermark, ...]:
    """Look for the messages of public pipelines.

    What is read are the mean scores of the bits. How well a message fits is their correlation ``r`` with it.
    Bits read out of photographs are no fair coins, but those of a message are: whoever drew it did not know
    the image. So, whatever the scores of an image are, a random message of ``n`` bits fits by ``r`` or more
    with a chance of at most ``exp(-n r^2 / 2)`` (Hoeffding 1963, theorem 2).

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.

    Returns:
        the messages that fit better than :data:`MAX_CHANCE` allows, the best for each pipeline; none for
        images that are too small or too large.
    """
    height, width = pixels.shape[:2]
    if not can_be_marked(width, height):
        return ()
    found: dict[str, Watermark] = {}
    for mark in compare(pixels):
        if mark.chance <= min(MAX_CHANCE, found.get(mark.pipeline, mark).chance):
            found[mark.pipeline] = mark
    return tuple(found.values())


def compare(pixels: NDArray[np.uint8]) -> tuple[Watermark, ...]:
    """How well each of :data:`MESSAGES` fits, found or not.

    Args:
        pixels: as for :func:`read_watermarks`, of an image that :func:`can_be_marked`.
    """
    scores = _scores(pixels)
    return tuple(_compared(scores, message) for message in MESSAGES)


def _compared(scores: NDArray[np.float64], message: Message) -> Watermark:
    """How well one message fits the scores ``(blocks,)``, -1..1."""
    import numpy as np

    length = len(message.bits)
    bit = np.arange(len(scores)) % length
    read = np.bincount(bit, scores, length) / np.bincount(bit, minlength=length)
    wanted = np.array([1 if each == "1" else -1 for each in message.bits])
    # against their mean: in most images one of the two values is the more frequent in all places
    above = read - read.mean()
    spread = float(np.linalg.norm(above)) * math.sqrt(length)
    fit = max(0.0, float(above @ wanted) / spread) if spread > 1e-9 else 0.0
    return Watermark(
        pipeline=message.pipeline,
        agree=int(((read > 0) == (wanted > 0)).sum()),
        bits=length,
        chance=min(1.0, len(MESSAGES) * math.exp(-length * fit * fit / 2)),
    )


def _scores(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What each block says of its bit, -1 for a 0 and 1 for a 1, row by row."""
    import numpy as np

    rows, columns = (side // _BLOCK for side in pixels.shape[:2])
    u = _blue_difference(pixels[: rows * _BLOCK, : columns * _BLOCK])
    # sums of four are twice the averages of the wavelet
    sums = u.reshape(rows * 4, 2, columns * 4, 2).sum(axis=(1, 3), dtype=np.int32)
    blocks = sums.reshape(rows, 4, columns, 4).transpose(0, 2, 1, 3).reshape(-1, 16)
    largest = blocks[:, 1:].max(axis=1)
    scores: NDArray[np.float64] = -np.sin(largest * (2 * np.pi / (2 * _STEP)))
    return scores


def _blue_difference(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """U of YUV, in the whole numbers that OpenCV calculates it in, 0..255."""
    import numpy as np

    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    luma = (red * 4899 + green * 9617 + blue * 1868 + 8192) >> 14
    u: NDArray[np.int32] = np.clip(((blue - luma) * 8061 + (128 << 14) + 8192) >> 14, 0, 255)
    return u
