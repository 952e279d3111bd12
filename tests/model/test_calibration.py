from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigdetect.model.calibration import Calibration, Thresholds
from aigdetect.model.calibration_fit import (
    CURVE_POINTS,
    SHRINKAGE,
    fit_calibration,
    group_weights,
    rates_at,
)


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


def test_a_sample_too_small_for_a_rate_gives_no_verdict_by_it() -> None:
    calibration = known([float(i) for i in range(50)], [60.0])
    limits = calibration.thresholds(fpr=0.01)
    assert {limits.verdict(x) for x in (-1e9, 0.0, 49.5, 60.0, 1e9)} == {"uncertain"}
    assert not calibration.supports(0.01)
    assert calibration.lacks() == [
        "calibrated on 50 real images, too few for a false-positive rate of 0.01: no verdict is ai",
        "calibrated on 1 generated images, too few for a false-negative rate of 0.05: no verdict is real",
    ]
    assert calibration.supports(0.02)
    assert calibration.thresholds(fpr=0.02, fnr=0.5).ai == 49.0
    assert calibration.thresholds(fpr=0.02, fnr=0.5).verdict(-1e9) == "real"
    assert calibration.lacks(fpr=0.02, fnr=0.5) == []


def test_few_sources_of_many_images_are_worth_few() -> None:
    logits, labels = gaussian(400, 400)
    groups = ["s0"] * 390 + ["s1"] * 10 + ["g"] * 400
    made = fit_calibration(logits, labels, groups)
    assert made.supports(0.01)
    assert not made.supports(0.005)  # which 400 images of equal weight would show
    assert "calibrated on 400 real images (worth 123, each source" in made.lacks(fpr=0.005)[0]
    assert made.thresholds(fpr=0.005).ai == math.inf
    assert made.thresholds(fpr=0.005).real > -math.inf


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
    assert CURVE_POINTS // 2 < len(calibration.real_logits) <= CURVE_POINTS
    assert calibration.real_count == 30_000
    assert calibration.real_logits[-1] == pytest.approx(max(logits[:30_000]), abs=1e-4)
    exact = float(np.quantile(logits[:30_000], 0.99))
    # thinning may only raise the threshold, and by little
    assert exact <= calibration.thresholds(fpr=0.01).ai < exact + 0.03


def test_scores_at_the_ends_do_not_overflow() -> None:
    calibration = known([0.0], [1.0], slope=100.0)
    assert calibration.score(1e6) == 1.0
    assert calibration.score(-1e6) == 0.0


def of_sources(sizes: dict[str, int], shifts: dict[str, float]) -> tuple[list[float], list[str]]:
    rng = np.random.default_rng(0)
    logits = [x for name, count in sizes.items() for x in rng.normal(shifts.get(name, 0.0), 1, count)]
    return logits, [name for name, count in sizes.items() for _ in range(count)]


def test_group_weights_draw_small_sources_towards_the_mean() -> None:
    """The weighted share is the fixed point of what the weights are said to stand for."""
    groups = ["a"] * 100 + ["b"] * 20 + ["c"] * 2
    flagged = np.array([1] * 30 + [0] * 70 + [1] * 1 + [0] * 19 + [1, 1])
    rate = float(group_weights(groups) @ flagged)
    shrunk = [(k + SHRINKAGE * rate) / (n + SHRINKAGE) for k, n in ((30, 100), (1, 20), (2, 2))]
    assert rate == pytest.approx(np.mean(shrunk))
    np.testing.assert_allclose(group_weights(["a", "b", "c"]), 1 / 3)


def test_the_threshold_is_that_of_sources_and_not_of_the_largest_one() -> None:
    sizes = {"large": 4000, **{f"s{i}": 100 for i in range(19)}}
    reals, groups = of_sources(sizes, {name: 1.0 for name in sizes if name != "large"})
    generated, generators = of_sources({"g": 500}, {"g": 3.0})
    labels = [0] * len(reals) + [1] * len(generated)
    made = fit_calibration(reals + generated, labels, groups + generators)
    limits = made.thresholds(fpr=0.01)
    x, names = np.array(reals), np.array(groups)
    over = [(x[names == name] > limits.ai).mean() for name in sizes]
    assert np.average(over, weights=[n / (n + SHRINKAGE) for n in sizes.values()]) == pytest.approx(
        0.01, abs=0.002
    )
    alike = fit_calibration(reals + generated, labels).thresholds(fpr=0.01)
    assert limits.ai > alike.ai + 0.1
    assert (made.real_sources, made.generators) == (20, 1)
    assert made.real_effective is not None
    assert 500 < made.real_effective < 5900


