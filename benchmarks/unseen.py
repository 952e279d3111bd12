"""What helps on generators and sources never seen: ``python benchmarks/unseen.py --data A --state FOLDER``.

Every trial is a recipe. Its folds leave whole origins out (all that one generator, source or repository
gave), and each image is scored by a model that saw nothing of its origin. One row per trial: mean ROC AUC
over generators, each against all real images, and over the worst ten; true-positive rates over all images;
and the difference in mean AUC to the first trial, with a 95 % interval from a bootstrap over generators and
sources; the same of copies of the images left out, changed as those to learn from are. Then what a
calibration claims and what comes out: the thresholds for each fold are set on the logits of the other folds,
so that every verdict is about an origin that neither model nor thresholds have seen. Finished trials are
kept in the state folder, and never computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from aigdetect.data.contents import read_contents
from aigdetect.data.layouts import Sample, find_samples
from aigdetect.files import write_atomically
from aigdetect.images.views import first_of_scales
from aigdetect.metrics.ranking import ROC_AUC, tpr_at_fpr
from aigdetect.model.calibration_fit import fit_calibration
from aigdetect.model.detector import choose_device
from aigdetect.model.towers.arithmetic import choose_precision
from aigdetect.scanning.engines import default_workers
from aigdetect.training.callbacks import Watch
from aigdetect.training.crossfit import cross_fit as train_folds
from aigdetect.training.distributed import ALONE
from aigdetect.training.folds import Fold
from aigdetect.training.head_fit import read_features
from aigdetect.training.held_out import HeldOut
from aigdetect.training.open_outputs import open_outputs
from aigdetect.training.partition import Split, choose_images, draw_samples
from aigdetect.training.recipe import Recipe, RunOptions, make_recipe
from aigdetect.training.run import Run
from aigdetect.training.starting_point import find_start, identify

Floats = NDArray[np.float64]

WORST = 10
DRAWS = 2000
#: shares of a source's images called ai that are counted
RATES = (0.01, 0.02, 0.03, 0.05)


@dataclass(frozen=True)
class Trial:
    """One recipe to try."""

    name: str
    recipe: Recipe


def read_trials(path: Path, decoders: Path | None = None) -> list[Trial]:
    """Trials of a YAML file: a list of ``name``, ``settings`` and, if wanted, the ``base`` they change.

    Args:
        path: the file.
        decoders: the folder that ``aligned: [decoders]`` stands for; without it, trials that need one are
            left out.
    """
    settings: dict[str, dict[str, Any]] = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        base = settings[entry["base"]] if "base" in entry else {}
        settings[entry["name"]] = {**base, **entry["settings"]}
    trials = []
    for name, values in settings.items():
        if values.get("aligned") == ["decoders"]:
            if decoders is None:
                continue
            values["aligned"] = [str(decoders.resolve())]
        trials.append(Trial(name, make_recipe(values)))
    return trials


@dataclass(frozen=True)
class Told:
    """What models say of images of origins that they never saw.

    Attributes:
        samples: the images.
        logits: ``(n,)``.
        folds: ``(n,)``, the fold that left each out.
        changed: ``(n,)``, logits of copies, augmented like those to learn from; NaN where there are none.
    """

    samples: Sequence[Sample]
    logits: Floats
    folds: NDArray[np.int64]
    changed: Floats

    @property
    def of_changed(self) -> Told | None:
        """What the models say of changed copies, in the place of the images; None if it is not known."""
        return None if np.isnan(self.changed).any() else replace(self, logits=self.changed)

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 for generated, 0 for real, ``(n,)``."""
        return np.array([sample.label for sample in self.samples])

    @property
    def names(self) -> NDArray[np.str_]:
        """Generator or source of each, ``(n,)``."""
        return np.array([sample.generator for sample in self.samples])


