"""Score labelled images with a detector under a protocol: one result per image, in order, none replaced."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aigdetect.data.dataset import batched
from aigdetect.data.layouts import Sample
from aigdetect.evaluation.protocols import Protocol
from aigdetect.evaluation.robustness import CLEAN, Operation
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.views import Picture, Pixels
from aigdetect.model.calibration import Thresholds
from aigdetect.scanning.engines import Threads, default_workers
from aigdetect.scanning.pipeline import scan_found
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.record import Record, Scored
from aigdetect.scanning.scoring import Scorer, score_batch

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

    @property
    def half_rates(self) -> Thresholds:
        return self.scorer.half_rates

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
    found = (Found(sample.path, "image", inside=sample.inside) for sample in samples)
    with closing(scan_found(found, prepared, workers=workers, max_pixels=max_pixels)) as records:
        yield from records


@dataclass(frozen=True, slots=True)
class _AllForms:
    """What a detector sees of an image after each of several operations, ``(F, V, S, S, 3)``."""

    forms: Sequence[_Prepared]

    def view(self, picture: Picture, /) -> Pixels:
        pixels = np.asarray(picture)
        return np.stack([form.view(pixels) for form in self.forms])


def score_forms(
    samples: Sequence[Sample],
    detector: Scorer,
    *,
    protocol: Protocol,
    operations: Sequence[Operation],
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Generator[tuple[Sample, Operation, Record], None, None]:
    """Score images as :func:`score_samples` does after each of several operations; all are decoded once.

    Args:
        samples: labelled images.
        detector: a model.
        protocol: as for :func:`score_samples`.
        operations: what happens to an image before that, each by itself; at least one.
        workers: as for :func:`score_samples`.
        max_pixels: likewise.

    Yields:
        one record per sample and operation; an image that cannot be scored after one of them has an error.
    """
    forms = [_Prepared(detector, protocol, operation) for operation in operations]
    engine = Threads(Preparation(_AllForms(forms).view, max_pixels), workers or default_workers())
    # all forms of an image are in memory at once
    size = max(1, detector.batch_size // len(forms))
    found = (Found(sample.path, "image", inside=sample.inside) for sample in samples)
    with closing(engine.prepared(found, ahead=size)) as prepared:
        for batch in batched(zip(samples, prepared, strict=True), size):
            together = [(sample, item) for sample, item in batch if item.view is not None]
            for place, form in enumerate(forms):
                items = [
                    replace(item, view=item.view[place]) for _, item in together if item.view is not None
                ]
                for (sample, _), record in zip(together, score_batch(items, form, None), strict=True):
                    yield sample, form.operation, record
            for sample, item in batch:
                if item.view is not None:
                    continue
                # one operation may fail where others do not: each of them alone
                for form in forms:
                    alone = score_samples(
                        *([sample], detector),
                        protocol=protocol,
                        operation=form.operation,
                        workers=1,
                        max_pixels=max_pixels,
                    )
                    yield from ((sample, form.operation, record) for record in alone)