def test_sources_alike_in_size_give_what_images_alike_give() -> None:
    logits, labels = gaussian(200, 100)
    groups = [f"s{i % 10}" for i in range(300)]
    alike, grouped = fit_calibration(logits, labels), fit_calibration(logits, labels, groups)
    assert grouped.slope == pytest.approx(alike.slope, rel=1e-6)
    for fpr in (0.004, 0.01, 0.05, 0.3):
        one, other = grouped.thresholds(fpr=fpr), alike.thresholds(fpr=fpr)
        assert (one.ai, one.real) == pytest.approx((other.ai, other.real))
    assert grouped.log10_lr(1e6) == pytest.approx(alike.log10_lr(1e6))


def test_a_model_that_ranks_backwards_says_nothing() -> None:
    """Wherever its logits lie: the intercept that goes with a slope thrown away must go with it."""
    rng = np.random.default_rng(0)
    logits = [*rng.normal(6, 1, 300), *rng.normal(4, 1, 300)]
    made = fit_calibration(logits, [0] * 300 + [1] * 300)
    assert not made.informative
    assert {made.score(x) for x in (-1e6, 0.0, 4.0, 6.0, 1e6)} == {0.5}
    assert made.log10_lr(9.0) == 0.0
    limits = made.thresholds()
    assert {limits.verdict(x) for x in (-1e6, 0.0, 4.0, 6.0, 1e6)} == {"uncertain"}
    assert made.even == math.inf


def test_the_rate_over_sources_and_its_upper_end() -> None:
    sizes = {f"s{i}": 80 for i in range(30)}
    # one source of thirty is far out: the mean is a thirtieth, and a draw may hold it more than once
    reals, groups = of_sources(sizes, {"s7": 50.0})
    limits = Thresholds(ai=25.0, real=-25.0)
    rates = rates_at(limits, [*reals, 60.0, 0.0], [0] * len(reals) + [1, 1], [*groups, "g", "h"])
    assert rates["real_called_ai"].rate == pytest.approx(1 / 30)
    assert rates["real_called_ai"].groups == 30
    # binomial: of 30 draws with a chance of 1/30 each, 95 % hold it three times or less
    assert rates["real_called_ai"].upper == pytest.approx(3 / 30, abs=1e-9)
    assert rates["generated_called_ai"].rate == pytest.approx(0.5)
    assert rates["generated_called_real"].rate == 0.0


def test_shares_of_another_length_than_their_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="2 of them, but 1 shares"):
        Calibration(1.0, 0.0, 2, 1, (0.0, 1.0), (2.0,), real_above=(0.5,))


def test_half_the_rates_lie_further_out_and_take_twice_the_images() -> None:
    made = fit_calibration(*gaussian(1000, 1000))
    for fpr in (None, 0.1):
        whole, half = made.thresholds(fpr=fpr), made.half_rates(fpr=fpr)
        assert half.real < whole.real < whole.ai < half.ai < math.inf
        beyond = sum(logit > half.ai for logit in made.real_logits) / len(made.real_logits)
        assert beyond <= (fpr or made.fpr) / 2
    small = fit_calibration(*gaussian(150, 150))  # enough for 0.01, and not for 0.005
    assert small.thresholds(fpr=0.01).ai < small.half_rates(fpr=0.01).ai == math.inf


def test_a_kind_of_few_sources_is_never_called_ai_and_one_that_scores_high_later() -> None:
    rng = np.random.default_rng(0)
    plans = [
        ("photograph", 12, 100, 0.0),
        ("face", 8, 50, 2.0),
        ("drawing", 5, 12, 0.0),
        ("document", 4, 90, 0.0),
    ]
    reals, groups, kinds = [], [], []
    for kind, sources, count, mean in plans:
        reals += rng.normal(mean, 1, sources * count).tolist()
        groups += [f"{kind} {source}" for source in range(sources) for _ in range(count)]
        kinds += [kind] * (sources * count)
    generated = rng.normal(4, 1, 200).tolist()
    made = fit_calibration(
        reals + generated,
        [0] * len(reals) + [1] * 200,
        groups + [f"g{i % 9}" for i in range(200)],
        kinds + [None] * 200,
    )
    told = (*made.kinds, "screenshot")
    limits, overall = made.kind_thresholds(told, fpr=0.05), made.thresholds(fpr=0.05).ai
    values, of_kind = np.array(reals), np.array(kinds)
    assert limits["document"] == limits["screenshot"] == math.inf
    assert limits["photograph"] < overall < limits["face"]
    assert (values[of_kind == "face"] > limits["face"]).mean() == pytest.approx(0.05, abs=0.005)
    # sixty drawings cannot show one in a hundred: nothing below the highest of them is called ai
    strict = made.kind_thresholds(["drawing"], fpr=0.01)["drawing"]
    assert strict == pytest.approx(values[of_kind == "drawing"].max(), abs=1e-4)
    assert {name: (kind.real_count, kind.real_sources) for name, kind in made.kinds.items()} == {
        "photograph": (1200, 12),
        "face": (400, 8),
        "drawing": (60, 5),
        "document": (360, 4),
    }
