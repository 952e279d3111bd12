"""What each precision does to the scores, and what it costs: ``python benchmarks/precision.py DATA``.

Scores every image of a labelled data set in every precision of this machine, image by image in turns, and
prints one row per precision: ROC AUC, difference of the logit to float32 (mean and largest), verdicts that
change, and the time of one processor per view, which a busy machine disturbs little. ``--scan NAME=F.jsonl``
adds the logits that ``aigdetect scan --jsonl`` wrote, of another version or another machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from aigdetect.data.dataset import load_pixels
from aigdetect.data.layouts import Sample, find_samples
from aigdetect.methods.loading import load_detector
from aigdetect.metrics.ranking import ROC_AUC
from aigdetect.model.card import DEFAULT_MODEL
from aigdetect.model.detector import Detector
from aigdetect.model.towers.arithmetic import precisions_of


@dataclass
class Run:
    """The logits of one precision, and the processor time they took in seconds per view."""

    logits: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def run(samples: Sequence[Sample], detectors: dict[str, Detector]) -> dict[str, Run]:
    """Score all samples with all detectors, in turns."""
    runs = {name: Run() for name in detectors}
    first = next(iter(detectors.values()))
    for sample in samples:
        views = first.view(load_pixels(sample))
        for name, detector in detectors.items():
            start = time.process_time()
            runs[name].logits += detector.logits([views])
            runs[name].seconds.append((time.process_time() - start) / len(views))
    return runs


def read_scan(path: Path, samples: Sequence[Sample]) -> Run:
    """Logits out of the JSON Lines of a scan."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    logits = {Path(row["path"]).resolve(): row["logit"] for row in rows}
    return Run([logits[Path(sample.path).resolve()] for sample in samples])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--images", type=int, help="only so many, spread over the data set")
    parser.add_argument(
        "--scan", action="append", default=[], metavar="NAME=F.jsonl", help="another's logits"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = find_samples(options.data).samples
    if options.images:
        samples = samples[:: max(1, len(samples) // options.images)]
    names = precisions_of(torch.device("cpu"))
    detectors = {name: load_detector(options.model, device="cpu", precision=name) for name in names}
    runs = run(samples, detectors)
    for told in options.scan:
        name, _, path = told.partition("=")
        runs[name] = read_scan(Path(path), samples)
    Console(width=110).print(table(runs, samples, detectors["float32"]))


def table(runs: dict[str, Run], samples: Sequence[Sample], detector: Detector) -> Table:
    """One row per precision."""
    labels = np.array([sample.label for sample in samples])
    exact = np.array(runs["float32"].logits)
    verdicts = _verdicts(detector, exact)
    result = Table(title=f"{len(samples)} images, differences to float32")
    for title in ("what", "AUC", "mean |d|", "largest |d|", "verdicts changed", "CPU ms per view"):
        result.add_column(title, justify="left" if title == "what" else "right")
    for name, of in runs.items():
        logits = np.array(of.logits)
        apart = np.abs(logits - exact)
        changed = [a != b for a, b in zip(_verdicts(detector, logits), verdicts, strict=True)]
        result.add_row(
            name,
            f"{ROC_AUC(labels, logits).value or 0:.4f}",
            f"{apart.mean():.5f}",
            f"{apart.max():.5f}",
            str(sum(changed)),
            f"{1e3 * float(np.median(of.seconds)):.1f}" if of.seconds else "",
        )
    return result


def _verdicts(detector: Detector, logits: NDArray[np.float64]) -> list[str]:
    return [detector.thresholds.verdict(float(logit)) for logit in logits]


if __name__ == "__main__":
    main()
