from __future__ import annotations

import io
import re
import warnings
from itertools import combinations
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from aigdetect.evaluation.experts import ExpertLoad, ExpertStudy, FeatureMap
from aigdetect.evaluation.report.expert_plots import load_figure, map_figure
from aigdetect.evaluation.report.plots import (
    Bar,
    Level,
    Scores,
    generator_figure,
    histogram_figure,
    reliability_figure,
    robustness_figure,
    roc_figure,
)
from aigdetect.evaluation.report.style import as_png, as_svg
from aigdetect.metrics.measure import Figure as Value
from aigdetect.metrics.probabilities import reliability

HOSTILE = "<script>alert(1)</script> $\\frac{$ 中\u202egpj\x1b[31m\n\udcff"
XLINK = "{http://www.w3.org/1999/xlink}href"


def scores(name: str = "ours", *, n: int = 40, gap: float = 1.0, **options: object) -> Scores:
    rng = np.random.default_rng(n)
    labels = np.arange(n) % 2
    return Scores(name, labels, rng.normal(size=n) + gap * labels, {"threshold": 0.5}, **options)


def study(blocks: int = 2, name: str = "progan") -> ExpertStudy:
    rng = np.random.default_rng(0)
    names = ("shared (rank 8)", "expert 1 (rank 4)", "expert 2 (rank 16)")
    places = tuple(f"block{i}_mlp" for i in range(blocks))
    groups = ((0, None), (0, "coco"), (1, None), (1, name))
    loads = tuple(
        ExpertLoad(place, generator, label, 7, (0.25, 0.75), (0.4, 0.6))
        for place in places
        for label, generator in groups
    )
    mapped = (("coco", 0),) * 8 + ((name, 1),) * 5 + (("ldm", 1),) * 3
    maps = tuple(
        FeatureMap(place, expert, rng.normal(size=(16, 2)).astype(np.float32))
        for place in places
        for expert in names
    )
    return ExpertStudy("ours", names, names[1:], places, loads, mapped, maps, "class token", 28, 0)


def every_figure(name: str) -> dict[str, Figure]:
    detectors = [scores(name), scores("other")]
    bins = reliability(detectors[0].labels, 1 / (1 + np.exp(-detectors[0].scores)))
    value = Value(0.8, 0.7, 0.9)
    return {
        "roc": roc_figure(detectors),
        "reliability": reliability_figure({name: bins}),
        "histogram": histogram_figure(detectors),
        "generators": generator_figure(
            [Bar(name, name, "3 + 4", {name: value, "other": Value(None, reason=name)}, 0.5)], measure="AP"
        ),
        "robustness": robustness_figure({name: [Level("clean", {name: value})]}, measure="AP"),
        "load": load_figure(study(name=name)),
        "gates": load_figure(study(name=name), gates=True),
        "map": map_figure(study(name=name), family=lambda generator: generator),
    }


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def line(axes: mpl.axes.Axes, label: str) -> Line2D:
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return found


def test_names_are_data_in_every_figure() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that the font lacks would be one
        for figure in every_figure(HOSTILE).values():
            content = as_svg(figure)
            assert b"alert" not in content.replace(b"<!--", b"").split(b"<g")[0]
            root = ElementTree.fromstring(content)
            for element in root.iter():
                assert not str(element.tag).endswith("script")
                assert not [key for key in element.attrib if key.lower().startswith("on")]
                assert element.get(XLINK, "#").startswith(("#", "data:image/png;base64,"))
            assert Image.open(io.BytesIO(as_png(figure))).width > 500
            assert "\u202e" not in texts(figure)
            assert "\x1b" not in texts(figure)


def test_the_same_bytes_whatever_the_settings_of_the_process() -> None:
    before = [as_svg(figure) for figure in every_figure("ours").values()]
    picture = as_png(map_figure(study(), family=str))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        after = [as_svg(figure) for figure in every_figure("ours").values()]
        assert as_png(map_figure(study(), family=str)) == picture
        assert mpl.rcParams["font.size"] == 30
    assert after == before


def test_svg_has_no_ground_of_its_own_and_png_a_white_one() -> None:
    figure = roc_figure([scores()])
    corner = Image.open(io.BytesIO(as_png(figure))).convert("RGBA").getpixel((0, 0))
    assert corner == (255, 255, 255, 255)
    assert b"fill: #ffffff" not in as_svg(figure)


