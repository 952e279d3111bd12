"""What a model learns from: its images, how much each of them counts, and the batches of every epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.training.recipe import Recipe
from aigdetect.training.trunk_outputs import TrunkOutputs


@dataclass(frozen=True)
class TrainingSet:
    """What one model of a run learns from: all of the training images, or those that a fold keeps.

    Tensors have a place for every training image of the run, also for those that this model never sees.

    Attributes:
        outputs: of the frozen trunk for the images.
        targets: ``(3, N)`` float32, for every sample its label, its weight among all images, and that in a
            batch; a sample left out weighs 0. The two weights differ where batches balance the classes.
        origins: ``(N,)`` int64, number of the source or generator of every sample.
        count: number of the images, also of those that cannot be read.
    """

    outputs: TrunkOutputs
    targets: Tensor
    origins: Tensor
    count: int

    def steps(self, recipe: Recipe) -> int:
        """Steps of a training on them, over all epochs."""
        steps = len(batch_sizes(self.count, recipe.batch_size)) * recipe.epochs
        return steps if recipe.steps is None else min(steps, recipe.steps)

    def batches(self, recipe: Recipe, epoch: int) -> Sequence[Tensor]:
        """The images of each batch of an epoch, int64.

        Raises:
            DataError: if batches are to be balanced, and no image of one class can be read.
        """
        indices = self.outputs.indices
        options = {"batch_size": recipe.batch_size, "seed": recipe.seed, "epoch": epoch}
        if not recipe.balanced_batches:
            return shuffled_batches(indices, **options)
        labels = self.targets[0].cpu()[indices].long()
        if len(set(labels.tolist())) < 2:
            raise DataError("balanced_batches: no training image of one class can be read")
        return balanced_batches(indices, labels, **options)


def choose_training_set(
    samples: Sequence[Sample],
    outputs: TrunkOutputs,
    recipe: Recipe,
    device: torch.device,
    chosen: Tensor | None = None,
) -> TrainingSet:
    """The training samples of a run, or some of them, as what a model learns from.

    Args:
        samples: all of the run.
        outputs: of the trunk for them.
        recipe: says what is balanced.
        device: where the targets are wanted.
        chosen: indices of the samples to learn from, int64; None: all.
    """
    count = len(samples)
    if chosen is None:
        chosen = torch.arange(count)
    else:
        outputs = outputs.only(chosen)
    targets = torch.zeros(3, count)
    targets[0] = torch.from_numpy(np.fromiter((sample.label for sample in samples), np.float32, count))
    images = [samples[index] for index in chosen.tolist()]
    for row, within_classes in ((1, False), (2, recipe.balanced_batches)):
        weights = image_weights(images, balanced=recipe.balanced, within_classes=within_classes)
        targets[row, chosen] = torch.from_numpy(weights)
    names = sorted({sample.generator for sample in samples})
    numbers = {name: number for number, name in enumerate(names)}
    origins = np.fromiter((numbers[sample.generator] for sample in samples), np.int64, count)
    return TrainingSet(outputs, targets.to(device), torch.from_numpy(origins), len(chosen))


def image_weights(
    samples: Sequence[Sample], *, balanced: bool, within_classes: bool = False
) -> NDArray[np.float32]:
    """Weight of each image in the loss, ``(N,)``, with a mean of 1.

    Args:
        samples: the training images.
        balanced: both classes count alike, and within a class a generator or source by the square root of its
            number of images: a large one counts for more than a small one, but drowns none. Else all images
            weigh 1.
        within_classes: the mean is 1 in each class: the batches balance the classes already, and weights that
            did so once more would turn the imbalance round.
    """
    if not balanced:
        return np.ones(len(samples), dtype=np.float32)
    counts = Counter((sample.label, sample.generator) for sample in samples)
    raw = {group: 1 / math.sqrt(count) for group, count in counts.items()}
    totals = {
        label: sum(raw[label, sample.generator] for sample in samples if sample.label == label)
        for label in (0, 1)
    }
    classes = sum(total > 0 for total in totals.values())
    # of all the weight, what each class gets
    shares = {
        label: sum(sample.label == label for sample in samples) if within_classes else len(samples) / classes
        for label in totals
    }
    weights = {
        (label, generator): value / totals[label] * shares[label] for (label, generator), value in raw.items()
    }
    of_images = (weights[sample.label, sample.generator] for sample in samples)
    return np.fromiter(of_images, dtype=np.float32, count=len(samples))


def batch_sizes(count: int, largest: int) -> list[int]:
    """Sizes of the batches of an epoch: as few as needed, and as equal as can be.

    A last batch of what happens to be left over, perhaps a single image, would shake the weights as much as a
    full one.
    """
    batches = math.ceil(count / largest)
    return [(count + index) // batches for index in range(batches)]


def shuffled_batches(indices: Tensor, *, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The batches of an epoch in which every image comes once.

    Args:
        indices: ``(n,)`` int64, the images.
        batch_size: largest batch.
        seed: of the order.
        epoch: number of the epoch, from 1.

    Returns:
        the images of each batch, int64.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.arange(len(indices))
    for _ in range(epoch):  # the generator's state follows from the number: nothing is to be kept
        order = torch.randperm(len(indices), generator=generator)
    return list(torch.split(indices[order], batch_sizes(len(indices), batch_size)))


def balanced_batches(
    indices: Tensor, labels: Tensor, *, batch_size: int, seed: int, epoch: int
) -> list[Tensor]:
    """The batches of an epoch, each of as many images of either class (plus or minus one).

    An epoch is as long as a shuffled one. The images of a class come in rounds, each round in an order of its
    own, and the rounds go on over the epochs: no image comes twice before all of its class have come.

    Args:
        indices: ``(n,)`` int64, the images.
        labels: ``(n,)`` their classes, 0 or 1; both must be there.
        batch_size: largest batch.
        seed: of the order.
        epoch: number of the epoch, from 1.

    Returns:
        the images of each batch, int64.
    """
    sizes = np.array(batch_sizes(len(indices), batch_size))
    first = (epoch - 1) * len(indices)
    # images of the whole run before each batch; of an odd number the class that lags gets one more
    before = first + np.concatenate([[0], np.cumsum(sizes)])
    parts = []
    for label, taken in ((0, before // 2), (1, before - before // 2)):
        members = indices[labels == label]
        chosen = _from_rounds(members, int(taken[0]), int(taken[-1]), seed=seed, label=label)
        parts.append(torch.split(chosen, np.diff(taken).tolist()))
    return [torch.cat(of_classes) for of_classes in zip(*parts, strict=True)]


def _from_rounds(members: Tensor, start: int, end: int, *, seed: int, label: int) -> Tensor:
    """Places ``start`` to ``end`` of the endless row of shuffled rounds over ``members``."""
    first, last = start // len(members), end // len(members)
    orders = [
        np.random.default_rng([seed, label, number]).permutation(len(members))
        for number in range(first, last + 1)
    ]
    offset = first * len(members)
    return members[torch.from_numpy(np.concatenate(orders)[start - offset : end - offset])]
