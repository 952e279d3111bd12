"""Curves of a training run as a picture, out of its log."""

from __future__ import annotations

import io
import json
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aigdetect.files import write_atomically

#: steps of the moving averages, as in the paper's figure 8
WINDOW = 10
_COLUMNS = 3


@dataclass(frozen=True)
class History:
    """A log as arrays.

    Attributes:
        step: ``(S,)`` numbers of the steps.
        bce: ``(S,)`` binary cross-entropy.
        balance: ``(S,)`` load-balancing loss summed over the blocks.
        lr: ``(S,)`` learning rate.
        load: ``(S, B, N)`` share of the tokens by block and expert; ``B`` may be 0.
        epochs: number of the last step before, and held-out figures, of each epoch.
    """

    step: NDArray[np.float64]
    bce: NDArray[np.float64]
    balance: NDArray[np.float64]
    lr: NDArray[np.float64]
    load: NDArray[np.float64]
    epochs: tuple[tuple[int, Mapping[str, float | None]], ...]


def read_history(path: Path) -> History:
    """Read what :class:`aigdetect.training.callbacks.Log` wrote, line by line."""
    columns = {name: array("d") for name in ("step", "bce", "balance", "lr", "load")}
    epochs: list[tuple[int, Mapping[str, float | None]]] = []
    shape: tuple[int, int] = (0, 0)
    with path.open(encoding="ascii") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["type"] == "epoch":
                epochs.append((int(columns["step"][-1]) if columns["step"] else 0, entry))
                continue
            for name in ("step", "bce", "balance", "lr"):
                columns[name].append(entry[name])
            columns["load"].extend(share for of_block in entry["load"] for share in of_block)
            shape = (len(entry["load"]), len(entry["load"][0]) if entry["load"] else 0)
    arrays = {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
    load = arrays.pop("load").reshape(len(arrays["step"]), *shape)
    return History(**arrays, load=load, epochs=tuple(epochs))


def draw_curves(history: History, path: Path) -> None:
    """Draw losses, held-out figures, learning rate and the load of every router's experts over the steps.

    Losses and loads are drawn as they are, faintly, and as moving averages.

    Args:
        history: a log of at least one step; figures that are None leave a gap.
        path: PNG to write.

    Raises:
        UsageError: if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    routers = history.load.shape[1]
    rows = math.ceil(routers / _COLUMNS)
    figure = Figure(figsize=(12, 6 + 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    upper: Any = figure
    if rows:
        parts: Any = figure.subfigures(2, 1, height_ratios=[6, 2.2 * rows])
        upper, lower = parts
        lower.suptitle("Load of the experts: share of the tokens of each batch")
        loads = lower.subplots(rows, min(routers, _COLUMNS), sharex=True, sharey=True, squeeze=False)
        _draw_loads(loads, history)
        # beside the curves, not over them
        lower.legend(handles=loads.flat[0].lines[::2], loc="outside right center", fontsize="small")
    _draw_losses(upper.subplots(2, 2, sharex=True), history)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    write_atomically(path, buffer.getvalue())


def _draw_losses(axes: Any, history: History) -> None:
    (bce, balance), (figures, lr) = axes
    _draw_smoothed(bce, history.step, history.bce, f"moving average of {WINDOW} steps")
    bce.set(ylabel="binary cross-entropy", yscale="log", title="Training loss")
    lowest, highest = bce.get_ylim()
    for set_formatter in (bce.yaxis.set_major_formatter, bce.yaxis.set_minor_formatter):
        set_formatter(partial(_log_tick, every=highest < 5 * lowest))
    _draw_smoothed(balance, history.step, history.balance, f"moving average of {WINDOW} steps")
    balance.set(ylabel="load-balancing loss", title="Load balance, summed over the routers")
    balance.set_visible(history.load.shape[1] > 0)  # without a router there is nothing to balance
    for name, label in (("auc", "ROC AUC"), ("average_precision", "average precision")):
        values = np.array([epoch[name] for _, epoch in history.epochs], dtype=np.float64)
        figures.plot([step for step, _ in history.epochs], values, "o-", markersize=4, label=label)
    figures.set(
        ylabel="images not learned from",
        title="After each epoch",
        xlabel="step",
        ylim=_held_out_range(history),
    )
    lr.plot(history.step, history.lr)
    lr.set(ylabel="learning rate", title="Learning rate", xlabel="step", ylim=(0, None))
    for axis in (bce, balance, figures):
        axis.legend(loc="best", fontsize="small")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)


def _log_tick(value: float, _place: int | None = None, *, every: bool) -> str:
    """Label of a tick on a logarithmic axis: all, or where they would be too many only 1, 2, 5, 10 ..."""
    return f"{value:g}" if every or f"{value:.0e}"[0] in "125" else ""


def _held_out_range(history: History) -> tuple[float, float]:
    """From what is a little below the lowest figure up to 1, which none can exceed."""
    values = [epoch[name] for _, epoch in history.epochs for name in ("auc", "average_precision")]
    lowest = min((value for value in values if value is not None), default=0.0)
    return max(0.0, math.floor(20 * lowest - 0.5) / 20), 1.005


def _draw_loads(axes: Any, history: History) -> None:
    _, routers, experts = history.load.shape
    for router, axis in enumerate(axes.flat):
        if router >= routers:
            axis.set_visible(False)
            continue
        for expert in range(experts):
            _draw_smoothed(axis, history.step, history.load[:, router, expert], f"expert {expert + 1}")
        axis.set(title=f"router {router + 1} of {routers}", ylim=(0, 1))
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("share")
    for axis in axes[-1]:
        axis.set_xlabel("step")


def _draw_smoothed(axis: Any, at: NDArray[np.float64], values: NDArray[np.float64], label: str) -> None:
    marker = "o" if len(at) == 1 else None  # a line of one step cannot be seen
    (line,) = axis.plot(at, smoothed(values), linewidth=1.2, marker=marker, markersize=4, label=label)
    axis.plot(at, values, color=line.get_color(), alpha=0.35, linewidth=0.7)


def smoothed(values: NDArray[np.float64], width: int = WINDOW) -> NDArray[np.float64]:
    """Moving mean ``(S,)`` of each value and the ``width - 1`` before it, or of what there is of them."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means
