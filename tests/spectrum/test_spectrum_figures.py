from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aigdetect
from aigdetect.errors import UsageError
from aigdetect.spectrum.analysis import Analysis, analyse
from aigdetect.spectrum.figures import CAVEAT, MAX_SETS, as_png, draw_panel, draw_sheet
from aigdetect.spectrum.fourier import Average
from aigdetect.spectrum.plain_data import as_npz, image_arrays, image_row, set_arrays, set_row
from aigdetect.spectrum.reference import camera_band
from aigdetect.spectrum.sets import Method, SetSpectrum, compare, method_facts

BAND = camera_band("median", "luminance")


def striped(size: int = 128, **options: Any) -> tuple[np.ndarray, Analysis]:
    """Noise with a wave of period 4 across, and its analysis."""
    rng = np.random.default_rng(0)
    pixels = (
        rng.normal(128, 10, (size, size + 40, 3)) + 12 * np.cos(np.pi / 2 * np.arange(size + 40))[:, None]
    )
    pixels = pixels.clip(0, 255).astype(np.uint8)
    return pixels, analyse(pixels, **options)


def one_set(name: str, seed: int = 0, size: int = 64) -> SetSpectrum:
    rng = np.random.default_rng(seed)
    sizes = [side for side in (1024, 512, 256, 128, 64) if side <= size]
    parts = [Average(side).plus(rng.normal(size=(side, side)).astype(np.float32)) for side in sizes]
    return SetSpectrum(name).with_image(parts).with_image(parts)


