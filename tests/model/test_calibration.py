from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigdetect.model.calibration import CURVE_POINTS, Calibration, fit_calibration


def gaussian(reals: int, generated: int, seed: int = 0) -> tuple[list[float], list[int]]:
    rng = np.random.default_rng(seed)
    logits = np.concatenate([rng.normal(-1, 1, reals), rng.normal(1, 1, generated)])
    return logits.tolist(), [0] * reals + [1] * generated


def test_recovers_the_log_likelihood_ratio_of_two_gaussians() -> None:
    # unit Gaussians at -1 and +1: the log likelihood ratio is 2 x, whatever the class balance
    calibration = fit_calibration(*gaussian(20_000, 5_000))
    assert calibration.slope == pytest.approx(2, rel=0.05)
    assert calibration.intercept == pytest.approx(0, abs=0.05)
    assert calibration.score(1.0) == pytest.approx(1 / (1 + math.exp(-2)), abs=0.01)
    assert calibration.log10_lr(1.0) == pytest.approx(2 / math.log(10), abs=0.03)


def test_agrees_with_scikit_learns_platt_scaling_on_balanced_classes() -> None:
    from sklearn.calibration import _sigmoid_calibration

    logits, labels = gaussian(300, 300)
    a, b = _sigmoid_calibration(np.array(logits), np.array(labels))
    calibration = fit_calibration(logits, labels)
    assert calibration.slope == pytest.approx(-a, rel=1e-3)
    assert calibration.intercept == pytest.approx(-b, abs=1e-3)


def test_separable_classes_give_a_finite_slope() -> None:
    calibration = fit_calibration([-2.0, -1.5, -1.0, 1.0, 1.5, 2.0] * 10, [0, 0, 0, 1, 1, 1] * 10)
    assert 0 < calibration.slope < 20
    assert 0.9 < calibration.score(2.0) < 1


def test_claims_no_more_than_the_sample_supports() -> None:
    calibration = fit_calibration(*gaussian(200, 50))
    assert calibration.log10_lr(1e6) == pytest.approx(math.log10(200))
    assert calibration.log10_lr(-1e6) == pytest.approx(-math.log10(50))


def test_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="both classes"):
        fit_calibration([0.0, 1.0], [1, 1])


def test_a_backward_detector_is_not_turned_round() -> None:
    calibration = fit_calibration([1.0, 2.0, -1.0, -2.0], [0, 0, 1, 1])
    assert calibration.slope > 0
    assert calibration.score(5.0) == pytest.approx(0.5, abs=0.01)


def known(
    reals: list[float], generated: list[float], slope: float = 1.0, intercept: float = 0.0
) -> Calibration:
    return Calibration(
        slope, intercept, len(reals), len(generated), tuple(sorted(reals)), tuple(sorted(generated))
    )


def test_thresholds_by_hand() -> None:
    reals = [float(i) for i in range(-188, 11)]  # 199 of them, the highest 10
    generated = [float(i) for i in range(-4, 95)]  # 99 of them, the lowest -4
    thresholds = known(reals, generated).thresholds(fpr=0.01, fnr=0.05)
    assert thresholds.ai == 9.0  # one lies above: (1 + 1) / (199 + 1) is 1 %
    assert thresholds.real == 0.0  # four lie below; five would be (5 + 1) / (99 + 1), more than 5 %
    assert [thresholds.verdict(x) for x in (9.5, 9.0, 5.0, 0.0, -0.5)] == [
        "ai",
        "uncertain",
        "uncertain",
        "uncertain",
        "real",
    ]


def test_a_sample_too_small_for_the_rate_flags_nothing_like_it() -> None:
    calibration = known([float(i) for i in range(50)], [60.0])
    assert calibration.thresholds(fpr=0.01).ai == 49.0
    assert not calibration.supports(0.01)
    assert calibration.supports(0.02)


def test_new_images_like_the_held_out_ones_keep_the_rate() -> None:
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(400):
        reals = rng.normal(0, 1, 150)
        threshold = known(reals.tolist(), [9.0], intercept=9.0).thresholds(fpr=0.05).ai
        flagged.append(np.mean(rng.normal(0, 1, 200) > threshold))
    assert 0.035 < np.mean(flagged) < 0.05


def test_a_verdict_never_contradicts_the_score() -> None:
    calibration = known([-5.0, -4.0], [4.0, 5.0], intercept=1.0)
    thresholds = calibration.thresholds(fpr=0.9, fnr=0.9)
    assert thresholds.ai == thresholds.real == -1.0
    assert calibration.score(thresholds.ai) == pytest.approx(0.5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=60),
    st.lists(st.floats(-50, 50), min_size=1, max_size=60),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)
def test_error_rates_are_kept_on_the_held_out_images(
    reals: list[float], generated: list[float], fpr: float, fnr: float
) -> None:
    thresholds = known(reals, generated).thresholds(fpr=fpr, fnr=fnr)
    assert thresholds.real <= thresholds.ai
    assert sum(thresholds.verdict(x) == "ai" for x in reals) <= fpr * len(reals)
    assert sum(thresholds.verdict(x) == "real" for x in generated) <= fnr * len(generated)


def test_many_logits_are_thinned_and_keep_their_tails() -> None:
    logits, labels = gaussian(30_000, 30_000)
    calibration = fit_calibration(logits, labels)
    assert len(calibration.real_logits) == CURVE_POINTS
    assert calibration.real_count == 30_000
    assert calibration.real_logits[-1] == pytest.approx(max(logits[:30_000]), abs=1e-4)
    exact = float(np.quantile(logits[:30_000], 0.99))
    # thinning may only raise the threshold, and by little
    assert exact <= calibration.thresholds(fpr=0.01).ai < exact + 0.03


def test_scores_at_the_ends_do_not_overflow() -> None:
    calibration = known([0.0], [1.0], slope=100.0)
    assert calibration.score(1e6) == 1.0
    assert calibration.score(-1e6) == 0.0
