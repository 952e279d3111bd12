"""What a figure of merit is: a function of a ranking, the counts of both classes at every distinct score.

A :class:`Ranking` has any number of leading axes: so one implementation serves the figure itself and, in
`aigdetect.metrics.bootstrap`, its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its interval, or the reason why there is none.

    Attributes:
        value: the number; None if it is not defined.
        low: lower end of the interval; None if there is no interval.
        high: its upper end; None if there is no interval.
        reason: why the value or the interval is missing, or what limits it; empty if nothing does.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How many images of each class lie at every distinct score, the highest first.

    Attributes:
        scores: the ``m`` distinct scores, ``(m,)`` float64, descending.
        generated: generated images at each score, ``(..., m)`` int64 counts.
        real: real images at each score, ``(..., m)`` int64 counts.
        true_positives: generated images at this score or above, ``(..., m)``.
        false_positives: real images at this score or above, ``(..., m)``.
    """

    scores: Floats
    generated: Ints
    real: Ints
    true_positives: Ints
    false_positives: Ints

    @classmethod
    def of_counts(cls, scores: Floats, *, generated: Ints, real: Ints) -> Ranking:
        """Ranking with these counts; the arguments are as the attributes."""
        return cls(scores, generated, real, generated.cumsum(axis=-1), real.cumsum(axis=-1))

    @property
    def generated_total(self) -> int:
        """Number of generated images, the same in every row."""
        return int(self.true_positives.flat[-1])

    @property
    def real_total(self) -> int:
        """Number of real images, the same in every row."""
        return int(self.false_positives.flat[-1])

    def above(self, threshold: float) -> tuple[Floats, Floats]:
        """Generated and real images with a score strictly above a threshold, each ``(...)``."""
        count = np.count_nonzero(self.scores > threshold)
        index = np.full(self.real.shape[:-1], count)
        return after(self.true_positives, index), after(self.false_positives, index)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of merit: ``measure(labels, scores)`` is its :class:`Figure`, without an interval.

    Attributes:
        name: as in results, such as ``"average_precision"``.
        of: values ``(...)`` of the rows of a ranking ``(..., m)``.
        both: whether images of both classes are needed; else any will do.
        objection: why these scores have no such figure; empty if they have.
        caution: what limits the figure; empty if nothing does.
    """

    name: str
    of: Callable[[Ranking], Floats]
    both: bool = True
    objection: Callable[[Ranking], str] = lambda ranking: ""
    caution: Callable[[Ranking], str] = lambda ranking: ""

    def __call__(self, labels: ArrayLike, scores: ArrayLike) -> Figure:
        """Value of the figure.

        Args:
            labels: ``(n,)``, 1 for generated, 0 for real.
            scores: ``(n,)``; infinite ones are allowed, NaN makes the figure undefined.

        Raises:
            ValueError: if labels are other than 0 and 1, or there are not as many as scores.
        """
        whole, values = checked(labels, scores)
        if reason := unrankable(values):
            return Figure(None, reason=reason)
        return self.figure(rank(whole, values))

    def figure(self, ranking: Ranking) -> Figure:
        """Value for a ranking without leading axes, and without an interval."""
        if reason := self.undefined(ranking):
            return Figure(None, reason=reason)
        return Figure(float(self.of(ranking)), reason=self.caution(ranking))

    def undefined(self, ranking: Ranking) -> str:
        """Why a ranking has no such figure; empty if it has."""
        if self.both and not ranking.real_total:
            return "no real images"
        if self.both and not ranking.generated_total:
            return "no generated images"
        return self.objection(ranking)


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Ints, Floats]:
    """Labels and scores as arrays ``(n,)``.

    Raises:
        ValueError: if labels are other than 0 and 1, or there are not as many as scores.
    """
    raw, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if raw.ndim != 1 or raw.shape != values.shape:
        raise ValueError(f"labels of shape {raw.shape} do not fit scores of shape {values.shape}")
    if not ((raw == 0) | (raw == 1)).all():
        raise ValueError("a label is neither 0 nor 1")
    return raw.astype(np.int64), values


def unrankable(scores: Floats) -> str:
    """Why scores ``(n,)`` cannot be ranked; empty if they can."""
    if not len(scores):
        return "no images"
    missing = int(np.isnan(scores).sum())
    return f"{missing} of {len(scores)} scores are not numbers" if missing else ""


def rank(labels: Ints, scores: Floats) -> Ranking:
    """Ranking, with no leading axes, of images as `checked` gives them; at least one, and none with NaN."""
    levels, place = distinct(scores)
    real, generated = (np.bincount(place[labels == label], minlength=len(levels)) for label in (0, 1))
    return Ranking.of_counts(levels, generated=generated, real=real)


def distinct(scores: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Distinct scores ``(m,)``, descending, and the place ``(n,)`` of each image among them."""
    levels, place = np.unique(scores, return_inverse=True)
    return levels[::-1].copy(), len(levels) - 1 - place


def after(cumulative: Ints, count: NDArray[np.intp]) -> Floats:
    """Cumulative counts ``(..., m)`` after the first ``count`` ``(...)`` scores, 0 to ``m``: ``(...)``."""
    last = np.take_along_axis(cumulative, np.maximum(count - 1, 0)[..., None], axis=-1)[..., 0]
    return np.where(count > 0, last, 0.0)


def dot(a: Ints, b: Floats) -> Floats:
    """Products of the last axes, summed: ``(..., m)`` twice to ``(...)``."""
    return np.asarray(np.einsum("...m,...m->...", a, b))
