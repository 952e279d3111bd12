from __future__ import annotations

import numpy as np
import pytest

from aigdetect.errors import UsageError
from aigdetect.spectrum.distance import (
    decibels,
    difference,
    distance_by_chance,
    log_spectral_distance,
    over_median,
)


def periodograms(count: int, seed: int, size: int = 64) -> np.ndarray:
    """Mean of as many exponential periodograms."""
    return np.random.default_rng(seed).exponential(size=(count, size, size)).mean(axis=0)


def test_decibels_of_known_powers() -> None:
    assert decibels(np.array([1.0, 10.0, 1000.0]), 10.0) == pytest.approx([-10, 0, 20])


def test_bins_without_power_are_as_low_as_the_lowest() -> None:
    assert decibels(np.array([0.0, 0.01, 1.0])) == pytest.approx([-20, -20, 0])


def test_a_gain_is_no_difference() -> None:
    power = periodograms(3, 0)
    assert log_spectral_distance(power, 250 * power) == pytest.approx(0, abs=1e-9)
    assert difference(power, 250 * power) == pytest.approx(0, abs=1e-9)


def test_a_known_difference() -> None:
    first = np.full((64, 64), 2.0)
    second = first.copy()
    second[:32] *= 100  # half of the bins 20 dB up: 10 dB about their mean
    assert log_spectral_distance(first, second) == pytest.approx(10, rel=1e-3)
    assert log_spectral_distance(second, first) == log_spectral_distance(first, second)


def test_the_centre_does_not_count() -> None:
    first, second = periodograms(1, 0), periodograms(1, 0)
    second[32, 32] *= 1e9
    assert log_spectral_distance(first, second) == pytest.approx(0, abs=1e-9)
    assert difference(first, second)[32, 32] == 0


@pytest.mark.parametrize(("first", "second"), [(1, 1), (4, 30), (100, 100)])
def test_what_chance_makes_is_what_was_foretold(first: int, second: int) -> None:
    seen = log_spectral_distance(periodograms(first, 1), periodograms(second, 2))
    assert seen == pytest.approx(distance_by_chance(first, second), rel=0.04)


def test_what_repeats_exactly_stands_over_rounding() -> None:
    power = np.zeros((64, 64))
    power[32, [16, 48]] = 1.0, 0.01
    levels = over_median(power)
    assert levels[32, 16] - levels[32, 48] == pytest.approx(20)
    assert levels[32, 48] > 100
    assert np.count_nonzero(levels) == 2
    assert np.isfinite(log_spectral_distance(power, periodograms(1, 0)))
    assert not over_median(np.zeros((64, 64))).any()


def test_the_median_is_zero_decibels() -> None:
    power = periodograms(1, 0)
    assert np.array_equal(over_median(power), decibels(power, float(np.median(power))))


def test_sizes_must_agree() -> None:
    with pytest.raises(UsageError, match="different sizes"):
        difference(np.ones((64, 64)), np.ones((128, 128)))
