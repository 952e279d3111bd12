from __future__ import annotations

import numpy as np
import pytest

from aigdetect.errors import UsageError
from aigdetect.spectrum.chance import RatioLaw
from aigdetect.spectrum.explain import NOTHING_KNOWN
from aigdetect.spectrum.fourier import Average, Power, power
from aigdetect.spectrum.peaks import FALSE_ALARM_RATE, Peak, find_peaks

Place = tuple[float, float]


def wave(size: int, place: Place, phase: float = 0.0) -> np.ndarray:
    y, x = np.indices((size, size))
    return np.cos(2 * np.pi * (place[0] * y + place[1] * x) + phase)


def planted(rng: np.random.Generator, size: int, tiles: int, decibels: float) -> tuple[Power, Place]:
    """Averaged spectrum of noise and a wave whose highest bin lies so far over the noise, and its place.

    The frequency lies anywhere between the bins; the phase differs from tile to tile.
    """
    place = (rng.uniform(0.1, 0.4), rng.uniform(-0.4, 0.4))
    amplitude = np.sqrt((10 ** (decibels / 10) - 1) / power(wave(size, place)).max())
    average = Average(size)
    for _ in range(tiles):
        phase = rng.uniform(0, 2 * np.pi)
        average = average.plus(rng.normal(size=(size, size)) + amplitude * wave(size, place, phase))
    return average.power(), place


def error_in_bins(peak: Peak, place: Place, size: int) -> float:
    return size * max(abs(peak.fy - place[0]), abs(peak.fx - place[1]))


def test_6_db_over_the_background_of_a_set_is_found_within_half_a_bin() -> None:
    found = 0
    for seed in range(200):
        spectrum, place = planted(np.random.default_rng(seed), 64, tiles=32, decibels=6)
        peaks = find_peaks(spectrum, averaged=32)
        found += bool(peaks) and error_in_bins(peaks[0], place, 64) <= 0.5
        if peaks:
            assert peaks[0].height_db == pytest.approx(6, abs=2)
    assert found >= 198


def test_a_single_image_needs_a_higher_peak() -> None:
    found = {6: 0, 20: 0}
    for decibels in found:
        for seed in range(200):
            spectrum, place = planted(np.random.default_rng(seed), 64, tiles=1, decibels=decibels)
            peaks = find_peaks(spectrum)
            found[decibels] += bool(peaks) and error_in_bins(peaks[0], place, 64) <= 0.5
    assert found[6] <= 10
    assert found[20] >= 198


@pytest.mark.parametrize(("tiles", "count"), [(1, 1000), (8, 200)])
def test_white_noise_raises_false_peaks_in_at_most_the_stated_share(tiles: int, count: int) -> None:
    rng = np.random.default_rng(3)
    false = certain = 0
    for _ in range(count):
        average = Average(64)
        for noise in rng.normal(size=(tiles, 64, 64)):
            average = average.plus(noise)
        peaks = find_peaks(average.power(), averaged=tiles, false_alarm_rate=0.1)
        false += bool(peaks)
        certain += any(peak.p_value <= FALSE_ALARM_RATE for peak in peaks)
    assert false <= 0.1 * count
    assert certain <= FALSE_ALARM_RATE * count


@pytest.mark.parametrize(
    "place", [(0.5, 0.5), (0.5, 0.0), (0.0, 0.5), (0.0, 0.25), (0.5, 0.125), (0.3, -0.2)]
)
@pytest.mark.parametrize("amplitude", [3, 100])
def test_one_wave_is_one_peak_wherever_it_is(place: Place, amplitude: float) -> None:
    noise = np.random.default_rng(4).normal(size=(128, 128))
    (peak,) = find_peaks(power(noise + amplitude * wave(128, place)))
    assert error_in_bins(peak, place, 128) <= 0.5
    assert peak.period == pytest.approx(1 / np.hypot(*place), rel=0.01)
    assert peak.p_value < 1e-6
    assert peak.as_dict().keys() == {"fy", "fx", "period", "height_db", "p_value", "explanation"}


def test_frequencies_on_bins_are_exact() -> None:
    noise = np.random.default_rng(5).normal(size=(128, 128))
    (peak,) = find_peaks(power(noise + wave(128, (0.25, -0.125))))
    assert (peak.fy, peak.fx) == (0.25, -0.125)


