"""Figures of merit of a detector, as pure functions of labels and scores.

A :class:`Measure` is called with the labels and scores of some images and gives a :class:`Figure`. Inside, it
works on a :class:`Ranking`, the counts of both classes at every distinct score, with any number of leading
axes: so one implementation serves the figure itself and, in `aigdetect.evaluation.bootstrap`, its interval.

Conventions: label 1 is generated and positive; higher scores mean more likely generated; an image is called
``ai`` if its score is strictly above the threshold; equal scores are never told apart. Average precision and
ROC AUC are scikit-learn's. Where a score is a probability or a likelihood ratio, it is one at equal priors:
both classes weigh the same whatever their numbers. Accuracy and average precision depend on the numbers. What
is not defined has no value but a reason, never 0 or NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
"""Bins of the expected calibration error, equally wide."""

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05, 0.1)
"""False-positive rates at which true-positive rates are told."""


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
        return _after(self.true_positives, index), _after(self.false_positives, index)


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


# -- ranking ----------------------------------------------------------------------------------------------


def _average_precision(ranking: Ranking) -> Floats:
    flagged = ranking.true_positives + ranking.false_positives
    # the first scores may have no image in a resample
    precision = ranking.true_positives / np.maximum(flagged, 1)
    return _dot(ranking.generated, precision) / ranking.generated_total


def _roc_auc(ranking: Ranking) -> Floats:
    higher = ranking.true_positives - ranking.generated / 2  # of equal scores, half
    return _dot(ranking.real, higher) / (ranking.generated_total * ranking.real_total)


def _equal_error_rate(ranking: Ranking) -> Floats:
    real, generated = ranking.real_total, ranking.generated_total
    # the first point of the ROC curve where false positives are no rarer than misses, and the one before
    crossed = ranking.false_positives * generated + ranking.true_positives * real >= real * generated
    index = np.asarray(crossed.argmax(axis=-1))
    fpr, before = (_after(ranking.false_positives, i) / real for i in (index + 1, index))
    gap, gap_before = (
        1 - _after(ranking.true_positives, i) / generated - rate
        for i, rate in ((index + 1, fpr), (index, before))
    )
    return before + gap_before / (gap_before - gap) * (fpr - before)


AVERAGE_PRECISION = Measure("average_precision", _average_precision)
"""Average precision, ``sklearn.metrics.average_precision_score``: not interpolated."""

ROC_AUC = Measure("roc_auc", _roc_auc)
"""Area under the ROC curve: the probability that a generated image scores above a real one, ties half."""

EQUAL_ERROR_RATE = Measure("equal_error_rate", _equal_error_rate)
"""Where false-positive and miss rate are equal, on straight lines between the points of the ROC curve."""


def tpr_at_fpr(fpr: float) -> Measure:
    """Highest true-positive rate of a threshold with a false-positive rate of at most ``fpr``, 0 to 1.

    Only thresholds that tell scores apart count: nothing is interpolated between two points of the curve.
    """

    def of(ranking: Ranking) -> Floats:
        real = ranking.real_total
        allowed = np.count_nonzero(np.arange(1, real + 1) / real <= fpr)
        count = np.asarray(np.count_nonzero(ranking.false_positives <= allowed, axis=-1))
        return _after(ranking.true_positives, count) / ranking.generated_total

    def caution(ranking: Ranking) -> str:
        if fpr * ranking.real_total >= 1:
            return ""
        return f"{ranking.real_total} real images cannot show a rate of {fpr:.1%}: taken above all of them"

    return Measure(f"tpr_at_fpr_{100 * fpr:g}", of, caution=caution)


# -- at a threshold ---------------------------------------------------------------------------------------


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


# -- calibration ------------------------------------------------------------------------------------------


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


# -- likelihood ratios ------------------------------------------------------------------------------------


def _cllr(ranking: Ranking) -> Floats:
    generated, real = _costs(ranking)
    total = ranking.generated @ generated / ranking.generated_total + ranking.real @ real / ranking.real_total
    return np.asarray(total / 2)


def _costs(ranking: Ranking) -> tuple[Floats, Floats]:
    """Bits that a generated and a real image cost at each score, 0 where there is none, ``(m,)``."""
    natural = ranking.scores * np.log(10)
    there = [counts.reshape(-1, len(natural)).any(axis=0) for counts in (ranking.generated, ranking.real)]
    costs = [np.logaddexp(0, -natural), np.logaddexp(0, natural)]
    generated, real = (np.where(t, cost, 0) / np.log(2) for t, cost in zip(there, costs, strict=True))
    return generated, real


def _certain_and_wrong(ranking: Ranking) -> str:
    finite = all(np.isfinite(cost).all() for cost in _costs(ranking))
    return "" if finite else "infinite: an image with an infinite likelihood ratio is of the other class"


def _minimum_cllr(ranking: Ranking) -> Floats:
    rows = zip(*(c.reshape(-1, len(ranking.scores)) for c in (ranking.generated, ranking.real)), strict=True)
    return np.array([_cllr_after_pav(*row) for row in rows]).reshape(ranking.real.shape[:-1])


def _cllr_after_pav(generated: Ints, real: Ints) -> float:
    there = generated + real > 0
    generated, real = generated[there], real[there]
    ratio = generated.sum() / real.sum()
    blocks = optimize.isotonic_regression(
        generated / (generated + real), weights=generated + real, increasing=False
    ).blocks[:-1]
    ours, theirs = np.add.reduceat(generated, blocks), np.add.reduceat(real, blocks)
    # the ratio of a block is ours / theirs at equal priors; a block of one class costs that class nothing
    bits = np.zeros(2)
    for side, (here, those, odds) in enumerate(((ours, theirs, ratio), (theirs, ours, 1 / ratio))):
        some = here > 0
        bits[side] = here[some] @ np.log2(1 + those[some] / here[some] * odds) / here.sum()
    return float(bits.mean())


CLLR = Measure("cllr", _cllr, objection=_certain_and_wrong)
"""Log-likelihood-ratio cost in bits: 0 for perfect ratios, 1 for ratios that say nothing.

