"""How much each training image counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aigdetect.data.layouts import Sample


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
