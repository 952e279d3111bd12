"""Scores of a nearest-neighbour baseline for ``aigdetect eval --scores``.

``python benchmarks/nearest_neighbour.py TRAIN DATA OUT.csv``: UnivFD's second baseline. The images of TRAIN
become two banks of frozen embeddings, real and generated; the score of an image of DATA is the cosine
similarity to the nearest generated one minus that to the nearest real one. Every image is seen as a scan sees
it with ``--views center_crop``. Writes ``path,score,error``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aigdetect.data.augment import Augmentation
from aigdetect.data.dataset import batched, copies_of_views, map_ordered
from aigdetect.data.layouts import Sample, find_samples, require_both_classes
from aigdetect.errors import AigdetectError, ImageError, UsageError
from aigdetect.images.views import Pixels
from aigdetect.model.detector import choose_device
from aigdetect.model.nearest import fill_banks
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.arithmetic import choose_precision, prepare_tower
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig

_BATCH = 16

Floats = NDArray[np.float32]


def embed(
    network: MoleNetwork, samples: Sequence[Sample], workers: int
) -> tuple[Floats, list[int], dict[int, str]]:
    """Embeddings of the images that can be read.

    Returns:
        embeddings ``(n, d)``, the places of their samples, and what is wrong with the others, by place.
    """
    size = network.tower.image_size
    device = next(network.parameters()).device
    errors: dict[int, str] = {}
    places: list[int] = []
    parts: list[Floats] = []

    def plain(sample: Sample) -> Pixels:
        return copies_of_views(sample, [None], size=size, augmentation=Augmentation(), seed=0)[0]

    views = map_ordered(plain, samples, workers=workers)
    for batch in batched(enumerate(views), _BATCH):
        read = {place: view for place, view in batch if not isinstance(view, ImageError)}
        errors |= {place: str(view) for place, view in batch if isinstance(view, ImageError)}
        if read:
            stacked = torch.from_numpy(np.concatenate(list(read.values())))
            parts.append(network.trunk(stacked.to(device)).float().cpu().numpy())
            places += read
    width = network.tower.embed_dim
    return np.concatenate(parts) if parts else np.zeros((0, width), np.float32), places, errors


def scores(
    network: MoleNetwork, known: Sequence[Sample], samples: Sequence[Sample], neighbours: int, workers: int
) -> list[tuple[Sample, str, str]]:
    """Rows of sample, score and error; known images that cannot be read are left out and named."""
    bank, places, errors = embed(network, known, workers)
    for place, reason in errors.items():
        sys.stderr.write(f"left out: {known[place].path}: {reason}\n")
    labels = np.array([known[place].label for place in places])
    asked, found, failed = embed(network, samples, workers)
    try:
        logits = fill_banks(bank, labels).logits(asked, neighbours=neighbours)
    except ValueError as error:
        raise UsageError(str(error)) from error
    told = {place: repr(float(logit)) for place, logit in zip(found, logits, strict=True)}
    return [(sample, told.get(i, ""), failed.get(i, "")) for i, sample in enumerate(samples)]


def main() -> int:
    """Run the baseline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", help="labelled images that fill the banks, in any layout that train takes")
    parser.add_argument("data", help="labelled images to score")
    parser.add_argument("out", type=Path, help="CSV to write")
    parser.add_argument("--backbone", default="ViT-B-16")
    parser.add_argument("--weights", type=Path, help="file with the backbone's weights")
    parser.add_argument("--neighbours", type=int, default=1, help="how many of each class count")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    try:
        known, asked = find_samples(options.train).pick("train"), find_samples(options.data)
        require_both_classes(known)
        device = choose_device(options.device)
        tower, _ = load_tower(options.backbone, file=options.weights)
        network = MoleNetwork(tower, AdapterConfig(blocks=0)).eval()
        prepare_tower(network.tower, choose_precision(options.precision, device), device)
        network.to(device)
        rows = scores(network, known.samples, asked.samples, options.neighbours, options.workers)
    except AigdetectError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    with options.out.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "score", "error"])
        writer.writerows((sample.path, score, error) for sample, score, error in rows)
    failed = sum(not score for _, score, _ in rows)
    sys.stderr.write(f"{len(rows) - failed} images scored, {failed} could not be\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
