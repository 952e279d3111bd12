from __future__ import annotations

import numpy as np
import pytest

from aigdetect.spectrum.chance import RatioLaw


@pytest.mark.parametrize(("cells", "rank"), [(28, 21), (14, 10), (56, 42)])
def test_periodogram_law_is_rohlings_product(cells: int, rank: int) -> None:
    ratios = np.array([0.1, 1, 5, 20, 100])
    places = np.arange(rank)[:, None]
    expected = np.prod((cells - places) / (cells - places + ratios), axis=0)
    assert RatioLaw(1, cells, rank).tail(ratios) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [1, 7])
@pytest.mark.parametrize("bin_share", [1, 0.5])
def test_law_of_averages_and_of_mirrored_bins_is_that_of_simulated_ones(shape: int, bin_share: float) -> None:
    rng = np.random.default_rng(0)
    cells = np.sort(rng.gamma(shape, size=(100_000, 14)), axis=1)[:, 9]
    ratios = rng.gamma(shape * bin_share, 1 / bin_share, size=100_000) / cells
    for tail in (0.5, 0.05, 0.001):
        there = np.quantile(ratios, 1 - tail)
        assert RatioLaw(shape, 14, 10, bin_share).tail(there) == pytest.approx(tail, rel=0.15)


def test_expectation_is_that_of_the_cells() -> None:
    law = RatioLaw(4, 28, 21)
    cells = np.random.default_rng(1).gamma(4, size=(50_000, 28))
    middle = np.median(np.sort(cells, axis=1)[:, 20])
    assert middle * law.expectation == pytest.approx(4, rel=0.01)


def test_fit_keeps_the_law_of_noise_and_lowers_it_for_what_varies_more() -> None:
    rng = np.random.default_rng(2)

    def ratios(shape: float) -> np.ndarray:
        return rng.gamma(shape, size=40_000) / np.sort(rng.gamma(shape, size=(40_000, 28)), axis=1)[:, 20]

    law = RatioLaw(30, 28, 21)
    assert law.fitted(ratios(30)).shape == pytest.approx(30, rel=0.05)
    assert law.fitted(ratios(300)).shape == 30
    assert law.fitted(ratios(3)).shape == pytest.approx(3, rel=0.05)
