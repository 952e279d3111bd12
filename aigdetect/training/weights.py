"""How much each training image counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from aigdetect.data.layouts import Sample


def image_weights(samples: Sequence[Sample], *, balanced: bool) -> list[float]:
    """Weight of each image in the loss, with a mean of 1.

    Args:
        samples: the training images.
        balanced: both classes count alike, and within a class a generator or source by the square root of its
            number of images: a large one counts for more than a small one, but drowns none. Else all images
            weigh 1.
    """
    if not balanced:
        return [1.0] * len(samples)
    counts = Counter((sample.label, sample.generator) for sample in samples)
    raw = [1 / math.sqrt(counts[sample.label, sample.generator]) for sample in samples]
    totals = {
        label: sum(weight for weight, sample in zip(raw, samples, strict=True) if sample.label == label)
        for label in (0, 1)
    }
    classes = sum(total > 0 for total in totals.values())
    return [
        weight / totals[sample.label] * len(samples) / classes
        for weight, sample in zip(raw, samples, strict=True)
    ]
