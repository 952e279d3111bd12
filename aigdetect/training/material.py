"""What one model of a run learns from: all of the training images, or those that a fold keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.training.image_weights import image_weights
from aigdetect.training.source import Source


@dataclass(frozen=True)
class Material:
    """Images to learn from; tensors have a place for every sample of the run, also for those left out.

    Attributes:
        source: trunk outputs of the images.
        targets: ``(3, N)`` float32, for every sample its label, its weight among all images, and that in a
            batch; a sample left out weighs 0. The two weights differ where batches balance the classes.
        origins: ``(N,)`` int64, number of the source or generator of every sample.
        count: number of the images, also of those that cannot be read.
    """

    source: Source
    targets: Tensor
    origins: Tensor
    count: int


def choose_material(
    samples: Sequence[Sample],
    chosen: Sequence[int],
    source: Source,
    *,
    balanced: bool,
    balanced_batches: bool = False,
    device: torch.device,
) -> Material:
    """The chosen samples as material.

    Args:
        samples: all training samples of the run.
        chosen: indices of those to learn from.
        source: trunk outputs of them.
        balanced: as for :func:`aigdetect.training.image_weights.image_weights`.
        balanced_batches: whether each batch balances the classes.
        device: where the targets are wanted.
    """
    count = len(samples)
    labels = torch.from_numpy(np.fromiter((sample.label for sample in samples), np.float32, count))
    targets = torch.zeros(3, count)
    targets[0] = labels
    images = [samples[index] for index in chosen]
    for row, within_classes in ((1, False), (2, balanced_batches)):
        weights = image_weights(images, balanced=balanced, within_classes=within_classes)
        targets[row, torch.tensor(chosen)] = torch.from_numpy(weights)
    names = sorted({sample.generator for sample in samples})
    numbers = {name: number for number, name in enumerate(names)}
    origins = np.fromiter((numbers[sample.generator] for sample in samples), np.int64, count)
    return Material(source, targets.to(device), torch.from_numpy(origins), len(chosen))
