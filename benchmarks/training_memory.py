"""Memory of a training run over very many images: all that is held before the first of them is decoded.

Usage: python benchmarks/training_memory.py [IMAGES]
"""

from __future__ import annotations

import resource
import sys
import time

import torch

from aigdetect.data.layouts import DataSet, Sample
from aigdetect.training.checkpoint import digest_images
from aigdetect.training.recipe import make_recipe
from aigdetect.training.run import split_data
from aigdetect.training.sampler import balanced_batches, shuffled_batches
from aigdetect.training.weights import image_weights

#: the images of the paper's training set
IMAGES = 720_000


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


def main() -> None:
    """Print the peak after each stage."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    recipe = make_recipe({"balanced": True, "cache": "none"})
    start = _peak()
    print(f"{count} images; program and libraries: {start:.0f} MiB")
    began = time.perf_counter()

    def told(stage: str) -> None:
        print(f"{stage}: {_peak() - start:.0f} MiB more at most, {time.perf_counter() - began:.1f} s")

    data = DataSet("/data/progan", "made up", _samples(count))
    told("list of images")
    split = split_data([data], recipe)
    told(f"split into {len(split.training)} and {len(split.validation)}")
    weights = image_weights(split.training, balanced=recipe.balanced)
    labels = torch.tensor([sample.label for sample in split.training])
    told(f"weights, {sum(weights):.0f} in all")
    digest_images(split.training, split.validation)
    told("digest for --resume")
    indices = torch.arange(len(split.training))
    options = {"batch_size": recipe.batch_size, "seed": recipe.seed, "epoch": recipe.epochs}
    batches = len(shuffled_batches(indices, **options))
    told(f"order of an epoch, {batches} batches")
    balanced_batches(indices, labels, **options)
    told("order of an epoch of balanced batches")


if __name__ == "__main__":
    main()