def cross_fit(
    recipe: Recipe, samples: Sequence[Sample], folder: Path, tables: Path | None, weights: Path | None = None
) -> Told:
    """Train the models of a recipe's folds, and let each score what it has left out."""
    assert recipe.folds is not None
    device = choose_device("auto")
    recipe = replace(recipe, precision=choose_precision(recipe.precision, device))
    drawn = draw_samples(samples, recipe)
    # known, so that what is kept of them already takes no room
    split = Split(tuple(drawn), (), contents=read_contents(drawn, workers=default_workers()))
    # what is there of an earlier trial, such as images made here, is taken up
    options = RunOptions(weights=weights, cache_folder=tables, resume=True)
    watch = Watch(stage=lambda name, total: print(f"{name}: {total}", flush=True), unread=print)
    start = find_start(split, recipe, options, None, None, ALONE, watch)
    start.move_to(device, recipe.precision)
    run = Run(folder, identify(split, recipe, start, options), options, watch=watch)
    images = choose_images(split, recipe, run)
    state = run.first_state(start.network, recipe)
    with open_outputs(start.network, recipe, images, state, run) as outputs:
        features = read_features(start.network, recipe, outputs.training, run)
        # training images are read through one view of each scale
        of_copies = replace(recipe, views=first_of_scales(recipe.views))
        copies = HeldOut(start.network, of_copies, images.training, outputs.training, run)
        places = {sample.path: place for place, sample in enumerate(images.training)}
        changed: dict[int, float] = {}

        def score_changed(fold: Fold) -> None:
            """Logits of the last copy of what a fold leaves out, unless it is the image as it is."""
            if outputs.training.copies == recipe.plain_copy:
                return
            left_out = {places[scored[index].path]: index for index in fold.left_out.tolist()}
            logits = copies.logits_of(left_out, outputs.training.copies - 1)
            changed.update((left_out[place], logit) for place, logit in logits.items())

        scored = images.validation
        epoch = train_folds(start.network, recipe, images, outputs, features, state, run, score_changed)
    fold_of = {index: number for number, fold in enumerate(images.folds) for index in fold.left_out.tolist()}
    return Told(
        [scored[index] for index in epoch.indices],
        np.array(epoch.logits),
        np.array([fold_of[index] for index in epoch.indices]),
        np.array([changed.get(index, np.nan) for index in epoch.indices]),
    )


def areas(told: Told) -> tuple[list[str], list[str], Floats, Floats]:
    """How often an image of each generator lies above one of each source.

    Returns:
        names of the generators and of the sources, the rates ``(G, S)`` (ties count half), and the number of
        images of each source ``(S,)``.
    """
    labels, names = told.labels, told.names
    generators, sources = (sorted(set(names[labels == label])) for label in (1, 0))
    rates = np.empty((len(generators), len(sources)))
    for column, source in enumerate(sources):
        real = np.sort(told.logits[(labels == 0) & (names == source)])
        for row, generator in enumerate(generators):
            made = told.logits[(labels == 1) & (names == generator)]
            below, up_to = (np.searchsorted(real, made, side=side) for side in ("left", "right"))
            rates[row, column] = (below + up_to).mean() / 2 / len(real)
    sizes = np.array([np.sum((labels == 0) & (names == source)) for source in sources], dtype=np.float64)
    return generators, sources, rates, sizes


def difference(told: Told, other: Told) -> tuple[float, float, float]:
    """Difference in mean AUC over generators to another trial on the same images, and its 95 % interval.

    Generators and sources are drawn anew together, as whole groups.
    """
    generators, sources, mine, sizes = areas(told)
    rates = mine - areas(other)[2]
    rng = np.random.default_rng(0)
    rows = rng.integers(len(generators), size=(DRAWS, len(generators)))
    columns = rng.integers(len(sources), size=(DRAWS, len(sources)))
    drawn = [
        float(np.average(rates[row].mean(axis=0)[column], weights=sizes[column]))
        for row, column in zip(rows, columns, strict=True)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.average(rates.mean(axis=0), weights=sizes)), float(low), float(high)


