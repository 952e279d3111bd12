from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.fft

from aigdetect.errors import UsageError
from aigdetect.spectrum.fourier import Average, autocorrelation, frequencies, power, radial_profile, spectrum

TILES = np.random.default_rng(0).normal(3, 20, (5, 64, 64)).astype(np.float32)


@pytest.mark.parametrize("size", [64, 65])
def test_spectrum_is_scipys_shifted_and_keeps_the_energy(size: int) -> None:
    tile = np.random.default_rng(1).normal(size=(size, size))
    expected = scipy.fft.fftshift(scipy.fft.fft2(tile)) / size
    assert np.abs(spectrum(tile) - expected).max() < 1e-12
    assert np.abs(power(tile) - np.abs(expected) ** 2).max() < 1e-12
    assert power(tile).sum() == pytest.approx((tile**2).sum(), rel=1e-12)
    assert np.array_equal(frequencies(size), scipy.fft.fftshift(scipy.fft.fftfreq(size)))


def test_a_shift_turns_phases_and_nothing_else() -> None:
    moved = spectrum(np.roll(TILES[0], (3, -5), axis=(0, 1)))
    f = frequencies(64)
    turn = np.exp(-2j * np.pi * (3 * f[:, None] - 5 * f))
    assert np.abs(moved - spectrum(TILES[0]) * turn).max() < 1e-9


def test_a_wave_is_where_its_frequency_is() -> None:
    y, x = np.indices((64, 64))
    found = power(np.cos(2 * np.pi * (5 * y - 9 * x) / 64))
    rows, columns = np.nonzero(found > 1)
    f = frequencies(64) * 64
    assert {(f[r], f[c]) for r, c in zip(rows, columns, strict=True)} == {(5, -9), (-5, 9)}


def test_window_keeps_the_power_of_noise_and_stills_the_cross() -> None:
    noise = np.random.default_rng(2).normal(size=(128, 128))
    assert power(noise, "hann").mean() == pytest.approx(1, abs=0.05)
    ramp = np.add.outer(np.arange(128.0), np.zeros(128))
    far = (slice(0, 32), 64)
    assert power(ramp - ramp.mean(), "hann")[far].max() < 1e-4 * power(ramp - ramp.mean())[far].min()
    assert np.abs(np.abs(spectrum(noise, "hann")) ** 2 - power(noise, "hann")).max() < 1e-4


def test_average_of_power_and_of_coefficients() -> None:
    powers, coherent = Average(64), Average(64, "coherent")
    for tile in TILES:
        powers, coherent = powers.plus(tile), coherent.plus(tile)
    assert powers.power() == pytest.approx(np.mean([power(tile) for tile in TILES], axis=0), rel=1e-5)
    assert coherent.power() == pytest.approx(power(TILES.mean(axis=0)), rel=1e-2, abs=1e-2)
    assert (powers.count, powers.independent, coherent.count, coherent.independent) == (5, 5, 5, 1)


def test_channels_count_as_one_tile() -> None:
    average = Average(64).plus(np.moveaxis(TILES[:3], 0, -1))
    assert average.count == 1
    assert average.power() == pytest.approx(np.mean([power(tile) for tile in TILES[:3]], axis=0), rel=1e-5)


@pytest.mark.parametrize("mode", ["power", "coherent"])
def test_averages_merge_and_go_on_where_they_were(mode) -> None:
    whole = left = right = Average(64, mode, "hann")
    for tile in TILES:
        whole = whole.plus(tile)
    for tile in TILES[:2]:
        left = left.plus(tile)
    stored = io.BytesIO()
    np.savez(stored, **left.arrays())
    stored.seek(0)
    left = Average.from_arrays(np.load(stored))
    for tile in TILES[2:]:
        right = right.plus(tile)
    merged = left.merged(right)
    assert merged.count == 5
    assert merged.power() == pytest.approx(whole.power(), rel=1e-9)
    assert Average(64, mode, "hann").merged(left).power() == pytest.approx(left.power(), rel=1e-12)
    assert left.merged(Average(64, mode, "hann")).count == 2
    assert Average.from_arrays(Average(64, mode).arrays()).count == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        UsageError, match="coherent, 64 pixels, window none and power, 64 pixels, window none"
    ):
        Average(64, "coherent").merged(Average(64))
    with pytest.raises(UsageError, match="no tiles"):
        Average(64).power()
    stored = Average(64).plus(TILES[0]).arrays()
    for name, value in (("size", 32), ("mode", "amplitude"), ("window", "hamming"), ("count", 0)):
        with pytest.raises(UsageError, match="not the arrays of an average"):
            Average.from_arrays({**stored, name: np.asarray(value)})
    with pytest.raises(UsageError, match="total"):
        Average.from_arrays({"size": np.asarray(64)})


def test_radial_profile_is_the_mean_over_rings() -> None:
    f = frequencies(64)
    radius = np.hypot(f[:, None], f)
    profile = radial_profile(radius)
    assert profile.frequency[[0, 16, 32]] == pytest.approx([0, 0.25, 0.5])
    assert np.abs(profile.power - profile.frequency).max() < 0.5 / 64
    ring = (radius > 9.5 / 64) & (radius < 10.5 / 64)
    values = np.random.default_rng(3).random((64, 64))
    assert radial_profile(values).power[10] == pytest.approx(values[ring].mean())


def test_autocorrelation_equals_the_sum_over_shifts() -> None:
    tile = TILES[0].astype(float)
    found = autocorrelation(power(tile))
    assert found[32, 32] == pytest.approx(1)
    for dy, dx in ((1, 0), (-7, 4)):
        expected = (tile * np.roll(tile, (dy, dx), axis=(0, 1))).sum() / (tile**2).sum()
        assert found[32 + dy, 32 + dx] == pytest.approx(expected, abs=1e-9)
