"""How well scores put generated images above real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from aigdetect.metrics.measure import Floats, Measure, Ranking, after, dot

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05, 0.1)
"""False-positive rates at which true-positive rates are told."""


def _average_precision(ranking: Ranking) -> Floats:
    flagged = ranking.true_positives + ranking.false_positives
    # the first scores may have no image in a resample
    precision = ranking.true_positives / np.maximum(flagged, 1)
    return dot(ranking.generated, precision) / ranking.generated_total


def _roc_auc(ranking: Ranking) -> Floats:
    higher = ranking.true_positives - ranking.generated / 2  # of equal scores, half
    return dot(ranking.real, higher) / (ranking.generated_total * ranking.real_total)


def _equal_error_rate(ranking: Ranking) -> Floats:
    real, generated = ranking.real_total, ranking.generated_total
    # the first point of the ROC curve where false positives are no rarer than misses, and the one before
    crossed = ranking.false_positives * generated + ranking.true_positives * real >= real * generated
    index = np.asarray(crossed.argmax(axis=-1))
    fpr, before = (after(ranking.false_positives, i) / real for i in (index + 1, index))
    gap, gap_before = (
        1 - after(ranking.true_positives, i) / generated - rate
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
        return after(ranking.true_positives, count) / ranking.generated_total

    def caution(ranking: Ranking) -> str:
        if fpr * ranking.real_total >= 1:
            return ""
        return f"{ranking.real_total} real images cannot show a rate of {fpr:.1%}: taken above all of them"

    return Measure(f"tpr_at_fpr_{100 * fpr:g}", of, caution=caution)


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
