"""Percentile intervals of any measures by drawing images anew, as many of each class as there were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aigdetect.metrics.measure import (
    Figure,
    Floats,
    Ints,
    Measure,
    Ranking,
    checked,
    distinct,
    rank,
    unrankable,
)

RESAMPLES = 1000
"""Resamples unless the caller wants others."""

LEAST = 10
"""With fewer images of a class that is there, no interval is given: resamples would all look alike."""

# counts of a class in work at a time: work done once for them all weighs little, and memory stays small
_CELLS = 1 << 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """A figure and what it was on every resample.

    Attributes:
        value: on the images themselves; without an interval.
        draws: on the resamples, ``(resamples,)`` float64; None if there are none.
    """

    value: Figure
    draws: Floats | None = None

    def figure(self, *, confidence: float = 0.95) -> Figure:
        """The figure with its percentile interval of this two-sided confidence, between 0 and 1."""
        if self.draws is None:
            return self.value
        tail = 50 * (1 - confidence)
        low, high = np.percentile(self.draws, [tail, 100 - tail])
        return Figure(self.value.value, float(low), float(high), self.value.reason)


def bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    measures: Sequence[Measure],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[Figure, ...]:
    """Figures with percentile intervals, all from the same resamples stratified by class.

    Args:
        labels: ``(n,)``, 1 for generated, 0 for real.
        scores: ``(n,)``; infinite ones are allowed, NaN makes every figure undefined.
        measures: what to measure.
        resamples: how often to draw.
        seed: the only source of chance.
        confidence: two-sided, between 0 and 1.

    Returns:
        one figure per measure, in their order.

    Raises:
        ValueError: if labels are other than 0 and 1, or there are not as many as scores.
    """
    spread = resample(labels, scores, measures, resamples=resamples, seed=seed)
    return tuple(each.figure(confidence=confidence) for each in spread)


def resample(
    labels: ArrayLike,
    scores: ArrayLike,
    measures: Sequence[Measure],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Distribution, ...]:
    """As `bootstrap`, with the value on every resample, for means over several sets of images.

    The draws of a class depend on the seed and on its scores: two sets that share their real images, in one
    order, draw the same ones, while sets with different images are drawn independently.
    """
    whole, values = checked(labels, scores)
    if reason := unrankable(values):
        return tuple(Distribution(Figure(None, reason=reason)) for _ in measures)
    ranking = rank(whole, values)
    points = [measure.figure(ranking) for measure in measures]
    if any(0 < total < LEAST for total in (ranking.real_total, ranking.generated_total)):
        few = f"no interval: under {LEAST} images of a class"
        return tuple(Distribution(point if point.value is None else _because(point, few)) for point in points)
    defined = [measure for measure, point in zip(measures, points, strict=True) if point.value is not None]
    if not defined:
        return tuple(map(Distribution, points))
    parts = [[measure.of(each) for measure in defined] for each in _redrawn(whole, values, resamples, seed)]
    draws = iter(np.concatenate(column) for column in zip(*parts, strict=True))
    return tuple(Distribution(point, None if point.value is None else next(draws)) for point in points)


def mean_of(distributions: Sequence[Distribution]) -> Distribution:
    """Unweighted mean of figures of several sets of images, as of average precisions over generators.

    Figures without a value are left out; the reason says how many, and how many are limited. The mean has no
    interval where one of the figures in it has none.

    Args:
        distributions: as `resample` gives them, each of as many resamples.
    """
    defined = [each for each in distributions if each.value.value is not None]
    left_out = len(distributions) - len(defined)
    if not defined:
        return Distribution(Figure(None, reason="not defined for any of the sets" if left_out else "no sets"))
    value = Figure(float(np.mean([each.value.value for each in defined])))
    if left_out:
        value = _because(value, f"without {left_out} of {len(distributions)} sets, where it is not defined")
    if limited := sum(bool(each.value.reason) for each in defined if each.draws is not None):
        value = _because(value, f"limited in {limited} of {len(distributions)} sets: see there")
    draws = [each.draws for each in defined if each.draws is not None]
    if len(draws) < len(defined):
        return Distribution(_because(value, "no interval: one of the sets has none"))
    return Distribution(value, np.mean(draws, axis=0))


def _redrawn(labels: Ints, scores: Floats, resamples: int, seed: int) -> Iterator[Ranking]:
    """Rankings of the resamples, some rows at a time."""
    levels, place = distinct(scores)
    sources = [(place[labels == label], _generator(scores[labels == label], label, seed)) for label in (0, 1)]
    rows = max(1, _CELLS // len(scores))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start), len(levels)
        real, generated = (_draw(size, *source) for source in sources)
        yield Ranking.of_counts(levels, generated=generated, real=real)


def _draw(size: tuple[int, int], place: NDArray[np.intp], rng: np.random.Generator) -> Ints:
    """Counts at every score, ``(rows, m)``, of as many images as there are, drawn with replacement."""
    rows, levels = size
    if not len(place):
        return np.zeros(size, dtype=np.int64)
    drawn = place[rng.integers(len(place), size=(rows, len(place)), dtype=np.uint32)]
    drawn += levels * np.arange(rows)[:, None]  # one block of bins for every row
    return np.bincount(drawn.ravel(), minlength=rows * levels).reshape(size)


def _generator(scores: Floats, label: int, seed: int) -> np.random.Generator:
    digest = blake2b(scores.tobytes(), digest_size=16).digest()
    return np.random.default_rng([seed, label, int.from_bytes(digest, "little")])


def _because(figure: Figure, reason: str) -> Figure:
    return replace(figure, reason="; ".join(filter(None, [figure.reason, reason])))
