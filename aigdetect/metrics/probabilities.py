"""Whether scores are the probabilities that they claim to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aigdetect.metrics.measure import Floats, Measure, Ranking, checked

BINS = 15
"""Bins of the expected calibration error, equally wide."""


def _not_probabilities(ranking: Ranking) -> str:
    inside = ranking.scores[-1] >= 0 and ranking.scores[0] <= 1
    return "" if inside else "scores are not probabilities from 0 to 1"


def _expected_calibration_error(ranking: Ranking) -> Floats:
    # what each score adds to its bin: mean probability less share of generated images, at equal priors
    excess = (
        ranking.real / ranking.real_total * ranking.scores
        - ranking.generated / ranking.generated_total * (1 - ranking.scores)
    ) / 2
    starts = np.flatnonzero(np.diff(_bins(ranking.scores), prepend=-1))
    return np.asarray(np.abs(np.add.reduceat(excess, starts, axis=-1)).sum(axis=-1))


def _brier_score(ranking: Ranking) -> Floats:
    misses = ranking.generated @ np.square(1 - ranking.scores) / ranking.generated_total
    alarms = ranking.real @ np.square(ranking.scores) / ranking.real_total
    return np.asarray((misses + alarms) / 2)


def _bins(probabilities: Floats) -> NDArray[np.intp]:
    return np.minimum((probabilities * BINS).astype(np.intp), BINS - 1)


EXPECTED_CALIBRATION_ERROR = Measure(
    "expected_calibration_error", _expected_calibration_error, objection=_not_probabilities
)
"""Mean distance between probability and share of generated images over `BINS` bins, at equal priors.

Takes probabilities, 0 to 1, as scores. Source: C. Guo et al., On calibration of modern neural networks, 2017.
"""

BRIER_SCORE = Measure("brier_score", _brier_score, objection=_not_probabilities)
"""Mean squared distance between probability and label, at equal priors. Takes probabilities as scores."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Images whose probabilities lie in one bin of a reliability diagram.

    Attributes:
        low: lower edge of the bin, included.
        high: upper edge, included only if it is 1.
        real: number of real images.
        generated: number of generated images.
        mean_probability: mean of their probabilities, both classes weighing the same in all.
        generated_share: share of generated images, both classes weighing the same in all.
    """

    low: float
    high: float
    real: int
    generated: int
    mean_probability: float
    generated_share: float


def reliability(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Bin, ...]:
    """Bins of `EXPECTED_CALIBRATION_ERROR` that hold images, ascending; none where that has no value.

    Raises:
        ValueError: as a :class:`Measure`.
    """
    whole, values = checked(labels, probabilities)
    if EXPECTED_CALIBRATION_ERROR(whole, values).value is None:
        return ()
    counts = np.bincount(whole, minlength=2)
    weights = 0.5 / counts[whole]
    place = _bins(values)
    found = []
    for index in np.unique(place):
        inside = place == index
        real, generated = np.bincount(whole[inside], minlength=2).tolist()
        found.append(
            Bin(
                low=index / BINS,
                high=(index + 1) / BINS,
                real=real,
                generated=generated,
                mean_probability=float(np.average(values[inside], weights=weights[inside])),
                generated_share=float(np.average(whole[inside], weights=weights[inside])),
            )
        )
    return tuple(found)
