"""Plots of an evaluation: several detectors on one plot, told apart without colour, too.

Every function returns a matplotlib figure that belongs to no window; `as_png` and `as_svg` of
`aigdetect.evaluation.report.style` turn it into a file's content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aigdetect.evaluation.report.style import (
    COLOURS,
    DASHES,
    MARKERS,
    STYLES,
    WIDTH,
    bar_style,
    drawing,
    drawn_name,
    interval_ends,
    legend_below,
    new_figure,
)
from aigdetect.metrics.measure import Figure as Value
from aigdetect.metrics.measure import rank
from aigdetect.metrics.probabilities import Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_FEW = 10  # images of a bin
_POINTS = 2000  # of a curve at most: more cannot be seen and would fill the page


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one detector.

    Attributes:
        detector: its name.
        labels: ``(n,)``, 1 for generated, 0 for real.
        scores: ``(n,)``, higher for generated; infinite ones are allowed.
        thresholds: scores above which it calls an image generated, by what to call them.
    """

    detector: str
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """One generator of a bar plot.

    Attributes:
        name: generator.
        group: its family.
        counts: images, as they are to be read: ``"131 + 98"``.
        values: figure by detector.
        chance: value of a detector that guesses; None if there is no such line to draw.
    """

    name: str
    group: str
    counts: str
    values: Mapping[str, Value]
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """One level of an operation.

    Attributes:
        name: as on the axis: ``"2"``, ``"clean"``.
        values: figure by detector.
    """

    name: str
    values: Mapping[str, Value]


@drawing
def roc_figure(detectors: Sequence[Scores]) -> Figure:
    """ROC curves of all detectors: whole, and the low false-positive end on a logarithmic axis.

    Detectors without images of both classes have no curve; the legend says so.
    """
    from matplotlib.ticker import NullFormatter

    figure = new_figure(height=4.3)
    whole, low = figure.subplots(1, 2)
    least = 1.0
    for index, detector in enumerate(detectors):
        colour, dash = COLOURS[index % STYLES], DASHES[index % STYLES]
        real = int((detector.labels == 0).sum())
        if not 0 < real < len(detector.labels):
            whole.plot(
                [], [], color=colour, linestyle=dash, label=f"{drawn_name(detector.detector)}: not defined"
            )
            continue
        least = min(least, 1 / real)
        fpr, tpr = _roc(detector)
        for axes in (whole, low):
            axes.plot(
                fpr,
                tpr,
                color=colour,
                linestyle=dash,
                label=drawn_name(detector.detector),
                linewidth=1.6,
                drawstyle="steps-post",
            )
    chance = np.geomspace(1e-7, 1, 200)
    for axes in (whole, low):
        axes.plot(chance, chance, color="0.5", linewidth=0.8, label="chance")
        axes.set(xlabel="false-positive rate", ylim=(0, 1.01), box_aspect=1)
    whole.set(ylabel="true-positive rate", xlim=(-0.01, 1), title="whole")
    low.set(xscale="log", xlim=(min(0.1, least) / 2, 1), title="low false-positive end")
    low.xaxis.set_major_formatter("{x:g}")
    low.xaxis.set_minor_formatter(NullFormatter())
    if least < 1:
        low.axvline(least, color="0.5", linestyle=":", linewidth=1)
        place: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "rotation": 90, "va": "top"}
        told = f"1 of {round(1 / least)} real images"
        low.annotate(told, (least, 0.99), fontsize=7.5, color="0.35", **place)
    legend_below(figure, whole)
    return figure