def test_between_bins_the_neighbours_move_the_peak() -> None:
    noise = np.random.default_rng(6).normal(size=(128, 128))
    (peak,) = find_peaks(power(noise + 5 * wave(128, (32.45 / 128, 20 / 128))))
    assert peak.fy * 128 == pytest.approx(32.45, abs=0.3)
    assert peak.fx * 128 == pytest.approx(20, abs=0.05)


def test_a_slope_and_a_ridge_are_no_peaks_but_a_wave_on_them_is() -> None:
    rng = np.random.default_rng(7)
    f = np.fft.fftshift(np.fft.fftfreq(256))
    expected = 1 / np.maximum(f[:, None] ** 2 + f**2, 1e-4)
    expected[:, 128] *= 100  # as left by the mismatch of two edges
    half = rng.exponential(size=(256, 256))
    noise = expected * (half + np.roll(half[::-1, ::-1], 1, axis=(0, 1))) / 2
    # the mean of a bin and its mirror image: twice the degrees of freedom
    assert find_peaks(noise, averaged=2) == ()
    for row, column in ((128 + 70, 128), (128 - 70, 128)):
        noise[row, column] = 30 * expected[row, column]
    (peak,) = find_peaks(noise, averaged=2)
    assert (peak.fy, peak.fx) == (70 / 256, 0)


def test_ripples_of_a_set_are_no_peaks_although_they_are_no_chance() -> None:
    # thousands of images leave little noise, and what remains is the shape of their mean spectrum
    rng = np.random.default_rng(8)
    ripple = np.exp(rng.normal(0, 0.1, (128, 128)))
    ripple = (ripple + np.roll(ripple[::-1, ::-1], 1, axis=(0, 1))) / 2
    assert find_peaks(ripple, averaged=5000) == ()


def test_images_of_unlike_contrast_are_fewer_than_they_count() -> None:
    rng = np.random.default_rng(11)
    false = 0
    for _ in range(100):
        average = Average(64)
        for noise, contrast in zip(rng.normal(size=(40, 64, 64)), rng.lognormal(0, 0.7, 40), strict=True):
            average = average.plus(contrast * noise)
        false += bool(find_peaks(average.power(), averaged=average.independent))
    assert false <= 2


def test_a_bin_that_is_its_own_mirror_image_needs_more() -> None:
    # every surrounding is one; lines have the fewest cells, and at Nyquist they hold each of them twice
    flat = np.ones((64, 64))
    flat[0, 0] = flat[32 + 10, 32 + 17] = flat[32 - 10, 32 - 17] = 200
    nyquist, inside = sorted(find_peaks(flat), key=lambda peak: -peak.p_value)
    assert (nyquist.fy, nyquist.fx) == (0.5, 0.5)
    bins = 33 * 64 - 2 * 31 - 41  # half the plane, each wave once, and not around zero
    assert nyquist.p_value == pytest.approx(bins * RatioLaw(1, 14, 10, 0.5).tail(200), rel=1e-6)
    assert inside.p_value == pytest.approx(bins * RatioLaw(1, 28, 21).tail(200), rel=1e-6)


def test_highest_first_and_explained_in_company() -> None:
    noise = np.random.default_rng(9).normal(size=(128, 128))
    waves = wave(128, (0.21, 0.37)) + 2 * wave(128, (0.125, 0))
    high, low = find_peaks(power(noise + waves), trace="strength")
    assert high.height_db > low.height_db + 3
    assert high.explanation.startswith("consistent with the JPEG 8x8 grid")
    assert low.explanation == f"{NOTHING_KNOWN} (in the residual's strength)"


def test_rounding_of_a_pure_wave_is_no_peak() -> None:
    assert len(find_peaks(power(wave(128, (0.25, 0.125)).astype(np.float32)))) == 1


def test_more_spectra_searched_make_a_peak_less_sure() -> None:
    spectrum, _ = planted(np.random.default_rng(0), 64, tiles=1, decibels=20)
    (one,), (two,) = find_peaks(spectrum), find_peaks(spectrum, spectra=2)
    assert two.p_value == pytest.approx(2 * one.p_value)


def test_what_cannot_be_searched_is_refused() -> None:
    for shape in ((63, 63), (32, 32), (64, 128)):
        with pytest.raises(UsageError, match="square spectrum"):
            find_peaks(np.ones(shape))
    for options in ({"averaged": 0}, {"false_alarm_rate": 0.0}, {"false_alarm_rate": 1.0}):
        with pytest.raises(UsageError, match="no peaks for"):
            find_peaks(np.ones((64, 64)), **options)
