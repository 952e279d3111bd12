"""Do heat maps find a part that does not belong? ``python benchmarks/heatmap.py DATA``.

Real images of a labelled data set, cut to ``--side`` pixels, get one square replaced: by a piece of a
generated image (``generated``), by one of another real image (``real``: a control, which a map of what is
generated should leave cold), or by itself at half the resolution and back (``resampled``). Edges are blended,
and every second result goes through JPEG. For each method the table holds the pointing game (the share of
images whose hottest place lies in the square; by chance it would be the square's share of the area) and the
ROC AUC of heat inside against outside, as a mean over images with twice its standard error.

Methods: ``parts`` is what the program ships; ``windows`` are whole views, every half view, averaged where
they overlap; ``gradient`` is the positive part of gradient times token before every second block of those
windows; ``occlusion`` is what the logit of a window loses when a block of its tokens is left out.
"""

from __future__ import annotations

import argparse
import io
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor

from aigdetect.data.layouts import Sample, find_samples
from aigdetect.images.decode import decode
from aigdetect.images.views import Pixels, resize
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import DEFAULT_MODEL
from aigdetect.model.detector import Detector
from aigdetect.model.heatmap import heatmap, logits_of_tokens
from aigdetect.model.network import MoleNetwork

Floats = NDArray[np.floating[Any]]
Method = Callable[[Detector, Pixels], Floats]
CELL = 8  # pixels on a side of a place that is judged

# -- methods -----------------------------------------------------------------------------------------------


def parts(detector: Detector, pixels: Pixels) -> Floats:
    """What the program ships."""
    return heatmap(detector, pixels).relevance.astype(np.float64)


