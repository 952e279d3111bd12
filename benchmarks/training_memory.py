"""Memory of a training run over very many images, from their list to the first steps.

Usage: python benchmarks/training_memory.py [IMAGES]

The images and the tower are stand-ins, and their size is not what is measured: every image is the same grey
square, and the tower is a few thousand weights. All that the program holds for each image is real.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from aigdetect.data import dataset
from aigdetect.data.layouts import DataSet, Sample
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.model.towers.vit import PlainVit
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.model.weights.backbones import VitShape
from aigdetect.training import open_outputs
from aigdetect.training.callbacks import Step, Watch
from aigdetect.training.checkpoint import RunIdentity, digest_images
from aigdetect.training.partition import RunImages, split_data
from aigdetect.training.recipe import make_recipe
from aigdetect.training.run import Run
from aigdetect.training.train_model import train_network

#: the images of the paper's training set
IMAGES = 720_000
#: steps after which the run is stopped
STEPS = 50

_SIZE = 32


class _EnoughError(Exception):
    """Ends a run."""


def _peak() -> float:
    """Largest memory of the process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _samples(count: int) -> tuple[Sample, ...]:
    kinds = [f"class{kind:02}" for kind in range(20)]
    return tuple(
        Sample(
            f"/data/progan/{kinds[index % 20]}/{('0_real', '1_fake')[index // 20 % 2]}/{index:08}.png",
            index // 20 % 2,
            "progan",
            root="/data/progan",
        )
        for index in range(count)
    )


def _network() -> MoleNetwork:
    base = PlainVit(VitShape(_SIZE, patch_size=8, width=32, layers=4, heads=4, hidden=64, embed_dim=16))
    tower = wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="stand-in")
    return MoleNetwork(tower, AdapterConfig(blocks=3))


def _begin(network: MoleNetwork, data: DataSet, told: Callable[[str], None], *, balanced: bool) -> None:
    """A run up to its first steps."""
    recipe = make_recipe({"balanced": True, "balanced_batches": balanced, "cache": "none"})
    split = split_data([data], recipe)
    told(f"split into {len(split.training)} and {len(split.validation)}")
    digest = digest_images(split.training, split.validation, contents=split.contents)
    identity = RunIdentity(recipe.defining(), "", digest)
    images = RunImages(split.training, split.validation)

    def enough(step: Step) -> None:
        if step.step == STEPS:
            raise _EnoughError

    watch = Watch(stage=lambda name, total: told(f"before {name}"), step=enough)
    with (
        contextlib.suppress(_EnoughError),
        tempfile.TemporaryDirectory() as folder,
        Run(Path(folder), identity, watch=watch).recorded() as run,
    ):
        train_network(network, recipe, images, run)
    told(f"{STEPS} steps of {'balanced' if balanced else 'shuffled'} batches")


def main() -> None:
    """Print the peak after each stage."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    torch.set_num_threads(1)
    network = _network()
    pixels = np.full((_SIZE, _SIZE, 3), 128, dtype=np.uint8)
    dataset._pixels = lambda data, max_pixels: pixels
    dataset.load_bytes = lambda sample: sample.path.encode()  # no two are one image
    open_outputs.KEPT_BYTES = 0  # those of a real tower would not fit, either
    few = DataSet("/data/progan", "made up", _samples(32 * STEPS))
    _begin(network, few, lambda stage: None, balanced=False)  # all that is loaded for a first step is there
    began, start = time.perf_counter(), _peak()
    print(f"{count} images; program and libraries: {start:.0f} MiB")

    def told(stage: str) -> None:
        more = _peak() - start
        print(
            f"{stage}: {more:.0f} MiB more at most, {more * 2**20 / count:.0f} bytes an image, "
            f"{time.perf_counter() - began:.1f} s"
        )

    data = DataSet("/data/progan", "made up", _samples(count))
    told("list of images")
    for balanced in (False, True):
        _begin(network, data, told, balanced=balanced)


if __name__ == "__main__":
    main()
