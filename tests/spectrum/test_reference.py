from __future__ import annotations

import numpy as np
import pytest

from aigdetect.errors import UsageError
from aigdetect.spectrum.analysis import average_tiles
from aigdetect.spectrum.fourier import Profile, radial_profile
from aigdetect.spectrum.reference import (
    GRID,
    bands_as_json,
    bands_from_json,
    camera_band,
    make_band,
    normalised,
)
from aigdetect.spectrum.residual import RESIDUALS, Channel


def profile(power: np.ndarray) -> Profile:
    return Profile(frequency=np.arange(len(power)) / (2 * (len(power) - 1)), power=power)


def test_normalised_profiles_know_form_and_not_level() -> None:
    power = np.linspace(1, 5, 257)
    assert normalised(profile(power)) == pytest.approx(normalised(profile(1e4 * power)))
    assert np.mean(10 ** (normalised(profile(power)) / 10)) == pytest.approx(1)
    assert normalised(profile(np.full(33, 7.0))) == pytest.approx(0, abs=1e-12)


def test_profiles_of_every_tile_size_lie_on_one_grid() -> None:
    slopes = [normalised(profile(np.linspace(1, 2, size // 2 + 1))) for size in (64, 128, 512)]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-9)
    assert slopes[0] == pytest.approx(slopes[2], abs=1e-9)
    assert len(slopes[0]) == len(GRID) == 63


def test_a_ring_without_power_is_a_number() -> None:
    power = np.ones(65)
    power[40] = 0
    assert np.isfinite(normalised(profile(power))).all()


def test_a_band_holds_percentiles() -> None:
    rows = [np.full(len(GRID), float(level)) for level in range(101)]
    band = make_band(rows, "levels")
    assert band.levels[:, 0].tolist() == [5, 25, 50, 75, 95]
    assert (band.photographs, band.sources) == (101, "levels")
    assert set(band.outside(np.full(len(GRID), 96.0))) == {1}
    assert set(band.outside(np.full(len(GRID), 50.0))) == {0}
    assert set(band.outside(np.full(len(GRID), 4.0))) == {-1}


def test_a_band_of_a_few_is_refused() -> None:
    with pytest.raises(UsageError, match="not 19"):
        make_band([np.zeros(len(GRID))] * 19, "few")


def test_bands_survive_their_file() -> None:
    rng = np.random.default_rng(0)
    band = make_band(list(rng.normal(size=(30, len(GRID)))), "noise")
    back = bands_from_json(bands_as_json({("median", "rgb"): band}))["median", "rgb"]
    assert back.levels == pytest.approx(band.levels, abs=0.0051)
    assert (back.photographs, back.sources) == (30, "noise")


@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize("channel", ["luminance", "rgb"])
def test_every_kind_of_residual_has_a_band(residual: str, channel: Channel) -> None:
    band = camera_band(residual, channel)
    assert band.levels.shape == (5, len(GRID))
    assert (np.diff(band.levels, axis=0) >= 0).all()
    assert band.photographs >= 100
    assert band.sources


def test_white_noise_leaves_the_band_of_photographs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    levels = normalised(radial_profile(average_tiles(pixels).power()))
    outside = camera_band("median", "luminance").outside(levels)
    assert outside[-8:].tolist() == [1] * 8  # photographs are darker towards the highest frequencies
