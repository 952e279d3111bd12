"""Time and memory of bootstrap intervals: ``python benchmarks/metrics.py [IMAGES] [RESAMPLES]``.

Measures every figure of merit on made-up scores, each group with resamples of its own, and prints seconds
and the peak of the process's memory, beside a plain loop that draws images anew and calls scikit-learn, timed
over fewer resamples and scaled.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from aigdetect.metrics.bootstrap import RESAMPLES, bootstrap
from aigdetect.metrics.measure import Floats, Ints, Measure
from aigdetect.metrics.probabilities import BRIER_SCORE, EXPECTED_CALIBRATION_ERROR
from aigdetect.metrics.ranking import (
    AVERAGE_PRECISION,
    EQUAL_ERROR_RATE,
    FALSE_POSITIVE_RATES,
    ROC_AUC,
    tpr_at_fpr,
)
from aigdetect.metrics.rates import BEST_ACCURACY, accuracy, balanced_accuracy
from aigdetect.metrics.ratios import CLLR, MINIMUM_CLLR

PLAIN_RESAMPLES = 20

RANKS = (AVERAGE_PRECISION, ROC_AUC)
SCORES = (
    *(*RANKS, EQUAL_ERROR_RATE, BEST_ACCURACY, MINIMUM_CLLR, accuracy(0), balanced_accuracy(0)),
    *(tpr_at_fpr(rate) for rate in FALSE_POSITIVE_RATES),
)
PROBABILITIES = (EXPECTED_CALIBRATION_ERROR, BRIER_SCORE)


def plain(labels: Ints, scores: Floats, resamples: int) -> None:
    """Intervals of average precision and ROC AUC as one would write them down first."""
    rng = np.random.default_rng(0)
    places = [np.flatnonzero(labels == label) for label in (0, 1)]
    figures = []
    for _ in range(resamples):
        chosen = np.concatenate([rng.choice(place, len(place)) for place in places])
        once = labels[chosen], scores[chosen]
        figures.append([average_precision_score(*once), roc_auc_score(*once)])
    np.percentile(figures, [2.5, 97.5], axis=0)


def spend(work: Callable[[], object]) -> NDArray[np.float64]:
    """Seconds of one call, on the clock and of the processor, which other programs slow down less."""
    start = time.perf_counter(), time.process_time()
    work()
    return np.subtract((time.perf_counter(), time.process_time()), start, dtype=np.float64)


def peak() -> str:
    """The most memory that the process has had, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{used / (1 << 20 if sys.platform == 'darwin' else 1 << 10):.0f}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", nargs="?", type=int, default=100_000, help="scores, half of each class")
    parser.add_argument("resamples", nargs="?", type=int, default=RESAMPLES)
    options = parser.parse_args()
    labels = np.arange(options.images) % 2
    scores = np.random.default_rng(0).normal(2 * labels - 1, 1.5)
    table = Table(title=f"{options.resamples} resamples of {options.images} scores")
    table.add_column("what")
    for title in ("seconds", "of the processor", "peak MiB"):
        table.add_column(title, justify="right")
    table.add_row("nothing yet", "", "", peak())

    def row(what: str, spent: NDArray[np.float64]) -> NDArray[np.float64]:
        table.add_row(what, *(f"{each:.2f}" for each in spent), peak())
        return spent

    def ours(what: str, given: Floats, *measures: Measure) -> NDArray[np.float64]:
        return row(what, spend(lambda: bootstrap(labels, given, measures, resamples=options.resamples)))

    pair = ours("average precision, ROC AUC", scores, *RANKS)
    every = [
        ours(f"all {len(SCORES)} of ranks and thresholds", scores, *SCORES),
        ours("calibration error, Brier score", expit(scores), *PROBABILITIES),
        ours("Cllr", scores / np.log(10), CLLR),
    ]
    row("every figure (the last three)", np.sum(every, axis=0))
    few = spend(lambda: plain(labels, scores, PLAIN_RESAMPLES))
    loop = row("scikit-learn in a loop, AP and AUC", few * options.resamples / PLAIN_RESAMPLES)
    console = Console(width=110)
    console.print(table)
    console.print(f"average precision and ROC AUC: {loop[1] / pair[1]:.0f} times as fast as the loop")


if __name__ == "__main__":
    main()
