"""Where in an image the evidence lies: what the model says of small parts of it, one by one.

A vision transformer can be shown fewer tokens than it was made for: each part of the image goes through the
tower alone, as the tokens of a square half as wide as a view. So nothing is painted over, the parts keep
their full resolution, and the answer for a part depends on that part only.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

import aigdetect
from aigdetect.images.overlay import Scale, overlay
from aigdetect.images.thumbnail import encode_webp
from aigdetect.images.views import Pixels, resize
from aigdetect.model.base import Network
from aigdetect.model.detector import Detector
from aigdetect.model.network import MoleNetwork
from aigdetect.model.passes import half

MAX_PARTS = 256
"""Parts looked at in one image, at most; four of them cost about as much as one view."""
MAX_VIEWS = 64
"""The same for a model without tokens to choose from, of which each part is a view."""

_CELLS = 128  # of the map along the longer side of the image
_SCALE = Scale(-6.0, 6.0, ((-6.0, "more real"), (0.0, "as the rest"), (6.0, "more AI")))
_SIDE, _SMALL_SIDE = 1024, 288  # of the picture in pixels; a page shows the small one just so wide


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Where in an image the evidence lies.

    Attributes:
        relevance: ``(h, w)`` float32, covers the image evenly; the calibrated log-odds of what lies there,
            seen alone, but for a constant. Parts have a level of their own, so that only differences within
            one image mean anything.
        method: how it was made, in a word or two.
        caption: what it shows and what not.
    """

    relevance: NDArray[np.float32]
    method: str
    caption: str


