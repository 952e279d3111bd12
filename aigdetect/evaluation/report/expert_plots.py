"""Plots of what goes on inside a model: the load of its experts, and what each of them sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aigdetect.evaluation.report.style import (
    COLOURS,
    MARKERS,
    STYLES,
    WIDTH,
    drawing,
    drawn_name,
    heat_map,
    legend_below,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aigdetect.evaluation.experts import ExpertLoad, ExpertStudy


@drawing
def load_figure(study: ExpertStudy, *, gates: bool = False) -> Figure:
    """Share of the tokens that each expert got (or its mean gate) by place and by generator or source."""
    groups = [(load.label, load.generator) for load in study.loads if load.place == study.places[0]]
    columns = min(6, len(study.places))
    rows = -(-len(study.places) // columns)
    width = max(4.0, 1.9 + columns * (0.2 + 0.52 * len(study.separate)))
    figure = new_figure(width=width, height=rows * (1.0 + 0.2 * len(groups)) + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(study.places) :]:
        axes.set_axis_off()
    uniform = 1 / len(study.separate)
    # equal shares in the middle of the scale, unless that would hide differences above
    highest = max(2 * uniform, *(max(load.gate if gates else load.load) for load in study.loads))
    shown: Any = None
    for axes, place in zip(grid.flat, study.places, strict=False):
        loads = [load for load in study.loads if load.place == place]
        shown = heat_map(axes, np.array([load.gate if gates else load.load for load in loads]), highest)
        axes.set_title(place_title(place), fontsize=9)
        axes.set_xticks(
            range(len(study.separate)), [name.replace(" (", "\n(") for name in study.separate], fontsize=6
        )
        axes.set_yticks(range(len(groups)), [_group(load) for load in loads], fontsize=7.5)
    bar = figure.colorbar(shown, ax=grid, shrink=0.8, pad=0.02, aspect=30)
    bar.set_label("mean gate" if gates else "share of tokens", fontsize=8)
    for colour, thickness in (("white", 2.5), ("black", 1)):
        bar.ax.axhline(uniform, color=colour, linewidth=thickness)
    return figure


@drawing
def map_figure(study: ExpertStudy, *, family: Callable[[str], str]) -> Figure:
    """t-SNE maps, a row per block and a column per expert (paper, figure 7).

    Args:
        study: with maps.
        family: family of a generator, for colour and marker; real images are grey.
    """
    columns = len(study.names)
    rows = len(study.maps) // columns
    side = WIDTH / max(columns, 3)
    figure = new_figure(width=side * columns + 0.3, height=side * rows + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False)
    families = sorted({family(generator) for generator, label in study.mapped if label})
    members = {"real": np.array([label == 0 for _, label in study.mapped])}
    for name in families:
        members[name] = np.array(
            [label == 1 and family(generator) == name for generator, label in study.mapped]
        )
    for axes, each in zip(grid.flat, study.maps, strict=True):
        for index, (name, inside) in enumerate(members.items()):
            style: dict[str, Any] = {"facecolors": "none", "edgecolors": "0.45", "marker": "o"}
            if name != "real":
                style = {"color": COLOURS[(index - 1) % STYLES], "marker": MARKERS[index % STYLES]}
            axes.scatter(*each.points[inside].T, s=9, linewidths=0.6, label=drawn_name(name), **style)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set(visible=True, color="0.8")
    for axes, name in zip(grid[0], study.names, strict=True):
        axes.set_title(name, fontsize=8.5)
    for row, each in zip(grid, study.maps[::columns], strict=True):
        row[0].set_ylabel(place_title(each.place))
    legend_below(figure, grid[0][0])
    return figure


def place_title(place: str) -> str:
    """Place of a bypass in words, blocks counted from 1: ``"block 10, MLP"``."""
    block, _, part = place.removeprefix("block").partition("_")
    return f"block {int(block) + 1}, {part.replace('_', ' ').replace('mlp', 'MLP')}"


def _group(load: ExpertLoad) -> str:
    kind = "generated" if load.label else "real"
    name = f"all {kind}" if load.generator is None else f"{drawn_name(load.generator, 24)} ({kind})"
    return f"{name}, n = {load.images}"
