from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from aigdetect.metrics import bootstrap as module
from aigdetect.metrics.bootstrap import Distribution, bootstrap, mean_of, resample
from aigdetect.metrics.measure import Figure, Measure, Ranking
from aigdetect.metrics.probabilities import BRIER_SCORE, EXPECTED_CALIBRATION_ERROR
from aigdetect.metrics.ranking import AVERAGE_PRECISION, EQUAL_ERROR_RATE, ROC_AUC, tpr_at_fpr
from aigdetect.metrics.rates import BEST_ACCURACY, accuracy, balanced_accuracy
from aigdetect.metrics.ratios import CLLR, MINIMUM_CLLR

EVERY = (
    *(AVERAGE_PRECISION, ROC_AUC, EQUAL_ERROR_RATE, BEST_ACCURACY, MINIMUM_CLLR, accuracy(0.5), CLLR),
    *(balanced_accuracy(0.5), tpr_at_fpr(0.01), tpr_at_fpr(0.1), BRIER_SCORE, EXPECTED_CALIBRATION_ERROR),
)


def images(reals: int, generated: int, seed: int = 0, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores from 0 to 1, some of them equal."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation([0] * reals + [1] * generated)
    return labels, np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1).round(digits)


def draws(distribution: Distribution) -> np.ndarray:
    assert distribution.draws is not None
    return distribution.draws


def _of_images(ranking: Ranking, row: int) -> tuple[np.ndarray, np.ndarray]:
    """One row of a ranking, written out as labels and scores."""
    counts = np.concatenate([ranking.real[row], ranking.generated[row]]).astype(int)
    half = len(ranking.scores)
    return np.repeat([0] * half + [1] * half, counts), np.repeat(np.tile(ranking.scores, 2), counts)


@pytest.mark.parametrize("measure", EVERY, ids=lambda measure: measure.name)
def test_a_resample_is_measured_as_its_images_would_be(measure: Measure) -> None:
    kept: list[Ranking] = []

    def spy(ranking: Ranking) -> np.ndarray:
        kept.append(ranking)
        return measure.of(ranking)

    (spread,) = resample(*images(40, 25), [Measure(measure.name, spy)], resamples=30)
    redrawn = kept[1]  # the first was the images themselves
    assert redrawn.real.shape[0] == 30
    assert (redrawn.real.sum(axis=1) == 40).all()
    assert (redrawn.generated.sum(axis=1) == 25).all()
    expected = [measure(*_of_images(redrawn, row)).value for row in range(30)]
    assert draws(spread) == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) > 3


def test_intervals_are_those_of_a_plain_loop() -> None:
    labels, scores = images(150, 100)
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(2000):
        chosen = np.concatenate(
            [rng.choice(np.flatnonzero(labels == label), (labels == label).sum()) for label in (0, 1)]
        )
        once = labels[chosen], scores[chosen]
        rows.append([average_precision_score(*once), roc_auc_score(*once)])
    plain = np.percentile(rows, [2.5, 97.5], axis=0).T
    ours = bootstrap(labels, scores, [AVERAGE_PRECISION, ROC_AUC], resamples=4000)
    for figure, (low, high) in zip(ours, plain, strict=True):
        width = high - low
        assert figure.low == pytest.approx(low, abs=0.08 * width)
        assert figure.high == pytest.approx(high, abs=0.08 * width)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # of two normal distributions one sigma apart, the area under the ROC curve is 0.7602
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 100)
        (figure,) = bootstrap(labels, rng.normal(labels), [ROC_AUC], resamples=200, confidence=0.8)
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 0.7602 <= figure.high
    assert 0.7 < held / 200 < 0.88


def test_same_seed_same_interval_whatever_is_measured_beside_it() -> None:
    data = images(60, 60)
    alone = bootstrap(*data, [ROC_AUC], resamples=100)
    beside = bootstrap(*data, [CLLR, ROC_AUC, EQUAL_ERROR_RATE], resamples=100)
    assert alone[0] == beside[1]
    assert bootstrap(*data, [ROC_AUC], resamples=100, seed=1) != alone


def test_work_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = images(30, 20)
    whole = bootstrap(*data, EVERY, resamples=50)
    monkeypatch.setattr(module, "_CELLS", 150)  # three resamples at a time, and two at the end
    for ours, theirs in zip(bootstrap(*data, EVERY, resamples=50), whole, strict=True):
        assert ours.value == theirs.value
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wider_confidence_is_wider() -> None:
    data = images(50, 50)
    (narrow,) = bootstrap(*data, [ROC_AUC], confidence=0.5)
    (wide,) = bootstrap(*data, [ROC_AUC], confidence=0.99)
    assert narrow.value == wide.value
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high  # type: ignore[operator]