def texts(figure: Any) -> str:
    """All that a figure says."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def said(text: str) -> str:
    return re.sub(r"\s+", " ", text)


# --- panels ------------------------------------------------------------------------------------------------


def test_a_panel_shows_what_was_found() -> None:
    pixels, analysis = striped()
    figure = draw_panel(pixels, analysis, BAND, title="a.png")
    text = said(texts(figure))
    peak = analysis.peaks[0]
    assert peak.trace == "residual"
    for part in (
        *("a.png", "median residual; luminance; centre tile of 128 pixels; window: none"),
        *("168 x 128", f"{BAND.photographs} JPEG photographs", said(peak.explanation), CAVEAT),
    ):
        assert part in text, part
    assert f"1 {abs(peak.fy):.4f} {peak.fx:+.4f} {peak.period:.2f} {peak.height_db:.1f}" in text


def test_a_peak_is_marked_at_both_its_bins_in_its_own_spectrum() -> None:
    pixels, analysis = striped()
    analysis = replace(analysis, peaks=(replace(analysis.peaks[0], fy=0.1, fx=-0.2),))
    figure = draw_panel(pixels, analysis, BAND, title="")
    axes = {axes.get_title(): axes for axes in figure.axes}
    marks = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes["Spectrum of the residual"].lines
    ]
    assert sorted(marks) == [(-0.2, 0.1), (0.2, -0.1)]
    assert not axes["Spectrum of the residual's strength log(1 + |r|)"].lines


def test_axes_are_cycles_per_pixel_with_bins_about_their_frequency() -> None:
    pixels, analysis = striped()
    figure = draw_panel(pixels, analysis, BAND, title="")
    (axes,) = [axes for axes in figure.axes if axes.get_title() == "Spectrum of the residual"]
    (image,) = axes.images
    left, right, bottom, top = image.get_extent()
    # the brightest column away from the centre is drawn over fx = 0.25
    levels = np.asarray(image.get_array())
    row = levels[64].copy()
    row[60:69] = -99
    column = int(np.argmax(row[64:])) + 64
    assert left + (column + 0.5) * (right - left) / 128 == pytest.approx(0.25)
    assert (left + right, bottom + top) == (pytest.approx(-1 / 128), pytest.approx(-1 / 128))
    assert bottom > top  # rows go down, as in the image


def test_no_peak_is_said() -> None:
    pixels, analysis = striped()
    figure = draw_panel(pixels, replace(analysis, peaks=()), BAND, title="")
    assert "none" in texts(figure).splitlines()


def test_many_peaks_are_cut_and_counted() -> None:
    pixels, analysis = striped()
    peak = replace(analysis.peaks[0], explanation="consistent with " + "something long " * 12)
    peaks = tuple(replace(peak, explanation=f"{n} {peak.explanation}") for n in range(40))
    figure = draw_panel(pixels, replace(analysis, peaks=peaks), BAND, title="")
    (block,) = [text.get_text() for axes in figure.axes for text in axes.texts if "period" in text.get_text()]
    listed = [line for line in block.splitlines() if re.match(r" ?\d+  0\.", line)]
    assert 4 <= len(listed) <= 12
    assert block.endswith(f"and {40 - len(listed)} more")
    assert len(block.splitlines()) < 34  # what fits beside the spectra


@pytest.mark.parametrize("title", ["$\\frac{1}{", "a" * 400, "画像 🖼 наука", "\\x1b[2J %s {0}"])
def test_names_are_text_and_nothing_else(title: str, recwarn: pytest.WarningsRecorder) -> None:
    pixels, analysis = striped(64)
    data = as_png(draw_panel(pixels, analysis, BAND, title=title), {"Title": title}, dots_per_inch=40)
    image = Image.open(io.BytesIO(data))
    assert image.info["Title"] == title
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_all_kinds_of_analysis_can_be_drawn() -> None:
    pixels, analysis = striped(200, channel="rgb", tiles="average", tile=64, window="hann")
    assert analysis.tiles == 9
    figure = draw_panel(pixels, analysis, camera_band("median", "rgb"), title="x", reference=analysis.profile)
    text = texts(figure)
    assert "rgb; mean power of 9 tiles of 64 pixels; window: hann" in text
    assert "reference" in text.splitlines()


# --- sheets ------------------------------------------------------------------------------------------------


def test_a_sheet_shows_every_set_on_one_scale() -> None:
    sets = [one_set("a"), one_set("b", 1), one_set("c", 2, 128)]
    comparisons = [compare(one, sets[0]) for one in sets]
    figure = draw_sheet(sets, ["a", "b$_{", "c"], Method(), reference="camera", comparisons=comparisons)
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 6
    plain = [axes for axes in maps if "px" in axes.get_title()]
    assert [axes.get_title().splitlines()[0] for axes in plain] == ["a", "b$_{", "c"]
    assert [axes.get_title().splitlines()[1] for axes in plain][2] == "2 images, 128 px"
    assert len({axes.images[0].get_clim() for axes in plain}) == 1
    changed = [axes for axes in maps if axes not in plain]
    (limits,) = {axes.images[0].get_clim() for axes in changed}
    assert limits[0] == -limits[1]
    assert changed[0].get_title().startswith("difference: 0.0 dB")
    text = said(texts(figure))
    for part in (CAVEAT, "dB over camera", "mean of the power; median residual", aigdetect.__version__):
        assert part in text
    assert as_png(figure, {}, dots_per_inch=30)


def test_single_bins_survive_on_a_sheet() -> None:
    one = one_set("a", size=1024)
    power = one.averages[1024]
    total = power.total.copy()
    total[0, 300, 200] *= 1e6
    one = SetSpectrum("a").with_image([replace(power, total=total)])
    (image,) = draw_sheet([one], ["a"], Method()).axes[0].images
    levels = np.asarray(image.get_array())
    assert levels.shape == (256, 256)
    assert levels.max() > 40
    assert np.argwhere(levels == levels.max()).tolist() == [
        *([[(512 - 300) // 4, (512 - 200) // 4], [(512 + 300) // 4, (512 + 200) // 4]])
    ]


def test_too_many_sets_are_refused() -> None:
    with pytest.raises(UsageError, match="--depth"):
        draw_sheet([one_set("a")] * (MAX_SETS + 1), ["a"] * (MAX_SETS + 1), Method())


# --- files -------------------------------------------------------------------------------------------------


def test_a_png_says_how_it_was_made(tmp_path: Path) -> None:
    method = Method("gaussian", "rgb", 256, "average", "hann", "coherent")
    figure = draw_sheet([one_set("a")], ["a"], method)
    data = as_png(figure, {"Title": "x", **method_facts(method)}, dots_per_inch=30)
    info = Image.open(io.BytesIO(data)).info
    assert {name: value for name, value in info.items() if name != "dpi"} == {
        "Title": "x",
        "Averaging": "coherent",
        "Residual": "gaussian",
        "Channel": "rgb",
        "Tile": "256",
        "Tiles": "average",
        "Window": "hann",
        "Software": f"aigdetect {aigdetect.__version__}",
    }
    assert as_png(draw_sheet([one_set("a")], ["a"], method), {}, dots_per_inch=30) == as_png(
        figure, {}, dots_per_inch=30
    )


def test_rows_are_plain_data() -> None:
    import json

    _, analysis = striped()
    row = json.loads(json.dumps(image_row("p", analysis), allow_nan=False))
    assert (row["path"], row["status"], row["average"], row["size"]) == ("p", "done", "power", 128)
    assert set(row["peaks"][0]) == {"fy", "fx", "period", "height_db", "p_value", "explanation"}
    one = one_set("folder")
    row = json.loads(
        json.dumps(
            set_row(
                one,
                "f",
                Method(),
                analysis.peaks,
                0.01,
                reference="r",
                comparison=compare(one, one_set("r", 3)),
            ),
            allow_nan=False,
        )
    )
    assert (row["path"], row["name"], row["images"], row["smaller"], row["failed"]) == (
        "folder",
        "f",
        2,
        0,
        0,
    )
    assert (row["size"], row["compared_size"], row["average"]) == (64, 64, "power")
    assert row["distance_db"] > row["distance_by_chance_db"] > 0
    assert "distance_db" not in set_row(one, "f", Method(), (), 0.01)


def test_arrays_survive_their_file(tmp_path: Path) -> None:
    _, analysis = striped()
    with np.load(io.BytesIO(as_npz(image_arrays(analysis), {"Residual": "median"}))) as stored:
        np.testing.assert_array_equal(stored["power"], analysis.power)
        np.testing.assert_array_equal(stored["strength"], analysis.strength)
        assert stored["peaks"].shape == (len(analysis.peaks), 5)
        assert stored["peaks"][0].tolist()[:2] == [analysis.peaks[0].fy, analysis.peaks[0].fx]
        assert stored["explanations"].tolist() == [peak.explanation for peak in analysis.peaks]
        assert dict(stored["facts"].tolist()) == {
            "Residual": "median",
            "Software": f"aigdetect {aigdetect.__version__}",
        }
    sets = [one_set("a"), one_set("b", 1, 128)]
    compared = [compare(one, sets[0]) for one in sets]
    names = ["a \udcff", "b"]
    with np.load(io.BytesIO(as_npz(set_arrays(sets, names, compared), {}))) as stored:
        assert stored["names"].tolist() == names
        np.testing.assert_array_equal(stored["power_1"], sets[1].power())
        assert stored["frequency_1"][[0, 64]].tolist() == [-0.5, 0]
        assert stored["distance_db"].tolist() == [one.distance_db for one in compared]
        assert stored["difference_1"].shape == (64, 64)