def test_roc_curve_by_hand() -> None:
    detector = Scores("ours", np.array([0, 0, 1, 0, 1, 1]), np.array([-np.inf, 1, 1, 2, 3, np.inf]), {})
    whole, low = roc_figure([detector]).axes
    for axes in (whole, low):
        curve = line(axes, "ours")
        assert curve.get_drawstyle() == "steps-post"
        np.testing.assert_allclose(curve.get_xdata(), np.array([0, 0, 0, 1, 2, 3]) / 3)
        np.testing.assert_allclose(curve.get_ydata(), np.array([0, 1, 2, 2, 3, 3]) / 3)
    assert whole.get_xscale() == "linear"
    assert low.get_xscale() == "log"
    assert low.get_xlim()[0] == pytest.approx(0.05)
    assert "1 of 3 real images" in texts(low.figure)
    assert roc_figure([scores(n=400)]).axes[1].get_xlim()[0] == pytest.approx(
        1 / 400
    )  # half of one real image


def test_roc_without_both_classes_says_so() -> None:
    figure = roc_figure([Scores("ours", np.zeros(5, dtype=np.int64), np.arange(5.0), {}), scores("other")])
    assert "ours: not defined" in texts(figure)
    assert "real images" not in texts(
        roc_figure([Scores("ours", np.ones(5, dtype=np.int64), np.arange(5.0), {})])
    )
    assert len(line(figure.axes[1], "other").get_xdata()) > 2


def test_roc_of_many_scores_keeps_its_low_end() -> None:
    detector = scores(n=200_000)
    curve = line(roc_figure([detector]).axes[1], "ours")
    assert len(curve.get_xdata()) <= 2001
    real = np.sort(detector.scores[detector.labels == 0])[::-1]
    highest = (detector.scores[detector.labels == 1] >= real[0]).mean()
    assert np.interp(1.01 / 100_000, curve.get_xdata(), curve.get_ydata()) == pytest.approx(highest, abs=1e-3)
    assert (curve.get_xdata()[-1], curve.get_ydata()[-1]) == (1, 1)


def test_detectors_are_told_apart_without_colour() -> None:
    figure = roc_figure([scores(f"detector {i}") for i in range(7)])
    dashes = [str(line(figure.axes[0], f"detector {i}")._unscaled_dash_pattern) for i in range(7)]
    assert len(set(dashes)) == 7
    bars = generator_figure([Bar("g", "f", "", {f"d{i}": Value(0.5) for i in range(7)})], measure="AP")
    hatches = [container.patches[0].get_hatch() for container in bars.axes[0].containers]
    assert len(set(hatches)) == 7
    levels = robustness_figure({"blur": [Level("1", {f"d{i}": Value(0.5) for i in range(7)})]}, measure="AP")
    markers = [container[0].get_marker() for container in levels.axes[0].containers]
    assert len(set(markers)) == 7


def test_hatches_lie_on_a_pale_ground_on_the_page_too() -> None:
    """A hatch of an SVG loses the transparency of its ground: only an opaque pale colour shows the hatch."""
    content = as_svg(every_figure("ours")["generators"]).decode()
    grounds = re.findall(r'<rect[^>]* width="73"[^>]* fill="#(\w{2})(\w{2})(\w{2})"', content)
    assert grounds
    assert all(int(channel, 16) >= 0x8C for ground in grounds for channel in ground)


def test_first_colours_differ_in_grey() -> None:
    from matplotlib.colors import to_rgb

    figure = roc_figure([scores(f"detector {i}") for i in range(3)])
    greys = [
        float(np.dot(to_rgb(line(figure.axes[0], f"detector {i}").get_color()), (0.299, 0.587, 0.114)))
        for i in range(3)
    ]
    assert min(abs(one - other) for one, other in combinations(greys, 2)) > 0.01


def test_reliability_shows_shares_and_counts_and_hollow_bins() -> None:
    labels = np.array([0] * 30 + [1] * 30)
    probabilities = np.array([0.1] * 28 + [0.9] * 2 + [0.9] * 30)
    figure = reliability_figure({"ours": reliability(labels, probabilities)})
    shares, counts = figure.axes
    np.testing.assert_allclose(line(shares, "ours").get_xdata(), [0.1, 0.9])
    np.testing.assert_allclose(line(shares, "ours").get_ydata(), [0, 30 / 32])
    assert list(counts.lines[0].get_ydata()) == [28, 28, 32, 32]
    few = reliability_figure(
        {"ours": reliability(np.array([0] * 30 + [1] * 3), np.array([0.1] * 30 + [0.9] * 3))}
    )
    hollow = [each for each in few.axes[0].lines if each.get_markerfacecolor() == "white"]
    assert [list(each.get_xdata()) for each in hollow] == [[pytest.approx(0.9)]]


