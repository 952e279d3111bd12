"""Scores of the images that a model is calibrated on, kept until it is: a run that was stopped goes on."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aigdetect.data.layouts import Sample
from aigdetect.evaluation.protocols import PROTOCOLS
from aigdetect.evaluation.robustness import CLEAN
from aigdetect.evaluation.score_samples import score_samples
from aigdetect.evaluation.score_store import ScoreStore
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.scanning.record import Record

if TYPE_CHECKING:
    from aigdetect.model.detector import Detector

#: folder that holds the scores in that of the model to come
SCORES_NAME = ".scores"


@dataclass(frozen=True)
class Scores:
    """Images that have a score, each content once in each class: a copy would make a sample look larger.

    Attributes:
        samples: the images, in order.
        logits: one for each.
        failed: images without a score.
        copies: exact copies of others, which are left out.
    """

    samples: list[Sample]
    logits: list[float]
    failed: int
    copies: int


def open_scores(detector: Detector, folder: Path, *, resume: bool) -> ScoreStore:
    """The scores in a model folder to be; those of a run that was stopped are taken or thrown away.

    Raises:
        UsageError: if they are those of another model or precision, or cannot be read.
    """
    if not resume:
        shutil.rmtree(folder / SCORES_NAME, ignore_errors=True)
    card = detector.card
    subject = {"model": card.name, "adapter": card.adapter_sha256, "precision": detector.precision}
    store = ScoreStore(folder / SCORES_NAME, "calibration", subject, card.calibration, card.adapter.kinds)
    store.read()
    return store


def score_missing(
    store: ScoreStore,
    samples: Sequence[Sample],
    detector: Detector,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Generator[tuple[Sample, Record], None, None]:
    """Score the images that a store lacks; those of more than ``max_pixels`` fail.

    Yields:
        each of them, once its row is in the store.
    """
    missing = store.missing(samples, CLEAN)
    records = score_samples(
        missing, detector, protocol=PROTOCOLS["ours"], workers=workers, max_pixels=max_pixels
    )
    with store, closing(records):
        for sample, record in zip(missing, records, strict=True):
            store.add(sample, CLEAN, record)
            yield sample, record


def take_scores(store: ScoreStore, samples: Sequence[Sample]) -> Scores:
    """What a store holds of the images."""
    kept: list[Sample] = []
    logits: list[float] = []
    met: set[tuple[str, int]] = set()
    failed = 0
    for sample in samples:
        logit, content = store.score(sample, CLEAN).score, (store.digest(sample), sample.label)
        if logit is None:
            failed += 1
        elif content not in met:
            met.add(content)
            kept.append(sample)
            logits.append(logit)
    return Scores(kept, logits, failed, len(samples) - failed - len(kept))


def remove_scores(folder: Path) -> None:
    """Remove the scores from a model folder that is done."""
    shutil.rmtree(folder / SCORES_NAME)
