"""What helps on generators and sources never seen: ``python benchmarks/unseen.py DATA [--trials F.yaml]``.

Every generator is left out in turn, with an equal share of every source of real images, and then every source
of real images, with an equal share of every generator. A head is fitted on the rest (frozen tower, no
mixture) and scores what was left out, as it is and after each operation. One row per trial: mean and worst
ROC AUC over generators, each against all real images, true-positive rates, false-positive rates by kind of
real image at the threshold that holds 5 % over all clean ones, and the mean AUC over sources. Several seeds
draw the shares anew; the spread is their standard deviation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from frozen_features import FrozenFeatures
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from aigdetect.data.layouts import Sample, find_samples
from aigdetect.evaluation.metrics import ROC_AUC, tpr_at_fpr
from aigdetect.evaluation.robustness import CLEAN, Operation, parse_operations
from aigdetect.files import write_atomically
from aigdetect.model.head import Head
from aigdetect.training.fit import fit_head
from aigdetect.training.recipe import Recipe, make_recipe
from aigdetect.training.weights import image_weights

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: sources of real images that are no ordinary photographs, or were not born as JPEG, by kind
KINDS = {
    "faces": ("faces_celebahq", "faces_web", "ffhq", "celeba_tiles"),
    "paintings": ("art_paintings", "art_png", "gan_som"),
    "documents": ("documents",),
    "PNG-born": ("bsd68_png", "photoblog_png"),
}


@dataclass(frozen=True)
class Trial:
    """One recipe to try."""

    name: str
    recipe: Recipe


def read_trials(path: Path) -> list[Trial]:
    """Trials of a YAML file: a list of ``name``, ``settings`` and, if wanted, the ``base`` they change."""
    settings: dict[str, dict[str, Any]] = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        base = settings[entry["base"]] if "base" in entry else {}
        settings[entry["name"]] = {**base, **entry["settings"]}
    return [Trial(name, make_recipe({**values, "epochs": 0})) for name, values in settings.items()]


class Protocol:
    """The images, their features, and who is left out when."""

    def __init__(
        self, samples: Sequence[Sample], features: FrozenFeatures, operations: Sequence[Operation]
    ) -> None:
        self.samples = list(samples)
        self.labels = np.array([sample.label for sample in samples])
        self.names = np.array([sample.generator for sample in samples])
        self._features = features
        self.conditions = {CLEAN: None, **{str(each): each for each in operations}}

    def logits(self, recipe: Recipe, label: int, seed: int) -> dict[str, Floats]:
        """Logits ``(N, V)`` of all views by condition, each from a head that saw neither it nor its group.

        Args:
            recipe: how the head is fitted.
            label: 1 to leave out generators, 0 to leave out sources of real images.
            seed: draws the share of the other class that is left out with each.
        """
        width = self._features.width * recipe.head_blocks
        own = self._features.of_training(self.samples, recipe)[..., -width:]
        aligned = self._features.aligned(self.samples, recipe)
        made = [each.sample for each in aligned]
        places = {sample.path: index for index, sample in enumerate(self.samples)}
        of_made = np.array([places[each.parent.path] for each in aligned], dtype=int)
        extra = self._features.of_training(made, recipe)[..., -width:] if made else own[:0]
        scans = {
            name: self._features.of_scan(self.samples, recipe.views, operation)[..., -width:]
            for name, operation in self.conditions.items()
        }
        out = {name: np.zeros((len(self.samples), len(recipe.views))) for name in scans}
        for left_out in self._folds(label, seed):
            kept, kept_made = np.flatnonzero(~left_out), np.flatnonzero(~left_out[of_made])
            head = _fitted(
                torch.cat([own[kept], extra[kept_made]]).float(),
                [self.samples[index] for index in kept] + [made[index] for index in kept_made],
                recipe,
            )
            for name, scan in scans.items():
                logits = head(scan[left_out].float().flatten(0, 1)).view(-1, len(recipe.views))
                out[name][left_out] = logits.detach().numpy()
        return out

    def _folds(self, label: int, seed: int) -> Iterator[Mask]:
        groups = sorted(set(self.names[self.labels == label]))
        rng = np.random.default_rng(seed)
        share = np.full(len(self.names), -1)
        for name in sorted(set(self.names[self.labels != label])):
            places = np.flatnonzero((self.labels != label) & (self.names == name))
            share[places] = (rng.permutation(len(places)) + rng.integers(len(groups))) % len(groups)
        for number, name in enumerate(groups):
            yield ((self.labels == label) & (self.names == name)) | (share == number)


def _fitted(
    features: torch.Tensor, samples: Sequence[Sample], recipe: Recipe
) -> Callable[[torch.Tensor], torch.Tensor]:
    copies, width = features.shape[1:]
    head = Head(blocks=0, width=width)  # the features are normalised already
    labels = torch.tensor([float(sample.label) for sample in samples])
    weights = torch.tensor(image_weights(samples, balanced=recipe.balanced))
    names = sorted({sample.generator for sample in samples})
    sources = torch.tensor([names.index(sample.generator) for sample in samples])
    assert recipe.head_penalty is not None
    fit_head(
        head,
        features.flatten(0, 1),
        *(values.repeat_interleave(copies) for values in (labels, weights)),
        penalty=recipe.head_penalty,
        sources=sources.repeat_interleave(copies),
        source_penalty=recipe.source_penalty,
    )
    return head


def figures(
    protocol: Protocol, by_generator: Mapping[str, Floats], by_source: Mapping[str, Floats]
) -> dict[str, Any]:
    """All figures of one trial and one seed; nested by condition."""
    labels, names = protocol.labels, protocol.names
    real = labels == 0
    threshold = float(np.quantile(by_source[CLEAN][real], 0.95, method="higher"))
    result: dict[str, Any] = {}
    for condition, logits in by_generator.items():
        areas = {str(name): auc(labels, logits, real | (names == name)) for name in sorted(set(names[~real]))}
        unseen = by_source[condition]
        of_sources = [auc(labels, unseen, ~real | (names == name)) for name in sorted(set(names[real]))]
        result[condition] = {
            "mean AUC": float(np.mean(list(areas.values()))),
            "worst AUC": min(areas.values()),
            "TPR at 5 %": tpr_at_fpr(0.05)(labels, logits).value,
            "TPR at 1 %": tpr_at_fpr(0.01)(labels, logits).value,
            "AUC over sources": float(np.mean(of_sources)),
            "false positives": float((unseen[real] > threshold).mean()),
            **{
                kind: float((unseen[real & np.isin(names, sources)] > threshold).mean())
                for kind, sources in KINDS.items()
                if np.isin(names, sources).any()
            },
            "by generator": areas,
        }
    return result


def _fused(protocol: Protocol, trial: Trial, label: int, seed: int) -> dict[str, Floats]:
    """Logits ``(N,)`` of images, as a scan fuses those of their views."""
    of_views = protocol.logits(trial.recipe, label, seed)
    return {condition: logits.mean(axis=1) for condition, logits in of_views.items()}


def auc(labels: NDArray[np.int64], logits: Floats, chosen: Mask | slice = slice(None)) -> float:
    """ROC AUC of the chosen images, of which there must be some of each class."""
    value = ROC_AUC(labels[chosen], logits[chosen]).value
    assert value is not None
    return value


def _cell(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return f"{mean}±{np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def _print(console: Console, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    first = next(iter(results.values()))[0]
    for condition, example in first.items():
        table = Table(title=f"never seen: {condition}")
        table.add_column("trial", min_width=34)
        columns = [name for name in example if name != "by generator"]
        for name in columns:
            table.add_column(name, justify="right")
        for trial, seeds in results.items():
            table.add_row(trial, *(_cell([seed[condition][name] for seed in seeds]) for name in columns))
        console.print(table)
    table = Table(title=f"AUC by generator left out: {CLEAN}")
    table.add_column("trial", min_width=34)
    for name in first[CLEAN]["by generator"]:
        table.add_column(name, justify="right")
    for trial, seeds in results.items():
        values = [
            [seed[CLEAN]["by generator"][name] for seed in seeds] for name in first[CLEAN]["by generator"]
        ]
        table.add_row(trial, *(f"{np.mean(each):.2f}" for each in values))
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("--trials", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--only", metavar="NAME", action="append", help="only this trial; may be given again")
    parser.add_argument("--operations", default="jpeg:75,resize:0.5,webp:80")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--state", type=Path, default=Path("unseen-state"), help="features and finished trials"
    )
    options = parser.parse_args()
    trials = [each for each in read_trials(options.trials) if not options.only or each.name in options.only]
    if not trials:
        raise SystemExit(f"no trial of {options.trials} has a name given with --only")
    features = FrozenFeatures(trials[0].recipe, options.state)
    operations = parse_operations(options.operations)
    protocol = Protocol(find_samples(options.data).samples, features, operations)
    results: dict[str, list[Any]] = {}
    for trial in trials:
        for seed in range(options.seeds):
            done = options.state / f"{trial.name}, {seed}.json"
            if not done.exists():
                of_views = (protocol.logits(trial.recipe, label, seed) for label in (1, 0))
                of_seed = figures(
                    protocol,
                    *({name: each.mean(axis=1) for name, each in views.items()} for views in of_views),
                )
                write_atomically(done, json.dumps(of_seed).encode())
            results.setdefault(trial.name, []).append(json.loads(done.read_text()))
        print(f"{trial.name}: {_cell([seed[CLEAN]['mean AUC'] for seed in results[trial.name]])}", flush=True)
    _print(Console(width=200), results)


if __name__ == "__main__":
    main()