def heatmap(detector: Detector, pixels: Pixels) -> HeatMap:
    """Say of every place in an image what the model makes of it alone.

    Args:
        detector: any model.
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.

    Raises:
        torch.OutOfMemoryError: if there is no memory even for a single part.
    """
    size, network = detector.card.preprocess.size, detector.network
    part = Part.of(_grid(network), size) if _has_tokens(network) else Part(size, 0, ())
    height, width = pixels.shape[:2]
    # a view enlarges what is smaller than itself, and so must a part
    side = max(1, min(part.side, part.side * min(height, width) // size))
    tops, lefts = _places(height, width, side, MAX_PARTS if part.tokens else MAX_VIEWS)
    logits = _logits(detector, pixels, part, side, tops, lefts)
    logits *= detector.card.calibration.slope  # models differ in what a logit of 1 is worth
    levels = _spread(logits.reshape(len(tops), len(lefts)), tops, lefts, side, height, width)
    return HeatMap(levels, "parts seen alone", _caption(side, part.side, tops, lefts, height, width))


def logits_of_tokens(network: MoleNetwork, tokens: Tensor) -> Tensor:
    """Logits ``(B,)`` of views of which the tower is shown only some tokens.

    Where each scale has weights of its own in the head, those of the last one are taken: of the shipped model
    those for the whole image told parts apart better than those for the crop, on the four images of its test.

    Args:
        network: of any model.
        tokens: ``(B, T, d)`` out of the tower's stem, those in front of all patches first.
    """
    kept = []
    for index in range(network.depth):
        tokens = network.tower.run_blocks(tokens, index, index + 1)
        if index >= network.first_token:
            kept.append(network.tower.class_token(tokens))
    features = network.tower.turn_back(torch.stack(kept, dim=1)) if kept else network.tower.embed(tokens)
    scales = torch.full((len(features),), network.head.sets - 1, device=features.device)
    return network.head(features, scales)  # type: ignore[no-any-return]


def render(heat: HeatMap, pixels: Pixels) -> bytes:
    """The heat map over its image as a PNG of 1024 pixels at most, with its scale.

    Colours show the difference to the image's median, on one scale for all images: what is alike all over
    stays in one colour, and no noise is blown up.

    Args:
        heat: of the image.
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.
    """
    file, facts = io.BytesIO(), PngInfo()
    facts.add_text("Software", f"aigdetect {aigdetect.__version__}")
    Image.fromarray(_drawn(heat, pixels, _SIDE)).save(file, "PNG", pnginfo=facts)
    return file.getvalue()


def render_small(heat: HeatMap, pixels: Pixels) -> bytes:
    """The same as a WebP of 288 pixels at most, for a page with many images."""
    return encode_webp(_drawn(heat, pixels, _SMALL_SIDE), quality=60)


def _drawn(heat: HeatMap, pixels: Pixels, side: int) -> Pixels:
    return overlay(pixels, heat.relevance - np.median(heat.relevance), _SCALE, side=side)


# -- parts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A square of tokens in the middle of a view.

    Attributes:
        side: in pixels.
        margin: pixels of the view before it.
        tokens: indices of its tokens, those in front of all patches first; none if it is the whole view.
    """

    side: int
    margin: int
    tokens: tuple[int, ...]

    @classmethod
    def of(cls, grid: tuple[int, int], size: int) -> Part:
        """Half as wide as a view of ``size`` pixels, with ``grid`` patches a side and tokens before them."""
        patches, leading = grid
        count = max(1, patches // 2)
        first = (patches - count) // 2
        inside = range(first, first + count)
        patch = size // patches
        tokens = (leading + row * patches + column for row in inside for column in inside)
        return cls(count * patch, first * patch, (*range(leading), *tokens))


def _has_tokens(network: Network) -> TypeGuard[MoleNetwork]:
    """Whether a part can be shown by some of the tokens of a view."""
    return hasattr(network, "tower")


def _grid(network: MoleNetwork) -> tuple[int, int]:
    """Patches along a side of a view, and tokens in front of all patches."""
    size = network.tower.image_size
    device = network.mean.device
    with torch.inference_mode():
        count = network.tower.stem(torch.zeros((1, 3, size, size), device=device)).shape[1]
    patches = math.isqrt(count)
    return patches, count - patches**2


def _places(height: int, width: int, side: int, most: int) -> tuple[list[int], list[int]]:
    """Upper and left edges of the parts: they overlap by half, or leave gaps where there are too many."""
    step = side / 2
    while True:
        rows, columns = (math.ceil((length - side) / step) + 1 for length in (height, width))
        if rows * columns <= most:
            return _evenly(height - side, rows), _evenly(width - side, columns)
        step *= 1.05


def _evenly(last: int, count: int) -> list[int]:
    return [round(number * last / max(1, count - 1)) for number in range(count)]


def _logits(
    detector: Detector, pixels: Pixels, part: Part, side: int, tops: list[int], lefts: list[int]
) -> NDArray[np.float32]:
    """Logit of every part, row by row, in batches that the device has memory for."""
    places = [(top, left) for top in tops for left in lefts]
    batch = 4 * detector.batch_size
    while True:
        try:
            return np.fromiter(_in_batches(detector, pixels, part, side, places, batch), np.float32)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        batch = half(batch, detector.device)


def _in_batches(
    detector: Detector, pixels: Pixels, part: Part, side: int, places: list[tuple[int, int]], batch: int
) -> Iterator[float]:
    """Logits of the parts at some places, so many at a time."""
    network, size = detector.network, detector.card.preprocess.size
    at = slice(part.margin, part.margin + part.side)
    for first in range(0, len(places), batch):
        views = np.zeros((len(places[first : first + batch]), size, size, 3), np.uint8)
        for view, (top, left) in zip(views, places[first : first + batch], strict=True):
            piece = pixels[top : top + side, left : left + side]
            view[at, at] = piece if side == part.side else resize(piece, height=part.side, width=part.side)
        shown = torch.from_numpy(views).to(detector.device)
        with torch.inference_mode():
            if _has_tokens(network):
                tokens = network.tower.stem(network.normalise(shown))
                yield from logits_of_tokens(network, tokens[:, list(part.tokens)]).tolist()
            else:
                yield from network(shown).tolist()


def _spread(
    logits: NDArray[np.float32], tops: list[int], lefts: list[int], side: int, height: int, width: int
) -> NDArray[np.float32]:
    """Logits of parts to a map of even cells: linear between the centres of parts, constant outside."""
    scale = min(1.0, _CELLS / max(height, width))
    down = _weights(tops, side, height, max(1, round(height * scale)))
    across = _weights(lefts, side, width, max(1, round(width * scale)))
    return np.asarray(down @ logits @ across.T, np.float32)


def _weights(starts: list[int], side: int, length: int, cells: int) -> NDArray[np.float32]:
    """``(cells, parts)``: how much each part counts at the centre of each cell."""
    centres = np.array(starts) + side / 2
    at = (np.arange(cells) + 0.5) * length / cells
    return np.stack([np.interp(at, centres, unit) for unit in np.eye(len(starts))], axis=1).astype(np.float32)


def _caption(side: int, natural: int, tops: list[int], lefts: list[int], height: int, width: int) -> str:
    count = len(tops) * len(lefts)
    said = [
        f"What the model says of each of {count} squares of {side} pixels, seen alone, against their median: "
        "yellow speaks more for generated than the rest of this image, dark blue less."
    ]
    if side < natural:
        said.append(f"The image is small: squares were enlarged to {natural} pixels.")
    steps = [(starts[-1] - starts[0]) / (len(starts) - 1) for starts in (tops, lefts) if len(starts) > 1]
    if steps and max(steps) > side:
        seen = min(1.0, count * side**2 / (height * width))
        said.append(
            f"The image is large: the squares cover {seen:.0%} of it, what is between is interpolated."
        )
    said.append(
        "The score does not rest on it. A yellow place is a place to look at, no proof of an edit: "
        "photographs that nobody edited have such places, too. A generated place can stay dark, and an image "
        "that was generated as a whole is alike all over."
    )
    return " ".join(said)
