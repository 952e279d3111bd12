"""Score labelled images with a detector under a protocol: one result per image, in order, none replaced."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from aigdetect.data.layouts import Sample
from aigdetect.evaluation.protocols import Protocol
from aigdetect.evaluation.robustness import CLEAN, Operation
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.views import Picture, Pixels
from aigdetect.scanning.pipeline import scan_found
from aigdetect.scanning.record import Record, Scored
from aigdetect.scanning.scoring import Scorer

AS_THEY_ARE = Operation(CLEAN, 0, lambda pixels: pixels)
"""The operation that does nothing."""


def form_name(operation: Operation) -> str:
    """What scores after an operation go by: ``"clean"``, ``"blur:2"``."""
    return operation.name if operation == AS_THEY_ARE else str(operation)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A detector that is handed every image after an operation and the protocol, in this order."""

    scorer: Scorer
    protocol: Protocol
    operation: Operation

    @property
    def card(self) -> Any:
        return self.scorer.card

    @property
    def precision(self) -> str:
        return self.scorer.precision

    @property
    def batch_size(self) -> int:
        return self.scorer.batch_size

    def view(self, picture: Picture, /) -> Pixels:
        return self.scorer.view(self.protocol.apply(self.operation.apply(np.asarray(picture))))

    def score_views(self, views: Sequence[Pixels], /) -> Sequence[Scored]:
        return self.scorer.score_views(views)


def score_samples(
    samples: Sequence[Sample],
    detector: Scorer,
    *,
    protocol: Protocol,
    operation: Operation = AS_THEY_ARE,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Generator[Record, None, None]:
    """Score images as a scan does, after an operation and the protocol.

    Args:
        samples: labelled images.
        detector: a model.
        protocol: what happens to an image before the model takes its view.
        operation: what happens to it before that, at its full size.
        workers: threads that read and decode; None for a number that suits the machine.
        max_pixels: images of more pixels are not decoded.

    Yields:
        one record per sample, in their order; an image that cannot be scored has an error and no score.
    """
    prepared = _Prepared(detector, protocol, operation)
    found = (Found(sample.path, "image") for sample in samples)
    with closing(scan_found(found, prepared, workers=workers, max_pixels=max_pixels)) as records:
        yield from records