@drawing
def reliability_figure(detectors: Mapping[str, Sequence[Bin]]) -> Figure:
    """Share of generated images against the probability told, and how many images there were.

    Bins of under ten images are hollow.

    Args:
        detectors: bins by detector, of those whose scores are probabilities.
    """
    figure = new_figure(width=5.2, height=5.6)
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    shares.plot([0, 1], [0, 1], color="0.5", linewidth=0.8, label="perfectly calibrated")
    for index, (name, bins) in enumerate(detectors.items()):
        style = {"color": COLOURS[index % STYLES], "linestyle": DASHES[index % STYLES]}
        probabilities = [each.mean_probability for each in bins]
        observed = [each.generated_share for each in bins]
        marker = {"marker": MARKERS[index % STYLES], "markersize": 5}
        shares.plot(probabilities, observed, label=drawn_name(name), **style, **marker)
        few = [at for at, each in enumerate(bins) if each.real + each.generated < _FEW]
        shares.plot(
            [probabilities[at] for at in few],
            [observed[at] for at in few],
            **{**style, **marker, "linestyle": "", "markerfacecolor": "white"},
        )
        edges = [edge for each in bins for edge in (each.low, each.high)]
        totals = [total for each in bins for total in (each.real + each.generated,) * 2]
        counts.plot(edges, totals, linewidth=1.2, **style)
    shares.set(ylabel="share of generated images", xlim=(0, 1), ylim=(-0.02, 1.02))
    counts.set(xlabel="probability told", ylabel="images", yscale="symlog")
    counts.set_ylim(bottom=0)
    counts.yaxis.set_major_formatter("{x:g}")
    legend_below(figure, shares)
    return figure


@drawing
def histogram_figure(detectors: Sequence[Scores]) -> Figure:
    """Scores by class, one panel per detector, as shares of the class."""
    rows = (len(detectors) + 1) // 2
    figure = new_figure(height=0.5 + 2.4 * rows)
    grid = figure.subplots(rows, min(2, len(detectors)), squeeze=False)
    for axes in grid.flat[len(detectors) :]:
        axes.set_axis_off()
    for axes, detector in zip(grid.flat, detectors, strict=False):
        _histogram(axes, detector)
    for row in grid:
        row[0].set_ylabel("share of the class")
    legend_below(figure, *grid.flat)
    return figure


@drawing
def generator_figure(bars: Sequence[Bar], *, measure: str) -> Figure:
    """One bar per generator and detector, with intervals, generators below their family.

    Args:
        bars: in the order in which they are drawn, from above; generators of one family side by side.
        measure: what the values are, 0 to 1.
    """
    names = list(dict.fromkeys(name for bar in bars for name in bar.values))
    thickness = 0.8 / max(1, len(names))
    figure = new_figure(height=1.1 + len(bars) * max(0.3, 0.17 * len(names) + 0.1))
    axes = figure.subplots()
    guessed = {place: bar.chance for place, bar in enumerate(bars) if bar.chance is not None}
    for number, (place, chance) in enumerate(guessed.items()):
        label = "" if number else "guessing"
        axes.plot(
            [chance, chance], [place - 0.45, place + 0.45], ":", color="black", linewidth=1.2, label=label
        )
    for index, name in enumerate(names):
        offset = (index - (len(names) - 1) / 2) * thickness
        for place, bar in enumerate(bars):
            if name in bar.values:
                _bar(axes, bar.values[name], at=place + offset, height=thickness, index=index)
        axes.barh([0], [0], label=drawn_name(name), **bar_style(index))
    axes.set(xlabel=measure, xlim=(0, 1.02), ylim=(len(bars) - 0.4, -0.6))
    axes.set_yticks(
        range(len(bars)),
        [f"{drawn_name(bar.name)}\n{drawn_name(bar.group)}, {bar.counts}" for bar in bars],
        fontsize=7.5,
    )
    axes.grid(visible=False, axis="y")
    legend_below(figure, axes)
    return figure