def windows(detector: Detector, pixels: Pixels) -> Floats:
    """Logits of whole views."""
    size = detector.card.preprocess.size
    found = ((at, np.full((size, size), logit)) for at, logit in _window_logits(detector, pixels, size // 2))
    return _average(pixels, found)


def gradient(detector: Detector, pixels: Pixels) -> Floats:
    """Gradient times token, where it is positive."""
    size, network = detector.card.preprocess.size, _network(detector)

    def found() -> Iterator[tuple[tuple[int, int], Floats]]:
        for at in _corners(pixels, size, size // 2):
            with torch.enable_grad():
                tokens = _stem(detector, pixels, [at]).requires_grad_()
                inputs = []
                kept = []
                for index in range(network.depth):
                    if index % 2 == 0:
                        inputs.append(tokens)
                    tokens = network.tower.run_blocks(tokens, index, index + 1)
                    if index >= network.first_token:
                        kept.append(network.tower.class_token(tokens))
                logit = network.head(torch.stack(kept, dim=1))
                slopes = torch.autograd.grad(logit.sum(), inputs)
            products = [(x * slope).sum(-1)[0] for x, slope in zip(inputs, slopes, strict=True)]
            yield at, _per_pixel(sum(each.clamp(min=0) for each in products), size)  # type: ignore[arg-type]

    return _average(pixels, found())


def occlusion(detector: Detector, pixels: Pixels) -> Floats:
    """Loss of the logit without a block of tokens."""
    size = detector.card.preprocess.size

    def found() -> Iterator[tuple[tuple[int, int], Floats]]:
        for at in _corners(pixels, size, size):
            tokens = _stem(detector, pixels, [at])
            patches = int((tokens.shape[1] - 1) ** 0.5)
            edges = [round(part * patches / 3) for part in range(4)]
            (whole,) = _finish(detector, tokens)
            lost = np.zeros((patches, patches))
            for (top, bottom), (left, right) in product(pairwise(edges), repeat=2):
                keep = np.ones((patches, patches), bool)
                keep[top:bottom, left:right] = False
                chosen = [0, *(1 + np.flatnonzero(keep))]
                (without,) = _finish(detector, tokens[:, chosen])
                lost[top:bottom, left:right] = whole - without
            yield at, np.kron(lost, np.ones((size // patches, size // patches)))

    return _average(pixels, found())


def with_gradients(model: str) -> Detector:
    """The detector in float32 with layers that have a gradient: packed ones have none."""
    with mock.patch("aigdetect.model.towers.arithmetic.can_pack", return_value=False):
        return load_detector(model, precision="float32")


METHODS: dict[str, Method] = {
    "parts": parts,
    "windows": windows,
    "gradient": gradient,
    "occlusion": occlusion,
}


def _corners(pixels: Pixels, size: int, step: int) -> list[tuple[int, int]]:
    """Upper left corners of windows that cover the image."""
    starts = []
    for length in pixels.shape[:2]:
        count = max(1, -(-(length - size) // step) + 1)
        starts.append([round(number * (length - size) / max(1, count - 1)) for number in range(count)])
    return list(product(*starts))


def _network(detector: Detector) -> MoleNetwork:
    network = detector.network
    assert isinstance(network, MoleNetwork)
    return network


def _stem(detector: Detector, pixels: Pixels, corners: Sequence[tuple[int, int]]) -> Tensor:
    size, network = detector.card.preprocess.size, _network(detector)
    views = np.stack([pixels[top : top + size, left : left + size] for top, left in corners])
    with torch.no_grad():
        return network.tower.stem(network.normalise(torch.from_numpy(views).to(detector.device)))


@torch.no_grad()
def _finish(detector: Detector, tokens: Tensor) -> list[float]:
    return logits_of_tokens(_network(detector), tokens).tolist()


def _window_logits(detector: Detector, pixels: Pixels, step: int) -> Iterator[tuple[tuple[int, int], float]]:
    corners = _corners(pixels, detector.card.preprocess.size, step)
    for first in range(0, len(corners), detector.batch_size):
        batch = corners[first : first + detector.batch_size]
        yield from zip(batch, _finish(detector, _stem(detector, pixels, batch)), strict=True)


def _per_pixel(tokens: Tensor, size: int) -> Floats:
    """A number per token, the class token's first, to one per pixel."""
    patches = int((len(tokens) - 1) ** 0.5)
    grid = tokens[1:].detach().double().cpu().numpy().reshape(patches, patches)
    return np.kron(grid, np.ones((size // patches, size // patches)))


def _average(pixels: Pixels, found: Iterator[tuple[tuple[int, int], Floats]]) -> Floats:
    """The mean of overlapping pieces."""
    total, count = np.zeros(pixels.shape[:2]), np.zeros(pixels.shape[:2])
    for (top, left), piece in found:
        place = slice(top, top + piece.shape[0]), slice(left, left + piece.shape[1])
        total[place] += piece
        count[place] += 1
    mean: Floats = total / np.maximum(count, 1)
    return mean


# -- edited images -----------------------------------------------------------------------------------------


class Editor:
    """Replaces a square of a real image, the same way every time."""

    def __init__(self, samples: Sequence[Sample], side: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.side = side
        sizes = {sample.path: _size(sample) for sample in samples}
        self.real = [one for one in samples if one.label == 0 and sizes[one.path] >= 0.7 * side]
        self.generated = [one for one in samples if one.label == 1 and sizes[one.path] >= side // 2]

    def image(self) -> Pixels:
        """One at random, cut to ``side`` pixels."""
        pixels = self._any(self.real)
        top, left = (max(0, (length - self.side) // 2) for length in pixels.shape[:2])
        return pixels[top : top + self.side, left : left + self.side]

    def edit(self, pixels: Pixels, kind: str) -> tuple[Pixels, NDArray[np.bool_]]:
        """The image with a square replaced, and where that is."""
        square = int(min(pixels.shape[:2]) * self.rng.uniform(0.3, 0.45))
        top, left = (int(self.rng.integers(length - square + 1)) for length in pixels.shape[:2])
        place = slice(top, top + square), slice(left, left + square)
        mask = np.zeros(pixels.shape[:2], bool)
        mask[place] = True
        other = pixels.astype(np.float64)
        other[place] = self._filling(pixels[place], kind, square)
        soft = ndimage.gaussian_filter(mask.astype(np.float64), 4)[..., None]
        edited = np.rint(pixels * (1 - soft) + other * soft).astype(np.uint8)
        return _encoded(edited) if self.rng.random() < 0.5 else edited, mask

    def _filling(self, pixels: Pixels, kind: str, square: int) -> Pixels:
        if kind == "resampled":
            return resize(resize(pixels, height=square // 2, width=square // 2), height=square, width=square)
        source = self._any(self.generated if kind == "generated" else self.real)
        top, left = (int(self.rng.integers(length - square + 1)) for length in source.shape[:2])
        return source[top : top + square, left : left + square]

    def _any(self, samples: Sequence[Sample]) -> Pixels:
        generators = sorted({sample.generator for sample in samples})
        chosen = generators[self.rng.integers(len(generators))]
        of_it = [sample for sample in samples if sample.generator == chosen]
        return decode(Path(of_it[self.rng.integers(len(of_it))].path).read_bytes()).pixels


def _size(sample: Sample) -> int:
    with Image.open(sample.path) as image:
        return int(min(image.size))


def _encoded(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return np.asarray(Image.open(file))


# -- judging -----------------------------------------------------------------------------------------------


def judge(heat: Floats, mask: NDArray[np.bool_]) -> tuple[float, bool]:
    """ROC AUC of heat inside the square against outside, and whether the hottest place is inside."""
    height, width = (length // CELL for length in mask.shape)
    inside = mask[CELL // 2 :: CELL, CELL // 2 :: CELL][:height, :width]
    image = Image.fromarray(heat.astype(np.float32))
    shown = np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float64)
    hottest = np.argwhere(shown >= shown.max()).mean(axis=0).round().astype(int)
    return float(roc_auc_score(inside.ravel(), shown.ravel())), bool(inside[tuple(hottest)])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=448)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--kinds", nargs="+", default=["generated", "real", "resampled"])
    options = parser.parse_args()
    detector = load_detector(options.model)
    readers = dict.fromkeys(options.methods, detector)
    if "gradient" in readers:
        readers["gradient"] = with_gradients(options.model)
    editor = Editor(find_samples(options.data).samples, options.side, options.seed)
    areas: dict[str, list[float]] = defaultdict(list)
    found: dict[tuple[str, str], list[tuple[float, bool]]] = defaultdict(list)
    for _ in range(options.images):
        pixels = editor.image()
        for kind in options.kinds:
            edited, mask = editor.edit(pixels, kind)
            areas[kind].append(float(mask.mean()))
            for method in options.methods:
                found[kind, method].append(judge(METHODS[method](readers[method], edited), mask))
    table = Table(
        title=f"{options.images} real images of at most {options.side} pixels, {detector.card.name}"
    )
    for title in ("square", "method", "pointing game", "by chance", "AUC", "±"):
        table.add_column(title, justify="left" if title in ("square", "method") else "right")
    for (kind, method), judged in found.items():
        curves = [auc for auc, _ in judged]
        error = 2 * statistics.stdev(curves) / len(curves) ** 0.5
        hits = statistics.fmean(hit for _, hit in judged)
        cells = (hits, statistics.fmean(areas[kind]), statistics.fmean(curves), error)
        table.add_row(kind, method, *(f"{cell:.2f}" for cell in cells))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
