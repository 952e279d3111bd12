"""Further training, before and after: ``python benchmarks/finetuning.py LIST GROUP --rest DATA``.

Draws some images of a generator, and as many real ones, that the model has not learnt; trains on them with
``aigdetect train --from MODEL``; and prints, before and after, the ROC AUC of the generator's other images
against the real ones of DATA, and that of all of DATA. What follows ``--`` is for ``aigdetect train``.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from aigdetect.data.contents import read_contents
from aigdetect.data.layouts import Sample, find_samples
from aigdetect.data.split import shuffle_key
from aigdetect.methods.loading import load_detector
from aigdetect.metrics.ranking import ROC_AUC
from aigdetect.model.card import find_model_folder
from aigdetect.model.detector import Detector
from aigdetect.model.learnt import read_learnt

HERE = Path(__file__).resolve().parents[1]


def drawn(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples in a random order that the seed fixes."""
    return sorted(samples, key=lambda sample: shuffle_key(sample, seed=seed))


def unlearnt(samples: Iterable[Sample], model: str) -> Iterator[Sample]:
    """Those samples whose content the model has not learnt."""
    learnt = read_learnt(find_model_folder(model))
    for sample in samples:
        if read_contents([sample], workers=1)[sample.path].hex() not in learnt:
            yield sample


def write_list(samples: Sequence[Sample], path: Path) -> None:
    """Write samples as a CSV that ``aigdetect train`` takes."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "generator"])
        writer.writerows((os.path.abspath(s.path), s.label, s.generator) for s in samples)  # noqa: PTH100


def train(data: Path, model: str, out: Path, options: Sequence[str]) -> None:
    """Train further, from the command line.

    Raises:
        SystemExit: if that fails.
    """
    command = [sys.executable, "-m", "aigdetect", "train", "--data", str(data), "--from", model]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    ran = subprocess.run([*command, "--out", str(out), *options], env=environment, check=False)
    if ran.returncode not in (0, 1):
        raise SystemExit(f"aigdetect train: exit status {ran.returncode}")


def areas(detector: Detector, group: Sequence[Sample], rest: Sequence[Sample]) -> tuple[float, float]:
    """ROC AUC of the group against the real images of the rest, and that of the rest.

    Raises:
        SystemExit: if an image cannot be scored, or there is none of one class.
    """
    samples = [*group, *rest]
    scores = detector.score([sample.path for sample in samples])
    logits = np.array([score.logit for score in scores])
    labels = np.array([sample.label for sample in samples])
    of_group = np.arange(len(samples)) < len(group)
    with_group, without = (
        _area(labels[chosen], logits[chosen]) for chosen in (of_group | (labels == 0), ~of_group)
    )
    return with_group, without


def _area(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> float:
    figure = ROC_AUC(labels, logits)
    if figure.value is None:
        raise SystemExit(f"no ROC AUC: {figure.reason}")
    return figure.value


def main() -> None:
    """Run the benchmark."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set that holds the generator, and real images")
    parser.add_argument("group", help="the generator")
    parser.add_argument("--rest", required=True, help="labelled data set of others")
    parser.add_argument("--model", default="mole-vit-b16", help="to go on from")
    parser.add_argument("--images", type=int, default=60, help="of the generator, and as many real ones")
    parser.add_argument("--most", type=int, default=100, help="other images of the generator to measure on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments[:cut])
    samples = drawn(find_samples(options.data).samples, options.seed)
    group = list(unlearnt((s for s in samples if s.generator == options.group and s.label), options.model))
    real = list(islice(unlearnt((s for s in samples if not s.label), options.model), options.images))
    to_learn, others = group[: options.images], group[options.images :][: options.most]
    if len(real) < options.images or not others:
        raise SystemExit(f"{options.data}: {len(group)} new images of {options.group}, {len(real)} real ones")
    rest = find_samples(options.rest).samples
    before = areas(load_detector(options.model), others, rest)
    with tempfile.TemporaryDirectory() as place:
        write_list([*real, *to_learn], Path(place) / "list.csv")
        train(Path(place) / "list.csv", options.model, Path(place) / "further", arguments[cut + 1 :])
        after = areas(load_detector(Path(place) / "further"), others, rest)
    table = Table(title=f"{options.model}, further trained on {len(to_learn)} images of {options.group}")
    for title in ("ROC AUC", "before", "after", "difference"):
        table.add_column(title, justify="left" if title == "ROC AUC" else "right")
    names = (f"{len(others)} others of {options.group}", f"{len(rest)} images of {Path(options.rest).name}")
    for name, was, now in zip(names, before, after, strict=True):
        table.add_row(name, f"{was:.4f}", f"{now:.4f}", f"{now - was:+.4f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
