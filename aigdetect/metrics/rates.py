"""What a threshold calls right and wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from aigdetect.metrics.measure import Figure, Floats, Measure, Ranking, checked, rank, unrankable


def accuracy(threshold: float) -> Measure:
    """Share of images that are called what they are; one class is enough."""

    def of(ranking: Ranking) -> Floats:
        hits, alarms = ranking.above(threshold)
        return (hits + ranking.real_total - alarms) / (ranking.generated_total + ranking.real_total)

    return Measure("accuracy", of, both=False)


def balanced_accuracy(threshold: float) -> Measure:
    """Mean of the shares of each class that are called what they are."""

    def of(ranking: Ranking) -> Floats:
        hits, alarms = ranking.above(threshold)
        return (hits / ranking.generated_total + 1 - alarms / ranking.real_total) / 2

    return Measure("balanced_accuracy", of)


def _best_accuracy(ranking: Ranking) -> Floats:
    gain = ranking.true_positives - ranking.false_positives  # over calling no image ai
    best = np.maximum(gain.max(axis=-1), 0)
    return np.asarray((best + ranking.real_total) / (ranking.generated_total + ranking.real_total))


BEST_ACCURACY = Measure("best_accuracy", _best_accuracy)
"""Accuracy at the threshold that suits these very images best: an upper bound, not a promise."""


def best_threshold(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Threshold of `BEST_ACCURACY`, the highest of several; None where that has no value.

    Raises:
        ValueError: as a :class:`Measure`.
    """
    if BEST_ACCURACY(labels, scores).value is None:
        return None
    ranking = rank(*checked(labels, scores))
    gain = np.concatenate([[0], ranking.true_positives - ranking.false_positives])
    thresholds = np.append(ranking.scores, np.nextafter(ranking.scores[-1], -np.inf))
    return float(thresholds[gain.argmax()])


def false_positive_rate(
    labels: ArrayLike, scores: ArrayLike, threshold: float, *, confidence: float = 0.95
) -> Figure:
    """Share of real images above a threshold, with Wilson's interval; see `proportion`.

    Raises:
        ValueError: as a :class:`Measure`.
    """
    return _rate(0, labels, scores, threshold, confidence)


def true_positive_rate(
    labels: ArrayLike, scores: ArrayLike, threshold: float, *, confidence: float = 0.95
) -> Figure:
    """Share of generated images above a threshold, with Wilson's interval; see `proportion`.

    Raises:
        ValueError: as a :class:`Measure`.
    """
    return _rate(1, labels, scores, threshold, confidence)


def proportion(count: int, total: int, *, confidence: float = 0.95) -> Figure:
    """A share with Wilson's interval; where nothing was counted, the reason gives the rule of three.

    Args:
        count: how many of them, 0 to ``total``.
        total: how many in all; with 0 the share is not defined.
        confidence: of the interval, two-sided, between 0 and 1.

    Source: E. B. Wilson, Probable inference, 1927; J. Hanley, A. Lippman-Hand, If nothing goes wrong, is
    everything all right?, 1983.
    """
    if not total:
        return Figure(None, reason="no images")
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    reason = "" if count else f"none of {total}: with 95 % confidence the rate is below about 3/{total}"
    return Figure(count / total, float(interval.low), float(interval.high), reason)


def _rate(label: int, labels: ArrayLike, scores: ArrayLike, threshold: float, confidence: float) -> Figure:
    whole, values = checked(labels, scores)
    ours = values[whole == label]
    if not len(ours):
        return Figure(None, reason=f"no {('real', 'generated')[label]} images")
    if reason := unrankable(ours):
        return Figure(None, reason=reason)
    return proportion(int((ours > threshold).sum()), len(ours), confidence=confidence)
