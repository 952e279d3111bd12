from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    roc_auc_score,
    roc_curve,
)

from aigdetect.metrics.measure import Figure, Measure
from aigdetect.metrics.probabilities import BRIER_SCORE, EXPECTED_CALIBRATION_ERROR, reliability
from aigdetect.metrics.ranking import (
    AVERAGE_PRECISION,
    EQUAL_ERROR_RATE,
    FALSE_POSITIVE_RATES,
    ROC_AUC,
    card_figures,
    tpr_at_fpr,
)
from aigdetect.metrics.rates import (
    BEST_ACCURACY,
    accuracy,
    balanced_accuracy,
    best_threshold,
    false_positive_rate,
    proportion,
    true_positive_rate,
)
from aigdetect.metrics.ratios import CLLR, MINIMUM_CLLR

RANKING = (AVERAGE_PRECISION, ROC_AUC, EQUAL_ERROR_RATE, BEST_ACCURACY, MINIMUM_CLLR, tpr_at_fpr(0.1))
BOTH_CLASSES = (*RANKING, balanced_accuracy(0.5), EXPECTED_CALIBRATION_ERROR, BRIER_SCORE, CLLR)

# six images: 1 0.9 | 0 0.8, 1 0.8 | 1 0.4 | 0 0.3 | 0 0.1
LABELS = [1, 0, 1, 1, 0, 0]
SCORES = [0.9, 0.8, 0.8, 0.4, 0.3, 0.1]


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes and scores from 0 to 1, many of them equal."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 200))
    labels = np.concatenate([[0, 1], rng.integers(0, 2, count - 2)])
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.3), 0, 1)
    return labels, scores.round(int(rng.integers(0, 4)))


def value(figure: Figure) -> float:
    assert figure.value is not None
    return figure.value


