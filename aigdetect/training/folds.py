"""Folds for scores on images that a model never saw, of origins that it never saw.

A model that has learnt from all images has none left to be calibrated on. So others are trained in the same
way, each without some of the images, and score those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.data.origins import origins_of
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError


@dataclass(frozen=True)
class Fold:
    """One division of the training images; indices are int64, ascending.

    Attributes:
        kept: images to learn from.
        left_out: images to score, by their places among all that are scored.
    """

    kept: Tensor
    left_out: Tensor


def make_folds(
    samples: Sequence[Sample],
    parents: Sequence[int | None],
    count: int | Literal["origins"],
    *,
    seed: int,
    scored: Sequence[int] | None = None,
) -> list[Fold]:
    """Divide training images into folds; every image that was not made here is left out of one.

    Origins (`aigdetect.data.origins`) are left out whole, generators and sources of real images alike: what a
    model says of a source that it has learnt from tells nothing of its false alarms on others. Where a class
    comes from fewer origins than there are folds, every fold leaves out an equal share of each of them.

    Args:
        samples: training images.
        parents: of an image that was made of another one (`aigdetect.training.reconstructions`), the index of
            that one: it is kept if that one is, and never left out to be scored; else None.
        count: number of folds, from 2 on; ``origins``: each leaves out one origin.
        seed: draws the shares.
        scored: indices of the images that are scored where they are left out; None: all that were not made
            here.

    Raises:
        DataError: if there are too few images of one class.
    """
    own = [index for index, parent in enumerate(parents) if parent is None]
    learnt = [samples[index] for index in own]
    places = origins_of(learnt) if count == "origins" else _places(learnt, count, seed=seed)
    place_of = dict(zip(own, places, strict=True))
    folds = []
    for fold in range(max(places) + 1 if count == "origins" else count):
        asked = own if scored is None else scored
        left_out = [place for place, index in enumerate(asked) if place_of[index] == fold]
        kept = [
            index
            for index, parent in enumerate(parents)
            if place_of[index if parent is None else parent] != fold
        ]
        if {samples[index].label for index in kept} != {0, 1}:
            several = "one origin left out leaves" if count == "origins" else f"{count} folds leave"
            raise DataError(f"folds: {several} no image of one class to learn from; use fewer")
        folds.append(Fold(torch.tensor(kept), torch.tensor(left_out, dtype=torch.int64)))
    return folds


def leave_out(samples: Sequence[Sample], *, share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Divide images so that about a share of each class is left out, whole origins where there are enough.

    Args:
        samples: images.
        share: 0 to 1, both excluded; a fraction of few equal parts that comes near it is left out.
        seed: draws what is left out where origins are shared out.

    Returns:
        ``(kept, left out)``, in the order in which they came.
    """
    parts = Fraction(share).limit_denominator(max(5, round(1 / min(share, 1 - share))))
    places = _places(samples, parts.denominator, seed=seed)
    kept, left_out = (
        [sample for sample, place in zip(samples, places, strict=True) if (place < parts.numerator) == out]
        for out in (False, True)
    )
    return kept, left_out


def _places(samples: Sequence[Sample], count: int, *, seed: int) -> list[int]:
    """The fold that leaves out each image."""
    origins = origins_of(samples)
    whole = {
        label
        for label in (0, 1)
        if len({origin for origin, sample in zip(origins, samples, strict=True) if sample.label == label})
        >= count
    }
    fold_of = _folds_of_origins(
        [(origin, sample.label) for origin, sample in zip(origins, samples, strict=True)], whole, count
    )
    places = [fold_of[origin] for origin in origins]
    shares: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        if sample.label not in whole:
            shares[sample.label, sample.generator].append(index)
    for number, (_, members) in enumerate(sorted(shares.items())):
        members.sort(key=lambda index: (shuffle_key(samples[index], seed=seed), samples[index].path))
        for place, index in enumerate(members):
            places[index] = (place + number) % count
    return places


def _folds_of_origins(
    images: Sequence[tuple[int, int]], classes: Collection[int], count: int
) -> dict[int, int]:
    """The fold of each origin, so that the folds are of about one size in each of the classes.

    The largest origin comes first, and each goes where it leaves the folds most alike.
    """
    sizes: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for origin, label in images:
        sizes[origin][label] += label in classes
    totals = [max(1, sum(size[label] for size in sizes.values())) for label in (0, 1)]
    held = [[0, 0] for _ in range(count)]
    fold_of: dict[int, int] = {}

    def load(fold: int, size: Sequence[int]) -> float:
        """How much the squares of the fold's shares of both classes grow by an origin."""
        return sum(
            ((held[fold][label] + size[label]) ** 2 - held[fold][label] ** 2) / totals[label] ** 2
            for label in (0, 1)
        )

    for origin, size in sorted(
        sizes.items(), key=lambda item: (-max(n / t for n, t in zip(item[1], totals, strict=True)), item[0])
    ):
        fold = min(range(count), key=lambda fold: (load(fold, size), fold))
        fold_of[origin] = fold
        held[fold] = [a + b for a, b in zip(held[fold], size, strict=True)]
    return fold_of