def verdicts(told: Told, fpr: float) -> NDArray[np.int64]:
    """1 for ``ai``, -1 for ``real``, 0 between, ``(n,)``: thresholds come from the other folds."""
    out = np.zeros(len(told.samples), dtype=np.int64)
    for fold in set(told.folds.tolist()):
        here = told.folds == fold
        others = np.flatnonzero(~here).tolist()
        calibration = fit_calibration(
            told.logits[others].tolist(),
            told.labels[others].tolist(),
            [told.samples[index].generator for index in others],
        )
        limits = calibration.thresholds(fpr=fpr)
        out[here] = (told.logits[here] > limits.ai).astype(int) - (told.logits[here] < limits.real)
    return out


def by_group(told: Told, values: NDArray[Any], label: int) -> dict[str, float]:
    """Mean of values by generator (label 1) or source (label 0)."""
    chosen = told.labels == label
    names = told.names
    return {name: float(values[chosen & (names == name)].mean()) for name in sorted(set(names[chosen]))}


def figures(told: Told) -> dict[str, float]:
    """Figures of one trial."""
    generators, _, rates, sizes = areas(told)
    of_generators = np.sort(np.average(rates, axis=1, weights=sizes))
    assert len(generators)
    result = {
        "mean AUC": float(of_generators.mean()),
        f"worst {WORST}": float(of_generators[:WORST].mean()),
        "AUC": ROC_AUC(told.labels, told.logits).value or 0.0,
        "TPR at 5 %": tpr_at_fpr(0.05)(told.labels, told.logits).value or 0.0,
        "TPR at 1 %": tpr_at_fpr(0.01)(told.labels, told.logits).value or 0.0,
    }
    for fpr in (0.01, 0.05):
        flagged = verdicts(told, fpr)
        rates_of = np.array(list(by_group(told, flagged == 1, 0).values()))
        result[f"claimed {fpr:.0%}: real ai"] = float(rates_of.mean())
        if fpr == 0.01:
            for most in RATES:
                result[f"sources over {most:.0%}"] = float((rates_of > most).mean())
            result["generated ai"] = float(np.mean(list(by_group(told, flagged == 1, 1).values())))
            result["generated real"] = float(np.mean(list(by_group(told, flagged == -1, 1).values())))
            result["uncertain"] = float((flagged == 0).mean())
    return result


def about(recipe: Recipe, samples: Sequence[Sample]) -> dict[str, Any]:
    """What a trial depends on: its settings, and a digest of the images' paths, labels and groups."""
    lines = sorted(
        f"{sample.path}\t{sample.label}\t{sample.generator}\t{sample.repository}" for sample in samples
    )
    images = hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
    return {"settings": json.loads(json.dumps(recipe.defining())), "images": images}


def save(told: Told, of: dict[str, Any], path: Path) -> None:
    """Keep what came out of a trial, and :func:`about` what it was."""
    columns = (told.logits.tolist(), told.folds.tolist(), told.changed.tolist())
    rows = [[sample.path, *row] for sample, *row in zip(told.samples, *columns, strict=True)]
    write_atomically(path, json.dumps({"about": of, "rows": rows}).encode())


def load(path: Path, of: dict[str, Any], samples: Mapping[str, Sample]) -> Told | None:
    """What came out of a trial; None if it is not there, or was about something else."""
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    if not isinstance(kept, dict) or kept.get("about") != of:
        return None
    rows = kept["rows"]
    return Told(
        [samples[row[0]] for row in rows],
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
    )


def _print(console: Console, results: Mapping[str, Told]) -> None:
    table = Table(title="origins never seen")
    table.add_column("trial", min_width=30)
    (_, first), *_ = results.items()
    for column in (*figures(first), "mean AUC to the first", "changed: mean AUC", "to the first"):
        table.add_column(column, justify="right")
    for name, told in results.items():
        cells = [f"{value:.3f}" for value in figures(told).values()]
        changed = told.of_changed
        of_changed = f"{figures(changed)['mean AUC']:.3f}" if changed else ""
        shift, of_copies = _shift(told, first), _shift(changed, first.of_changed)
        table.add_row(name, *cells, shift, of_changed, of_copies)
    console.print(table)