def test_histogram_shares_add_up_and_infinite_scores_are_counted() -> None:
    detector = Scores(
        "ours", np.array([0, 0, 0, 1, 1]), np.array([0.0, 1.0, 1.0, 1.0, np.inf]), {"limit": 0.5, "far": 9.0}
    )
    (axes,) = (each for each in histogram_figure([detector]).axes if each.axison)
    real, generated = axes.patches
    # a step outline ends on the axis: its corners' highest values are the bars
    assert real.get_xy()[:, 1].max() == pytest.approx(2 / 3)
    assert generated.get_xy()[:, 1].max() == pytest.approx(1 / 2)
    assert "3 real, 2 generated, 1 infinite not shown" in axes.get_title()
    assert [each.get_label() for each in axes.lines] == ["limit"]


@pytest.mark.parametrize("values", [[1.0, 1.0], [np.inf, -np.inf]])
def test_histogram_of_scores_without_a_range(values: list[float]) -> None:
    as_png(histogram_figure([Scores("ours", np.array([0, 1]), np.array(values), {})]))


def test_bars_have_their_values_intervals_and_reasons() -> None:
    bars = [
        Bar("progan", "GAN", "5 + 9", {"ours": Value(0.9, 0.85, 0.97), "other": Value(0.6)}, 0.36),
        Bar("dalle", "diffusion", "0 + 9", {"ours": Value(None, reason="no generated images")}),
    ]
    figure = generator_figure(bars, measure="average precision")
    (axes,) = figure.axes
    assert sorted(patch.get_width() for patch in axes.patches if patch.get_width()) == [0.6, 0.9]
    (interval,) = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    ends = interval[2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(ends, [0.85, 0.97])
    assert "not defined: no generated images" in texts(figure)
    assert "progan\nGAN, 5 + 9" in texts(figure)
    assert list(line(axes, "guessing").get_xdata()) == [0.36, 0.36]


def test_robustness_curves_with_intervals_and_gaps() -> None:
    clean = Level("clean", {"ours": Value(0.95, 0.9, 0.99), "other": Value(0.8)})
    outside = Level("1", {"ours": Value(0.9, 0.91, 0.95), "other": Value(None, reason="no real images")})
    figure = robustness_figure({"blur": [clean, outside], "jpeg": [clean]}, measure="AP")
    blur, jpeg = (axes for axes in figure.axes if axes.axison)
    ours, other = blur.containers
    np.testing.assert_allclose(ours[0].get_ydata(), [0.95, 0.9])
    first, second = ours[2][0].get_segments()
    np.testing.assert_allclose(first[:, 1], [0.9, 0.99])
    np.testing.assert_allclose(
        second[:, 1], [0.9, 0.95]
    )  # an end inside the figure's other side is drawn at it
    assert len(other[0].get_ydata()) == 1
    assert [label.get_text() for label in blur.get_xticklabels()] == ["clean", "1"]
    assert (blur.get_title(), jpeg.get_title()) == ("blur", "jpeg")
    assert blur.get_ylim()[0] == pytest.approx(0.7)


def test_a_drift_is_drawn_around_zero() -> None:
    levels = [Level("clean", {"ours": Value(0.0)}), Level("1", {"ours": Value(-0.3, -0.4, -0.2)})]
    figure = robustness_figure({"blur": levels}, measure="drift", around=0)
    (axes,) = (axes for axes in figure.axes if axes.axison)
    assert axes.get_ylim()[0] < -0.4
    assert axes.get_ylim()[1] < 0.5


def test_no_robustness_value_at_all() -> None:
    as_png(
        robustness_figure(
            {"blur": [Level("1", {"ours": Value(None, reason="no real images")})]}, measure="AP"
        )
    )


def test_loads_are_written_into_their_cells() -> None:
    figure = load_figure(study())
    first = figure.axes[0]
    assert first.get_title() == "block 1, MLP"
    assert [text.get_text() for text in first.texts] == ["25", "75"] * 4
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "all real, n = 7",
        "coco (real), n = 7",
        "all generated, n = 7",
        "progan (generated), n = 7",
    ]
    gates = load_figure(study(), gates=True)
    assert [text.get_text() for text in gates.axes[0].texts] == ["40", "60"] * 4


def test_maps_have_a_row_per_block_and_a_column_per_expert() -> None:
    figure = map_figure(
        study(blocks=3), family=lambda generator: {"progan": "GAN", "ldm": "diffusion"}[generator]
    )
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes[:3]] == list(study().names)
    assert figure.axes[3].get_ylabel() == "block 2, MLP"
    for axes in figure.axes:
        counts = {each.get_label(): len(each.get_offsets()) for each in axes.findobj(PathCollection)}
        assert counts == {"real": 8, "GAN": 5, "diffusion": 3}


def test_many_blocks_wrap() -> None:
    figure = load_figure(study(blocks=12))
    assert figure.get_figwidth() < 14
    assert sum(axes.get_title().startswith("block") for axes in figure.axes) == 12
