"""How models do on generators they never saw: ``python benchmarks/transfer.py DATA MODEL...``.

Scores every image of a labelled data set as a scan does, and prints one row per model: ROC AUC and average
precision over all images and as the mean over generators (each against all real images), true-positive rate
at 5 % false positives, and the share of real images called ``ai``. With ``--write``, the figures go into the
models' cards under the name of the data set.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from aigdetect.data.layouts import Sample, count_by_generator, find_samples
from aigdetect.evaluation.metrics import AVERAGE_PRECISION, ROC_AUC, Figure, card_figures
from aigdetect.images.find import Found
from aigdetect.model.card import find_model_folder, read_card, write_card
from aigdetect.model.detector import load_detector
from aigdetect.scanning.pipeline import scan_found

FIGURES = {
    "auc": "AUC",
    "average_precision": "AP",
    "mean_auc": "mean AUC",
    "mean_average_precision": "mean AP",
    "tpr_at_fpr_5": "TPR at 5 % FPR",
    "real_called_ai": "real called ai",
}


def score(model: str, samples: Sequence[Sample], precision: str) -> tuple[NDArray[np.float64], list[str]]:
    """Logits and verdicts of all samples, in order."""
    detector = load_detector(model, precision=precision)
    records = list(scan_found((Found(sample.path, "image") for sample in samples), detector))
    failed = [record.path for record in records if record.logit is None]
    if failed:
        raise SystemExit(f"{len(failed)} images could not be scored, the first is {failed[0]}")
    return np.array([record.logit for record in records]), [str(record.verdict) for record in records]


def figures(
    samples: Sequence[Sample], logits: NDArray[np.float64], verdicts: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Figures over all images, and AUC by generator against all real images."""
    labels = np.array([sample.label for sample in samples])
    names = np.array([sample.generator for sample in samples])
    if reason := ROC_AUC(labels, logits).reason:
        raise SystemExit(f"the data set has {reason}")
    real = labels == 0
    areas, precisions = {}, []
    for name in sorted(set(names[~real])):
        chosen = real | (names == name)
        areas[str(name)] = _value(ROC_AUC(labels[chosen], logits[chosen]))
        precisions.append(_value(AVERAGE_PRECISION(labels[chosen], logits[chosen])))
    flagged = np.array([verdict == "ai" for verdict in verdicts])
    whole = {
        **card_figures(labels, logits),
        "mean_auc": float(np.mean(list(areas.values()))),
        "mean_average_precision": float(np.mean(precisions)),
        "real_called_ai": float(flagged[real].mean()),
    }
    return _rounded(whole), _rounded(areas)


def _value(figure: Figure) -> float:
    assert figure.value is not None
    return figure.value


def _rounded(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items() if value is not None}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("models", nargs="+", help="shipped models or model folders")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--write", action="store_true", help="write the figures into the models' cards")
    parser.add_argument(
        "--beside", metavar="NAME=FOLDER", help="a baseline, whose figures go into the models' cards, too"
    )
    options = parser.parse_args()
    samples = find_samples(options.data).samples
    counts = count_by_generator(samples)
    table = Table(title=f"{len(samples)} images of {options.data}")
    table.add_column("model")
    for title in FIGURES.values():
        table.add_column(title, justify="right")
    details = Table(title="AUC by generator")
    details.add_column("model")
    for count in counts:
        if count.generated:
            details.add_column(f"{count.generator} ({count.generated})", justify="right")
    baseline_name, _, baseline = (options.beside or "").partition("=")
    data = Path(options.data).name
    entries: dict[str, dict[str, Any]] = {}
    for model in filter(None, [*options.models, baseline]):
        whole, by_generator = figures(samples, *score(model, samples, options.precision))
        table.add_row(model, *(f"{whole[name]:.3f}" for name in FIGURES))
        details.add_row(model, *(f"{value:.3f}" for value in by_generator.values()))
        entries[model] = {
            "real": sum(count.real for count in counts),
            "generated": sum(count.generated for count in counts),
            **whole,
            "auc_by_generator": by_generator,
        }
    if options.write:
        for model in options.models:
            folder = find_model_folder(model)
            card = read_card(folder)
            metrics = {**card.metrics, data: entries[model]}
            if baseline:
                metrics[f"{data}, {baseline_name}"] = entries[baseline]
            write_card(folder, replace(card, metrics=metrics))
    console = Console(width=160)
    console.print(table)
    console.print(details)


if __name__ == "__main__":
    main()