Takes decimal logarithms of likelihood ratios, generated over real, as scores. Source: N. Brümmer, J. du
Preez, Application-independent evaluation of speaker detection, 2006.
"""

MINIMUM_CLLR = Measure("minimum_cllr", _minimum_cllr)
"""Cllr of the best monotone calibration on these very images, by pool adjacent violators; takes any scores.

What `CLLR` is above it was lost in calibration. Source: as `CLLR`.
"""


# -- what a model card tells ------------------------------------------------------------------------------


def card_figures(labels: ArrayLike, scores: ArrayLike) -> dict[str, float | None]:
    """ROC AUC, average precision and true-positive rate at 5 % false positives, as a model's card tells them.

    Returns:
        ``auc``, ``average_precision`` and ``tpr_at_fpr_5``, to four decimals; None where not defined.

    Raises:
        ValueError: as a :class:`Measure`.
    """
    measures = {"auc": ROC_AUC, "average_precision": AVERAGE_PRECISION, "tpr_at_fpr_5": tpr_at_fpr(0.05)}
    values = {name: measure(labels, scores).value for name, measure in measures.items()}
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def _after(cumulative: Ints, count: NDArray[np.intp]) -> Floats:
    """Cumulative counts ``(..., m)`` after the first ``count`` ``(...)`` scores, 0 to ``m``: ``(...)``."""
    last = np.take_along_axis(cumulative, np.maximum(count - 1, 0)[..., None], axis=-1)[..., 0]
    return np.where(count > 0, last, 0.0)


def _dot(a: Ints, b: Floats) -> Floats:
    return np.asarray(np.einsum("...m,...m->...", a, b))
