from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage import data as photographs

from aigdetect.errors import ImageError, UsageError
from aigdetect.images.perturb import jpeg, rescale
from aigdetect.spectrum.analysis import Analysis, analyse, average_tiles
from aigdetect.spectrum.fourier import Average, frequencies, power
from aigdetect.spectrum.peaks import find_peaks
from aigdetect.spectrum.residual import residual_tiles

LOSSLESS = photographs.stereo_motorcycle()[0]  # from the raw files of a camera (Middlebury stereo, 2014)
JPEG = "the JPEG 8x8 grid"


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def causes(analysis: Analysis) -> list[str]:
    return [peak.explanation for peak in analysis.peaks]


# --- known answers -----------------------------------------------------------------------------------------


def upsampled(rng: np.random.Generator) -> np.ndarray:
    """Noise with zeros between its pixels, under an uneven kernel: an upsampling layer."""
    zeros = np.zeros((256, 256))
    zeros[::2, ::2] = rng.normal(128, 30, (128, 128))
    return grey(ndimage.convolve(zeros, np.array([[0.3, 0.5, 0.3], [0.5, 1.2, 0.5], [0.2, 0.4, 0.3]])))


def natural(rng: np.random.Generator) -> np.ndarray:
    """A field with a 1/f amplitude, as of photographs."""
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(256, 256))) / np.maximum(f, 1 / 256)).real
    return grey(128 + 40 * field / field.std())


def set_of_50(make) -> Average:
    average = Average(256)
    for seed in range(50):
        average = average.merged(average_tiles(make(np.random.default_rng(seed)), tile=256))
    return average


def test_upsampling_by_zero_insertion_shows_at_nyquist_and_a_natural_field_shows_nothing() -> None:
    generated, real = set_of_50(upsampled), set_of_50(natural)
    nyquist = (np.array([0, 128, 0]), np.array([128, 0, 0]))
    assert generated.power()[nyquist].max() > 1000 * np.median(generated.power())
    assert real.power()[nyquist].max() < 30 * np.median(real.power())
    peaks = find_peaks(generated.power(), averaged=generated.independent)
    assert {(abs(peak.fy), abs(peak.fx)) for peak in peaks} <= {(0, 0.5), (0.5, 0), (0.5, 0.5)}
    assert peaks
    assert all("upsampling by 2, 4, 8 or 16" in peak.explanation for peak in peaks)
    assert find_peaks(real.power(), averaged=real.independent) == ()


@pytest.mark.parametrize("tiles", ["center", "average"])
def test_jpeg_is_explained_by_its_grid_and_the_lossless_original_is_not(tiles) -> None:
    compressed = causes(analyse(jpeg(LOSSLESS, 50), tile=256, tiles=tiles))
    assert len(compressed) >= 3
    assert all(words.startswith(f"consistent with {JPEG}") for words in compressed[:3])
    assert all("in the residual's strength" in words for words in compressed[:3])
    assert not any(JPEG in words for words in causes(analyse(LOSSLESS, tile=256, tiles=tiles)))


@pytest.mark.parametrize("photograph", ["brick", "grass", "gravel", "camera", "coffee"])
def test_grid_of_many_a_photograph(photograph: str) -> None:
    pixels = getattr(photographs, photograph)()
    pixels = pixels if pixels.ndim == 3 else grey(pixels)
    assert any(JPEG in words for words in causes(analyse(jpeg(pixels, 50), tile=256)))


@pytest.mark.parametrize("ratio", [1.3, 1.5])
def test_resampling_is_named_with_its_ratio(ratio: float) -> None:
    said = causes(analyse(rescale(LOSSLESS, ratio)))
    assert said
    assert any(f"{ratio:.3g}" in words.split("resampling by")[-1] for words in said)
    assert not any(JPEG in words for words in said[:2])


def test_a_wave_in_a_photograph() -> None:
    wave = 6 * np.sin(2 * np.pi * np.arange(500) / 3.3)[:, None, None]
    peaks = analyse(np.clip(LOSSLESS + wave, 0, 255).astype(np.uint8), tile=256).peaks
    found = next(peak for peak in peaks if peak.trace == "residual")
    assert (found.fy, found.fx) == pytest.approx((1 / 3.3, 0), abs=0.5 / 256)
    assert found.period == pytest.approx(3.3, abs=0.03)
    assert found.explanation == "nothing known"
    pulse = next(peak for peak in peaks if peak.trace == "strength")
    assert pulse.fy == pytest.approx(1 - 2 / 3.3, abs=1 / 256)
    assert "twice the frequency of a peak of the residual" in pulse.explanation


# --- what an analysis holds --------------------------------------------------------------------------------


def test_numbers_belong_together() -> None:
    analysis = analyse(LOSSLESS, tile=128, tiles="average", window="hann", residual="gaussian", channel="rgb")
    tiles = list(residual_tiles(LOSSLESS, 128, kind="gaussian", channel="rgb", tiles="average"))
    assert (analysis.width, analysis.height, analysis.size, analysis.tiles) == (741, 500, 128, len(tiles))
    assert len(tiles) == 3 * 5
    expected = np.mean([power(tile[..., c], "hann") for tile in tiles for c in range(3)], axis=0)
    assert analysis.power == pytest.approx(expected, rel=1e-4)
    assert analysis.strength.shape == analysis.autocorrelation.shape == (128, 128)
    assert analysis.autocorrelation[64, 64] == pytest.approx(1)
    assert analysis.profile.frequency[-1] == 0.5


def test_analysis_as_json() -> None:
    told = json.loads(json.dumps(analyse(jpeg(LOSSLESS, 50)).as_dict()))
    assert told["size"] == 256
    assert told["residual"] == "median"
    assert len(told["profile"]["power"]) == 129
    for peak in told["peaks"]:
        assert peak.keys() == {"fy", "fx", "period", "height_db", "p_value", "explanation"}
        assert 0 <= peak["p_value"] <= told["false_alarm_rate"] == 0.01
        assert abs(peak["fy"]) <= 0.5 >= abs(peak["fx"])


def test_coherent_average_is_the_spectrum_of_the_mean_tile() -> None:
    tiles = list(residual_tiles(LOSSLESS, 128, tiles="average"))
    average = average_tiles(LOSSLESS, tile=128, tiles="average", mode="coherent")
    expected = power(np.mean(tiles, axis=0, dtype=np.float64))
    far = np.hypot(*np.meshgrid(frequencies(128), frequencies(128))) > 0.05
    assert average.power()[far] == pytest.approx(expected[far], rel=1e-2, abs=1e-3)


def test_white_noise_has_no_peaks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert analyse(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)).peaks == ()


def test_what_holds_nothing_is_refused() -> None:
    with pytest.raises(ImageError, match="the residual is zero everywhere"):
        analyse(np.full((80, 80, 3), 200, np.uint8))
    with pytest.raises(ImageError, match="the residual is zero everywhere"):
        average_tiles(np.full((80, 80, 3), 200, np.uint8))
    with pytest.raises(ImageError, match="60x80 pixels"):
        analyse(np.zeros((80, 60, 3), np.uint8))
    with pytest.raises(UsageError, match="no residual is called"):
        analyse(LOSSLESS, residual="dncnn")
    with pytest.raises(UsageError, match="not 100"):
        analyse(LOSSLESS, tile=100)
