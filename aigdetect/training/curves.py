"""Curves of a training run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from aigdetect.training.trainer import Step


def draw_curves(
    steps: Sequence[Step], epochs: Sequence[tuple[int, Mapping[str, float | None]]], path: Path
) -> None:
    """Draw the loss, the held-out metrics and the load of the experts over the steps.

    Args:
        steps: what each step did.
        epochs: for each epoch its last step and the metrics on held-out images; None leaves a gap.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blocks = len(steps[0].load)
    figure = Figure(figsize=(8, 5 + 2 * blocks), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 + blocks, 1, sharex=True)
    at = [step.step for step in steps]
    bce = [step.bce for step in steps]
    axes[0].plot(at, bce, color="0.8", linewidth=0.8, label="each step")
    axes[0].plot(at, _smoothed(bce), label="moving mean of 21 steps")
    axes[0].set(ylabel="binary cross-entropy", yscale="log", title="Training loss")
    for name, label in (("auc", "ROC AUC"), ("average_precision", "average precision")):
        values = np.array([metrics[name] for _, metrics in epochs], dtype=np.float64)
        axes[1].plot([step for step, _ in epochs], values, "o-", label=label)
    axes[1].set(ylabel="held-out", title="After each epoch")
    for block in range(blocks):
        axis = axes[2 + block]
        for expert in range(len(steps[0].load[block])):
            axis.plot(
                at, [step.load[block][expert] for step in steps], label=f"expert {expert + 1}", linewidth=0.8
            )
        axis.set(
            ylabel="share of tokens",
            ylim=(0, 1),
            title=f"Load of the experts, router {block + 1} of {blocks}",
        )
    for axis in axes:
        axis.legend(loc="best", fontsize="small")
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("step")
    figure.savefig(path, dpi=100)


def _smoothed(values: Sequence[float], width: int = 21) -> list[float]:
    """Centred moving mean; the window shrinks at both ends."""
    half = width // 2
    return [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]