@drawing
def robustness_figure(
    operations: Mapping[str, Sequence[Level]], *, measure: str, around: float | None = None
) -> Figure:
    """One panel per operation: a figure of every detector at every level, with intervals.

    Args:
        operations: levels by operation, the images as they are first.
        measure: what the values are.
        around: value to draw a line at, such as 0 for a difference; None for a figure from 0 to 1.
    """
    columns = min(3, max(1, len(operations)))
    rows = -(-len(operations) // columns)
    figure = new_figure(width=WIDTH if columns > 1 else 4.2, height=0.9 + 2.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(operations) :]:
        axes.set_axis_off()
    for axes, (operation, levels) in zip(grid.flat, operations.items(), strict=False):
        _levels(axes, levels)
        axes.set_title(drawn_name(operation))
        if around is not None:
            axes.axhline(around, color="0.5", linewidth=0.8)
    for row in grid:
        row[0].set_ylabel(measure)
    if around is None:
        low = min(
            (value.low if value.low is not None else value.value for value in _known(operations)), default=0
        )
        grid[0][0].set_ylim(max(0, np.floor(10 * low - 0.2) / 10), 1.02)
    legend_below(figure, grid[0][0])
    return figure


def _roc(detector: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-positive rates of every threshold, from strict to lax."""
    ranking = rank(detector.labels, detector.scores)
    rates = (
        np.append(0, ranking.false_positives) / ranking.real_total,
        np.append(0, ranking.true_positives) / ranking.generated_total,
    )
    last = len(ranking.scores)
    if last < _POINTS:
        return rates
    # equally spaced on both axes: the low end, where few points lie, keeps all it has
    along = [np.linspace(0, last, _POINTS // 2), np.geomspace(1, last, _POINTS // 2)]
    kept = np.unique(np.concatenate([[0], *along]).astype(np.intp))
    return rates[0][kept], rates[1][kept]


def _histogram(axes: Axes, detector: Scores) -> None:
    finite = np.isfinite(detector.scores)
    shown = detector.scores[finite]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 0.0)
    edges = np.linspace(low, high if high > low else low + 1, 31)
    counts = []
    styles: dict[str, Any] = {
        "real": {"histtype": "stepfilled", "color": "0.72", "edgecolor": "0.45"},
        "generated": {"histtype": "step", "color": COLOURS[1], "hatch": "////", "linewidth": 1.4},
    }
    for label, (name, style) in enumerate(styles.items()):
        ours = detector.labels == label
        counts.append(f"{ours.sum()} {name}")
        scores = detector.scores[ours & finite]
        axes.hist(
            scores, edges.tolist(), weights=np.full(len(scores), 1 / max(1, ours.sum())), label=name, **style
        )
    for index, (name, threshold) in enumerate(detector.thresholds.items()):
        if low <= threshold <= high:
            axes.axvline(
                threshold, color="black", linestyle=DASHES[1 + index], label=drawn_name(name), linewidth=1
            )
    infinite = f", {(~finite).sum()} infinite not shown" if not finite.all() else ""
    axes.set_title(f"{drawn_name(detector.detector)}\n{', '.join(counts)}{infinite}", fontsize=9)
    axes.set_xlabel("score")


def _bar(axes: Axes, value: Value, *, at: float, height: float, index: int) -> None:
    if value.value is None:
        axes.text(
            0.01, at, drawn_name(f"not defined: {value.reason}", 70), va="center", fontsize=7, color="0.35"
        )
        return
    axes.barh([at], [value.value], height=0.92 * height, **bar_style(index))
    if value.low is not None and value.high is not None:
        axes.errorbar(
            [value.value],
            [at],
            xerr=interval_ends([value]),
            ecolor="black",
            elinewidth=1,
            capsize=2,
            fmt="none",
        )


def _levels(axes: Axes, levels: Sequence[Level]) -> None:
    names = list(dict.fromkeys(name for level in levels for name in level.values))
    for index, name in enumerate(names):
        shift = 0.08 * (index - (len(names) - 1) / 2)  # so that intervals do not hide each other
        known = [
            (place, value)
            for place, level in enumerate(levels)
            if (value := level.values.get(name)) is not None and value.value is not None
        ]
        axes.errorbar(
            [place + shift for place, _ in known],
            np.array([value.value for _, value in known], dtype=np.float64),
            yerr=interval_ends([value for _, value in known]),
            color=COLOURS[index % STYLES],
            linestyle=DASHES[index % STYLES],
            marker=MARKERS[index % STYLES],
            markersize=4,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
            label=drawn_name(name),
        )
    axes.set_xticks(range(len(levels)), [drawn_name(level.name, 12) for level in levels], fontsize=7.5)
    axes.set_xlim(-0.4, len(levels) - 0.6)


def _known(operations: Mapping[str, Sequence[Level]]) -> Iterator[Any]:
    for levels in operations.values():
        for level in levels:
            yield from (value for value in level.values.values() if value.value is not None)