def _shift(told: Told | None, first: Told | None) -> str:
    """The difference to the first trial, where there is one on as many images."""
    if told is None or first is None or len(told.samples) != len(first.samples):
        return ""
    return "{:+.4f} ({:+.4f}..{:+.4f})".format(*difference(told, first))


def _print_groups(console: Console, name: str, told: Told) -> None:
    generators, _, rates, sizes = areas(told)
    flagged = verdicts(told, 0.01)
    found, missed, alarms = (
        by_group(told, flagged == verdict, label) for verdict, label in ((1, 1), (-1, 1), (1, 0))
    )
    counts = Counter((sample.label, sample.generator) for sample in told.samples)
    table = Table(title=f"{name}: generators, at a claimed 1 %")
    for column in ("generator", "images", "AUC", "ai", "real"):
        table.add_column(column, justify="left" if column == "generator" else "right")
    for generator, auc in sorted(
        zip(generators, np.average(rates, axis=1, weights=sizes), strict=True), key=lambda pair: pair[1]
    ):
        table.add_row(
            generator,
            str(counts[1, generator]),
            f"{auc:.3f}",
            f"{found[generator]:.2f}",
            f"{missed[generator]:.2f}",
        )
    console.print(table)
    table = Table(title=f"{name}: real images called ai at a claimed 1 %")
    for column in ("source", "images", "ai"):
        table.add_column(column, justify="left" if column == "source" else "right")
    for source, rate in sorted(alarms.items(), key=lambda pair: -pair[1]):
        if rate:
            table.add_row(source, str(counts[0, source]), f"{rate:.3f}")
    console.print(table)
    kinds = np.array([sample.kind or "not said" for sample in told.samples])
    table = Table(title=f"{name}: verdicts on real images by kind, at a claimed 1 %")
    for column in ("kind", "sources", "images", "ai", "uncertain", "real"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    real = told.labels == 0
    for kind in sorted(set(kinds[real])):
        chosen = real & (kinds == kind)
        shares = [f"{(flagged[chosen] == verdict).mean():.3f}" for verdict in (1, 0, -1)]
        table.add_row(kind, str(len(set(told.names[chosen]))), str(chosen.sum()), *shares)
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", action="append", required=True, help="data set in any layout that train takes"
    )
    parser.add_argument("--state", type=Path, required=True, help="folder of finished trials")
    parser.add_argument("--cache-folder", type=Path, help="as for train; else in the state folder")
    parser.add_argument("--weights", type=Path, help="weights of the trials' backbone")
    parser.add_argument("--trials", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--decoders", type=Path, help="as --aligned of train, for the trials that need it")
    parser.add_argument("--only", metavar="NAME", action="append", help="only this trial; may be given again")
    parser.add_argument("--samples-per-group", type=int, help="fewer images of each generator and source")
    parser.add_argument("--groups", metavar="NAME", action="append", default=[], help="print its groups, too")
    options = parser.parse_args()
    known = read_trials(options.trials, options.decoders)
    trials = [each for each in known if not options.only or each.name in options.only]
    if not trials:
        raise SystemExit(f"no trial of {options.trials} has a name given with --only (or needs --decoders)")
    samples = [sample for root in options.data for sample in find_samples(root).samples]
    options.state.mkdir(parents=True, exist_ok=True)
    tables = options.cache_folder or options.state / "tables"
    results: dict[str, Told] = {}
    for trial in trials:
        recipe = trial.recipe
        if options.samples_per_group is not None:
            recipe = replace(recipe, samples_per_group=options.samples_per_group)
        done = options.state / f"{trial.name}, {recipe.samples_per_group}.json"
        of = about(recipe, samples)
        told = load(done, of, {sample.path: sample for sample in samples})
        if told is None:
            told = cross_fit(recipe, samples, options.state, tables, options.weights)
            save(told, of, done)
        results[trial.name] = told
        print(f"{trial.name}: mean AUC {figures(results[trial.name])['mean AUC']:.4f}", flush=True)
    console = Console(width=280)
    _print(console, results)
    for name in options.groups:
        _print_groups(console, name, results[name])


if __name__ == "__main__":
    main()
