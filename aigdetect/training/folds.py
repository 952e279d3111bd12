"""Folds for scores on images that a model never saw, of generators that it never saw.

A model that has learnt from all images has none left to be calibrated on. So others are trained in the same
way, each without some of the images, and score those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError


@dataclass(frozen=True)
class Fold:
    """One division of the training images; indices are int64, ascending.

    Attributes:
        kept: images to learn from.
        left_out: images to score.
    """

    kept: Tensor
    left_out: Tensor


def make_folds(
    samples: Sequence[Sample], parents: Sequence[int | None], count: int, *, seed: int
) -> list[Fold]:
    """Divide training images into folds; every image that was not made here is left out of one.

    Where there are as many generators as folds, they are left out whole, the smallest fold taking the next
    largest one; else every fold leaves out an equal share of each. Of every source of real images a fold
    leaves out an equal share: a threshold that had to hold for whole sources of other kinds would hold back
    nearly every verdict, and say little of those that are here.

    Args:
        samples: training images.
        parents: of an image that was made of another one (`aigdetect.training.aligned`), the index of that
            one: it is kept if that one is, and never left out to be scored; else None.
        count: number of folds, from 2 on.
        seed: draws the shares.

    Raises:
        DataError: if there are too few images of one class.
    """
    own = [index for index, parent in enumerate(parents) if parent is None]
    fold_of = _whole_generators([samples[index] for index in own], count)
    shares: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for index in own:
        if samples[index].generator not in fold_of or not samples[index].label:
            shares[samples[index].label, samples[index].generator].append(index)
    places = {index: fold_of.get(samples[index].generator, 0) for index in own}
    for number, (_, members) in enumerate(sorted(shares.items())):
        members.sort(key=lambda index: (shuffle_key(samples[index], seed=seed), samples[index].path))
        places |= {index: (place + number) % count for place, index in enumerate(members)}
    folds = []
    for fold in range(count):
        left_out = [index for index in own if places[index] == fold]
        kept = [
            index
            for index, parent in enumerate(parents)
            if places[index if parent is None else parent] != fold
        ]
        if {samples[index].label for index in kept} != {0, 1}:
            raise DataError(f"folds: {count} folds leave no image of one class to learn from; use fewer")
        folds.append(Fold(torch.tensor(kept), torch.tensor(left_out, dtype=torch.int64)))
    return folds


def _whole_generators(samples: Sequence[Sample], count: int) -> dict[str, int]:
    """The fold that leaves out each generator; empty if there are fewer generators than folds."""
    sizes: defaultdict[str, int] = defaultdict(int)
    for sample in samples:
        sizes[sample.generator] += sample.label
    generators = sorted((name for name, size in sizes.items() if size), key=lambda name: (-sizes[name], name))
    if len(generators) < count:
        return {}
    totals = [0] * count
    chosen: dict[str, int] = {}
    for name in generators:
        chosen[name] = min(range(count), key=lambda fold: (totals[fold], fold))
        totals[chosen[name]] += sizes[name]
    return chosen