def test_a_thousand_cases_with_ties_agree_with_scikit_learn() -> None:
    for seed in range(1000):
        labels, scores = random_case(seed)
        threshold = scores[seed % len(scores)]  # often equal to scores
        called = scores > threshold
        balance = np.where(labels, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
        fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
        expected = {
            AVERAGE_PRECISION: average_precision_score(labels, scores),
            ROC_AUC: roc_auc_score(labels, scores),
            accuracy(threshold): accuracy_score(labels, called),
            balanced_accuracy(threshold): balanced_accuracy_score(labels, called),
            BRIER_SCORE: brier_score_loss(labels, scores, sample_weight=balance),
            BEST_ACCURACY: ((scores >= thresholds[:, None]) == labels).mean(axis=1).max(),
        }
        for rate in FALSE_POSITIVE_RATES:
            expected[tpr_at_fpr(rate)] = tpr[fpr <= rate].max()
        for measure, wanted in expected.items():
            assert value(measure(labels, scores)) == pytest.approx(wanted, abs=1e-12), (seed, measure.name)


def test_other_figures_agree_with_definitions_written_out() -> None:
    for seed in range(200):
        labels, scores = random_case(seed)
        for measure, written_out in (
            (EQUAL_ERROR_RATE, equal_error_rate),
            (EXPECTED_CALIBRATION_ERROR, calibration_error),
            (MINIMUM_CLLR, minimum_cllr),
        ):
            wanted = written_out(labels, scores)
            assert value(measure(labels, scores)) == pytest.approx(wanted, abs=1e-12), (seed, measure.name)


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float:
    """Where the ROC polyline meets the falling diagonal, segment by segment."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    for x0, y0, x1, y1 in zip(fpr, tpr, fpr[1:], tpr[1:], strict=False):
        if x1 + y1 >= 1:
            share = (1 - x0 - y0) / (x1 + y1 - x0 - y0)
            return x0 + share * (x1 - x0)
    raise AssertionError


def calibration_error(labels: np.ndarray, scores: np.ndarray) -> float:
    weights = np.where(labels, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    places = [min(math.floor(score * 15), 14) for score in scores]
    return sum(abs(sum(weights[i] * (scores[i] - labels[i]) for i in range(len(labels)) if places[i] == k))
               for k in range(15))  # fmt: skip


def minimum_cllr(labels: np.ndarray, scores: np.ndarray) -> float:
    weights = np.where(labels, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    p = IsotonicRegression().fit(scores, labels, sample_weight=weights).predict(scores)
    p = np.where(labels, p, 1 - p)
    return float(-(weights * np.log2(p)).sum())


def test_by_hand() -> None:
    measured = {measure.name: value(measure(LABELS, SCORES)) for measure in RANKING}
    # going down: precision 1 at the first third, 2/3 at the second (a tie), 3/4 at the last
    assert measured["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    # of nine pairs: three won by 0.9, two and a half by 0.8, two by 0.4
    assert measured["roc_auc"] == pytest.approx(7.5 / 9)
    # from (1/3, 2/3) on, where misses and false alarms are equal
    assert measured["equal_error_rate"] == pytest.approx(1 / 3)
    assert measured["best_accuracy"] == pytest.approx(5 / 6)
    assert best_threshold(LABELS, SCORES) == 0.3
    assert measured["tpr_at_fpr_10"] == pytest.approx(1 / 3)
    # blocks of PAV: {0.9} 1:0, {0.8, 0.8, 0.4} 2:1, the rest 0:2
    assert measured["minimum_cllr"] == pytest.approx((2 / 3 * math.log2(1.5) + 1 / 3 * math.log2(3)) / 2)


def test_threshold_by_hand() -> None:
    # an image with the threshold's own score is not called ai
    assert value(accuracy(0.8)(LABELS, SCORES)) == pytest.approx(4 / 6)
    assert value(balanced_accuracy(0.35)(LABELS, [*SCORES[:4], 0.4, 0.4])) == pytest.approx(0.5)
    assert value(false_positive_rate(LABELS, SCORES, 0.3)) == pytest.approx(1 / 3)
    assert value(true_positive_rate(LABELS, SCORES, 0.8)) == pytest.approx(1 / 3)


def test_probabilities_by_hand() -> None:
    # two generated, one real, each class weighing a half
    labels, scores = [1, 1, 0], [1.0, 0.5, 0.5]
    assert value(BRIER_SCORE(labels, scores)) == pytest.approx((0.25 / 2 + 0.25) / 2)
    # the bin of 0.5 has weights 1/4 and 1/2: 0.75 * |0.5 - 1/3|
    assert value(EXPECTED_CALIBRATION_ERROR(labels, scores)) == pytest.approx(0.75 * (0.5 - 1 / 3))
    bins = reliability(labels, scores)
    assert [(round(b.low * 15), round(b.high * 15), b.real, b.generated) for b in bins] == [
        (7, 8, 1, 1),
        (14, 15, 0, 1),
    ]
    assert bins[0].mean_probability == 0.5
    assert bins[0].generated_share == pytest.approx(1 / 3)


def test_reliability_adds_up_to_the_calibration_error() -> None:
    labels, scores = random_case(3)
    weights = {0: 0.5 / (1 - labels).sum(), 1: 0.5 / labels.sum()}
    total = sum(
        (b.real * weights[0] + b.generated * weights[1]) * abs(b.mean_probability - b.generated_share)
        for b in reliability(labels, scores)
    )
    assert total == pytest.approx(value(EXPECTED_CALIBRATION_ERROR(labels, scores)))


def test_likelihood_ratios_by_hand() -> None:
    assert value(CLLR([1, 0], [0.0, 0.0])) == pytest.approx(1)
    # a ratio of 3 for a generated and of 1/3 for a real image
    assert value(CLLR([1, 0], np.log10([3, 1 / 3]))) == pytest.approx(math.log2(4 / 3))
    assert value(CLLR([1, 0], [-1000, 1000])) == pytest.approx(1000 * math.log2(10))
    assert value(CLLR([1, 1, 0], [np.inf, 0, -np.inf])) == pytest.approx(0.25)


@pytest.mark.parametrize("scores", [[-np.inf, 0.0], [0.0, np.inf], [-np.inf, np.inf]])
def test_infinite_cost_is_not_a_number(scores: list[float]) -> None:
    figure = CLLR([1, 0], scores)
    assert figure.value is None
    assert "infinite" in figure.reason


@pytest.mark.parametrize("measure", BOTH_CLASSES, ids=lambda measure: measure.name)
@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([], [], "no images"),
        ([0, 0], [0.1, 0.2], "no generated images"),
        ([1], [0.1], "no real images"),
        ([0, 1, 1], [0.1, np.nan, 0.2], "1 of 3 scores are not numbers"),
        ([0, 1], [np.nan, np.nan], "2 of 2 scores are not numbers"),
    ],
)
def test_what_is_not_defined_says_why(
    measure: Measure, labels: list[int], scores: list[float], reason: str
) -> None:
    assert measure(labels, scores) == Figure(None, reason=reason)


def test_one_class_still_has_accuracy_and_rates() -> None:
    assert accuracy(0.5)([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.9]) == Figure(0.75)
    assert value(false_positive_rate([0, 0], [0.1, 0.9], 0.5)) == 0.5
    assert false_positive_rate([1], [0.1], 0.5) == Figure(None, reason="no real images")
    assert true_positive_rate([0], [0.1], 0.5) == Figure(None, reason="no generated images")
    assert false_positive_rate([0, 1], [np.nan, 0.1], 0.5).reason == "1 of 1 scores are not numbers"
    assert best_threshold([0, 0], [0.1, 0.2]) is None
    assert reliability([0, 0], [0.1, 0.2]) == ()


@pytest.mark.parametrize("scores", [[-0.1, 0.5], [0.5, 1.1], [0.5, np.inf]])
@pytest.mark.parametrize("measure", [BRIER_SCORE, EXPECTED_CALIBRATION_ERROR])
def test_scores_that_are_no_probabilities(measure: Measure, scores: list[float]) -> None:
    assert measure([0, 1], scores) == Figure(None, reason="scores are not probabilities from 0 to 1")


def test_constant_scores() -> None:
    labels, scores = [0, 0, 0, 1], [7.0] * 4
    assert value(AVERAGE_PRECISION(labels, scores)) == 0.25
    assert value(ROC_AUC(labels, scores)) == 0.5
    assert value(EQUAL_ERROR_RATE(labels, scores)) == 0.5
    assert value(MINIMUM_CLLR(labels, scores)) == 1
    assert value(tpr_at_fpr(0.1)(labels, scores)) == 0
    assert value(BEST_ACCURACY(labels, scores)) == 0.75
    assert best_threshold(labels, scores) == 7
    threshold = best_threshold([0, 1, 1], scores[:3])
    assert threshold is not None
    assert threshold < 7


def test_infinite_scores_rank_as_extremes() -> None:
    assert value(AVERAGE_PRECISION([1, 0, 0], [np.inf, 0, -np.inf])) == 1
    assert value(ROC_AUC([0, 1, 0], [np.inf, 0, -np.inf])) == 0.5
    assert value(MINIMUM_CLLR([1, 0], [np.inf, -np.inf])) == 0


def test_a_million_images() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(1_000_000) % 2
    scores = rng.normal(labels)
    # two normal distributions one sigma apart
    assert value(ROC_AUC(labels, scores)) == pytest.approx(0.76025, abs=2e-3)
    assert value(EQUAL_ERROR_RATE(labels, scores)) == pytest.approx(0.30854, abs=2e-3)
    assert value(AVERAGE_PRECISION(labels, scores)) == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        ROC_AUC([0, 1, 2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"\(2,\) do not fit scores of shape \(3,\)"):
        ROC_AUC([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="do not fit"):
        ROC_AUC([[0, 1]], [[0.1, 0.2]])


def test_wilson_interval() -> None:
    # R. Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I
    for count, total, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ):
        figure = proportion(count, total)
        assert figure.reason == ""
        assert (figure.low, figure.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    none = proportion(0, 300)
    assert (none.value, none.low) == (0, 0)
    assert none.reason == "none of 300: with 95 % confidence the rate is below about 3/300"
    assert proportion(0, 0) == Figure(None, reason="no images")


def test_rates_that_the_images_cannot_show_are_said() -> None:
    labels, scores = random_case(0)
    reals = int((labels == 0).sum())
    assert tpr_at_fpr(0.5)(labels, scores).reason == ""
    assert tpr_at_fpr(0.001)(labels, scores).reason.startswith(
        f"{reals} real images cannot show a rate of 0.1%"
    )


def test_figures_of_a_card() -> None:
    labels, scores = random_case(7)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert card_figures(labels, scores) == {
        "auc": round(roc_auc_score(labels, scores), 4),
        "average_precision": round(average_precision_score(labels, scores), 4),
        "tpr_at_fpr_5": round(tpr[fpr <= 0.05].max(), 4),
    }
    assert set(card_figures([0], [0.5]).values()) == {None}


# -- properties -------------------------------------------------------------------------------------------

cases = st.lists(st.tuples(st.booleans(), st.integers(-20, 20)), min_size=2, max_size=60).filter(
    lambda images: len({label for label, _ in images}) == 2
)


def arrays(images: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = zip(*images, strict=True)
    return np.array(labels, dtype=int), np.array(scores, dtype=float)


@given(cases)
def test_only_the_order_of_scores_matters(images: list[tuple[bool, int]]) -> None:
    labels, scores = arrays(images)
    for measure in RANKING:
        figures = {
            value(measure(labels, f(scores))) for f in (np.array, np.exp, np.arctan, lambda s: 3 * s - 7)
        }
        assert len(figures) == 1, measure.name


@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(images: list[tuple[bool, int]], random) -> None:
    shuffled = random.sample(images, len(images))
    for measure in (*RANKING, accuracy(0.5)):
        assert measure(*arrays(images)) == measure(*arrays(shuffled)), measure.name


@given(cases)
def test_swapping_classes(images: list[tuple[bool, int]]) -> None:
    labels, scores = arrays(images)
    assert value(ROC_AUC(1 - labels, scores)) == pytest.approx(1 - value(ROC_AUC(labels, scores)), abs=1e-12)
    # with the scores turned round, too, nothing has changed
    for measure in (ROC_AUC, EQUAL_ERROR_RATE, MINIMUM_CLLR, BEST_ACCURACY, CLLR):
        turned = value(measure(1 - labels, -scores))
        assert turned == pytest.approx(value(measure(labels, scores)), abs=1e-12), measure.name
    for measure in (EXPECTED_CALIBRATION_ERROR, BRIER_SCORE):
        chances = (scores + 20.3) / 41  # none on the edge of a bin
        turned = value(measure(1 - labels, 1 - chances))
        assert turned == pytest.approx(value(measure(labels, chances)), abs=1e-12), measure.name


@given(cases)
def test_every_image_twice_changes_nothing(images: list[tuple[bool, int]]) -> None:
    for measure in RANKING:
        twice = value(measure(*arrays(images * 2)))
        assert twice == pytest.approx(value(measure(*arrays(images))), abs=1e-12), measure.name


@given(cases)
def test_bounds(images: list[tuple[bool, int]]) -> None:
    labels, scores = arrays(images)
    for measure in RANKING:
        assert 0 <= value(measure(labels, scores)) <= 1 + 1e-12, measure.name
    assert value(MINIMUM_CLLR(labels, scores)) <= value(CLLR(labels, scores)) + 1e-12
    best = value(BEST_ACCURACY(labels, scores))
    assert value(accuracy(0.5)(labels, scores)) <= best
    threshold = best_threshold(labels, scores)
    assert threshold is not None
    assert value(accuracy(threshold)(labels, scores)) == best
