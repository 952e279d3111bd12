from __future__ import annotations

import time

import pytest

from aigdetect.spectrum.explain import NOTHING_KNOWN, explain

JPEG, BAYER = "the JPEG 8x8 grid", "demosaicing of a Bayer pattern"


@pytest.mark.parametrize(
    ("place", "causes"),
    [
        ((0, 1 / 8), f"{JPEG}; upsampling by 8 or 16"),
        ((3 / 8, -1 / 8), f"{JPEG}; upsampling by 8 or 16"),
        ((1 / 4, 0), f"{JPEG}; upsampling by 4, 8 or 16"),
        ((1 / 16, 0), "upsampling by 16"),
        ((3 / 16, -7 / 16), "upsampling by 16"),
        ((0.5, 0.5), f"{JPEG}; upsampling by 2, 4, 8 or 16; {BAYER}"),
        ((0.5, 0), f"{JPEG}; upsampling by 2, 4, 8 or 16; {BAYER}"),
    ],
)
def test_one_peak(place: tuple[float, float], causes: str) -> None:
    assert explain([place], 512) == (f"consistent with {causes}",)
    moved = (place[0] - 0.4 / 512, place[1] + 0.4 / 512)
    assert explain([moved], 512) == (f"consistent with {causes}",)


@pytest.mark.parametrize("place", [(0.21, 0), (1 / 8 + 0.6 / 512, 0), (0.3, 0.3), (1 / 8, 0.07)])
def test_nothing_known(place: tuple[float, float]) -> None:
    assert explain([place], 512) == (NOTHING_KNOWN,)


@pytest.mark.parametrize("ratio", [1.3, 0.78, 2.7])
def test_resampling_shows_on_both_axes_and_names_the_ratio(ratio: float) -> None:
    step = abs(1 / ratio - round(1 / ratio))
    twice = abs(2 * step - round(2 * step))
    said = explain([(0, step), (step, 0), (step, -step), (0, twice), (0, 0.045)], 512)
    ratios = said[0].split("resampling by ")[1].split("; ")[0].replace(" or ", ", ").split(", ")
    assert f"{ratio:.3g}" in ratios
    assert len(ratios) == 3
    assert all("resampling" in words for words in said[:4])
    assert said[4] == NOTHING_KNOWN
    assert explain([(0, step), (0, twice)], 512) == (NOTHING_KNOWN, NOTHING_KNOWN)


def test_resampling_on_the_diagonals_alone() -> None:
    assert all("1.4" in words for words in explain([(0.285, 0.285), (0.285, -0.285)], 512))
    assert explain([(0.285, 0.285), (0.285, 0.2)], 512) == (NOTHING_KNOWN, NOTHING_KNOWN)


def test_a_multiple_of_two_steps_is_told_of_one() -> None:
    said = explain([(0.25, 0), (0, 0.25), (0.125, 0), (0, 0.125)], 512)
    assert all(words.count("resampling") == 1 for words in said)
    assert "resampling by 0.8, 1.33 or 4" in said[0]
    assert "resampling by 0.889, 1.14 or 8" in said[2]


def test_a_jpeg_grid_that_was_resized() -> None:
    said = explain([(0, 1 / 8 / 0.7), (1 / 8 / 0.7, 0)], 512)
    assert all("a JPEG 8x8 grid resized by 0.7" in words for words in said)


def test_the_strength_of_a_wave_has_twice_its_frequency() -> None:
    said = explain([(0.394, 0), (0.2, 0.3)], 512, waves=[(0.303, 0), (-0.1, -0.15)])
    assert said == ("consistent with twice the frequency of a peak of the residual itself",) * 2
    assert explain([(0.394, 0.01)], 512, waves=[(0.303, 0)]) == (NOTHING_KNOWN,)


def test_thousands_of_peaks_cost_little() -> None:
    places = [(y / 64, x / 64) for y in range(33) for x in range(-31, 33) if x or y]
    start = time.process_time()
    said = explain(places, 512, waves=places)
    assert time.process_time() - start < 4
    assert "twice the frequency" in said[places.index((2 / 64, 2 / 64))]
    assert "twice the frequency" not in said[places.index((1 / 64, 1 / 64))]


def test_order_of_peaks_is_kept_and_none_are_fine() -> None:
    assert explain([], 64) == ()
    assert explain([(0.21, 0.1), (0.5, 0.5)], 64)[0] == NOTHING_KNOWN
