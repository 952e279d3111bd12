"""Could one view settle clear cases before the others are computed? ``python benchmarks/first_view.py DATA``.

Scores every image by heads that never saw its generator (see unseen.py), and sets the thresholds of the
verdicts as a scan does: for all views together, and tighter ones for the first view alone, beyond which an
image would be settled. One row per first view and rates: the share of images settled, views computed per
image, verdicts that change, real images called ``ai`` and generated ones found, and ROC AUC, each beside that
of all views. Means over the seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from frozen_features import FrozenFeatures
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from unseen import Floats, Mask, Protocol, auc, read_trials

from aigdetect.data.layouts import find_samples
from aigdetect.evaluation.robustness import CLEAN
from aigdetect.model.calibration import DEFAULT_FNR, DEFAULT_FPR

#: shares of real images above, and of generated ones below, what the first view settles
RATES = ((0.0, 0.01), (0.005, 0.02), (DEFAULT_FPR, DEFAULT_FNR))


def verdicts(logits: Floats, real: Mask, fpr: float, fnr: float) -> NDArray[np.int64]:
    """1 for ``ai``, -1 for ``real``, 0 between, ``(N,)``, at thresholds that these very logits give."""
    above = np.quantile(logits[real], 1 - fpr, method="higher")
    below = np.quantile(logits[~real], fnr, method="lower")
    return np.where(logits > above, 1, np.where(logits < below, -1, 0))


def settled(views: Floats, real: Mask, first: int, fpr: float, fnr: float) -> dict[str, float]:
    """Figures of settling by one view of logits ``(N, V)``, by the titles of the table's columns."""
    together, generated = views.mean(axis=1), (~real).astype(int)
    before = verdicts(together, real, DEFAULT_FPR, DEFAULT_FNR)
    by_first = verdicts(views[:, first], real, fpr, fnr)
    done = by_first != 0
    after = np.where(done, by_first, before)
    return {
        "settled": done.mean(),
        "views per image": 1 + (1 - done.mean()) * (views.shape[1] - 1),
        "verdicts changed": (after != before).mean(),
        "real called ai": (after[real] == 1).mean(),
        "all views: real called ai": (before[real] == 1).mean(),
        "generated called ai": (after[~real] == 1).mean(),
        "all views: generated called ai": (before[~real] == 1).mean(),
        "AUC": auc(generated, np.where(done, views[:, first], together)),
        "all views: AUC": auc(generated, together),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("--trials", type=Path, default=Path(__file__).with_name("unseen.yaml"))
    parser.add_argument("--trial", default="sources of real images drawn together", help="one of these")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--state", type=Path, default=Path("unseen-state"), help="features, as of unseen.py")
    options = parser.parse_args()
    recipes = {trial.name: trial.recipe for trial in read_trials(options.trials)}
    if options.trial not in recipes:
        raise SystemExit(f"--trial {options.trial}: not in {options.trials}")
    recipe = recipes[options.trial]
    protocol = Protocol(find_samples(options.data).samples, FrozenFeatures(recipe, options.state), ())
    real = protocol.labels == 0
    seeds = [protocol.logits(recipe, 1, seed)[CLEAN] for seed in range(options.seeds)]
    rows = {
        (view, *rates): [settled(logits, real, number, *rates) for logits in seeds]
        for number, view in enumerate(recipe.views)
        for rates in RATES
    }
    table = Table(title=f"clear cases settled by one view of {len(recipe.views)}: {options.trial}")
    for name in ("first view", "FPR", "FNR", *next(iter(rows.values()))[0]):
        table.add_column(name, justify="right")
    for (view, fpr, fnr), found in rows.items():
        means = [f"{np.mean([each[name] for each in found]):.3f}" for name in found[0]]
        table.add_row(str(view), f"{fpr:g}", f"{fnr:g}", *means)
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