def test_constant_scores_have_an_interval_of_no_width() -> None:
    assert bootstrap([0, 1] * 20, [0.5] * 40, [ROC_AUC]) == (Figure(0.5, 0.5, 0.5),)


def test_what_is_not_defined_stays_so() -> None:
    labels, scores = [0] * 20, np.linspace(0, 1, 20)
    auc, right = bootstrap(labels, scores, [ROC_AUC, accuracy(0.5)], resamples=100)
    assert auc == Figure(None, reason="no generated images")
    assert right.value == 0.5
    assert right.low is not None
    assert 0.2 < right.low < 0.5
    assert bootstrap([], [], [ROC_AUC]) == (Figure(None, reason="no images"),)
    assert bootstrap([0, 1], [0.1, np.nan], [CLLR])[0].reason == "1 of 2 scores are not numbers"


def test_few_images_have_a_figure_without_interval() -> None:
    assert bootstrap([0], [0], [ROC_AUC]) == (Figure(None, reason="no generated images"),)
    figure = Figure(1.0, reason="no interval: under 10 images of a class")
    assert bootstrap([0, 1], [0, 1], [ROC_AUC]) == (figure,)
    assert bootstrap([0] * 9 + [1] * 50, [0] * 9 + [1] * 50, [ROC_AUC]) == (figure,)
    assert bootstrap([0] * 10 + [1] * 50, [0] * 10 + [1] * 50, [ROC_AUC]) == (Figure(1.0, 1.0, 1.0),)


def test_classes_with_the_same_scores_are_drawn_apart() -> None:
    scores = np.tile(np.linspace(0, 1, 30), 2)
    (figure,) = bootstrap(np.repeat([0, 1], 30), scores, [ROC_AUC])
    assert figure.value == 0.5
    assert figure.low < 0.4 < 0.6 < figure.high  # type: ignore[operator]


def test_cautions_are_kept() -> None:
    (figure,) = bootstrap(*images(50, 50), [tpr_at_fpr(0.001)], resamples=50)
    assert figure.reason.startswith("50 real images cannot show")
    assert figure.low is not None


def test_mean_over_sets() -> None:
    spreads = [resample(*images(40, 40, seed), [ROC_AUC], resamples=300)[0] for seed in range(9)]
    mean = mean_of(spreads)
    assert mean.value.value == pytest.approx(np.mean([spread.value.value for spread in spreads]))
    # nine independent sets: a third of the spread of one
    assert draws(mean).std() == pytest.approx(np.mean([draws(s).std() for s in spreads]) / 3, rel=0.2)


def test_mean_over_sets_that_share_their_reals() -> None:
    labels, scores = images(40, 40)
    other = scores.copy()
    other[labels == 1] = np.random.default_rng(1).permutation(scores[labels == 1] + 0.01)
    first, second = (resample(labels, s, [ROC_AUC], resamples=400)[0] for s in (scores, other))
    # the reals make up about half of the variance
    assert 0.3 < np.corrcoef(draws(first), draws(second))[0, 1] < 0.8


def test_sets_that_share_nothing_are_drawn_apart() -> None:
    # in the same order, the same draws would move both alike
    first, second = (
        resample(np.repeat([0, 1], 40), np.sort(images(40, 40, seed)[1]), [BRIER_SCORE], resamples=400)[0]
        for seed in (1, 2)
    )
    assert abs(np.corrcoef(draws(first), draws(second))[0, 1]) < 0.15


def test_mean_tells_what_is_missing() -> None:
    whole = resample(*images(40, 40), [ROC_AUC], resamples=50)[0]
    undefined = Distribution(Figure(None, reason="no real images"))
    bare = Distribution(Figure(0.5, reason="no interval: under 10 images of a class"))
    assert mean_of([]).value == Figure(None, reason="no sets")
    assert mean_of([undefined]).figure() == Figure(None, reason="not defined for any of the sets")
    some = mean_of([whole, undefined]).figure()
    assert (some.value, some.reason) == (whole.value.value, "without 1 of 2 sets, where it is not defined")
    assert some.low is not None
    cautious = resample(*images(40, 40), [tpr_at_fpr(0.01)], resamples=50)[0]
    assert mean_of([cautious, whole]).figure().reason == "limited in 1 of 2 sets: see there"
    less = mean_of([whole, bare]).figure()
    assert (less.low, less.reason) == (None, "no interval: one of the sets has none")
