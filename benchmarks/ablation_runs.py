"""One row of an ablation with one seed: trained and measured by the program's own commands, and kept."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ablation_tables import COLUMNS, Ablation, Measured, Variant
from safetensors.numpy import load_file

from aigdetect.errors import UsageError
from aigdetect.files import write_atomically
from aigdetect.model.card import ADAPTER_NAME
from aigdetect.parsing import parse
from aigdetect.training.recipe import make_recipe

_RUNS = "runs"
_RESULT = "result.json"
_NEAREST = Path(__file__).with_name("nearest_neighbour.py")


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        data: roots to train on.
        test: roots to measure on.
        state: folder of all runs.
        tables: tables with the rows to run.
        seeds: of the runs of each row.
        settings: of every recipe; those of a row go before them.
        extra: further options of both commands (device, weights).
    """

    data: tuple[Path, ...]
    test: tuple[Path, ...]
    state: Path
    tables: tuple[Ablation, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()

    @property
    def backbone(self) -> str:
        """The image tower of rows that name none."""
        return make_recipe(self.settings).backbone


@dataclass(frozen=True)
class Run:
    """One row with one seed.

    Attributes:
        folder: where its files lie; its name is a digest of all that makes the run.
        variant: the row.
        seed: of all chance.
        backbone: its image tower.
        settings: of its recipe, as far as they are not the defaults.
    """

    folder: Path
    variant: Variant
    seed: int
    backbone: str
    settings: dict[str, Any]


def make_run(plan: Plan, variant: Variant, seed: int) -> Run:
    """The run of a row with a seed; rows that come to the same recipe share it.

    Raises:
        UsageError: if a setting is impossible.
    """
    recipe = make_recipe(plan.settings, variant.settings, {"seed": seed})
    defaults = make_recipe().as_dict()
    # settings that a later version of the program adds must not make finished runs unknown
    settings = {name: value for name, value in recipe.as_dict().items() if value != defaults[name]}
    identity = {
        "nearest": variant.nearest,
        # nothing else of a recipe bears on nearest neighbours
        "recipe": {"backbone": recipe.backbone} if variant.nearest else settings,
        "data": [str(root.resolve()) for root in plan.data],
        "test": [str(root.resolve()) for root in plan.test],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Run(plan.state / _RUNS / digest[:16], variant, seed, recipe.backbone, settings)


def finished(run: Run) -> Measured | None:
    """What a run gave, if it is there."""
    try:
        found = json.loads((run.folder / _RESULT).read_text(encoding="utf-8"))
        return parse(Measured, {**found, "seed": run.seed})
    except (OSError, ValueError):
        return None


def carry_out(plan: Plan, run: Run) -> Measured:
    """Train and measure, and keep the result.

    Raises:
        UsageError: if one of the commands fails; with its last line.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    recipe = run.folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(plain(run.settings)), encoding="utf-8")
    measure = ["-m", "aigdetect", "eval", *_options("--data", plan.test), "--json", "--bootstrap", "0"]
    if run.variant.nearest:
        scores = run.folder / "scores.csv"
        if len(plan.data) > 1 or len(plan.test) > 1:
            raise UsageError("nearest neighbours take one --data and one --test")
        arguments = [str(_NEAREST), str(plan.data[0]), str(plan.test[0]), str(scores)]
        _call(run, "train", [*arguments, "--backbone", run.backbone, *plan.extra])
        figures = _call(run, "eval", [*measure, "--scores", f"nearest={scores}"])
        trainable = 0.0
    else:
        model = run.folder / "model"
        train = ["-m", "aigdetect", "train", *_options("--data", plan.data), "--out", str(model), "--resume"]
        _call(run, "train", [*train, "--config", str(recipe), *plan.extra])
        figures = _call(run, "eval", [*measure, "--model", str(model), *plan.extra])
        trainable = trainable_share(model, run.backbone)
    measured = read_figures(json.loads(figures), seed=run.seed, trainable=trainable)
    write_atomically(run.folder / _RESULT, f"{json.dumps(asdict(measured), indent=1)}\n".encode())
    return measured


def read_figures(results: dict[str, Any], *, seed: int, trainable: float) -> Measured:
    """Average precisions, in per cent, out of what ``aigdetect eval --json`` prints for one detector."""
    detector = results["runs"][0]["detectors"][0]
    by_family = {each["name"]: _average_precision(each) for each in detector["families"]}
    by_family["average"] = _average_precision(detector["mean"])
    by_generator = {each["name"]: _average_precision(each) for each in detector["sets"]}
    first, second, third, fourth = (by_family.get(column) for column in COLUMNS)
    return Measured(
        seed=seed,
        average_precision=(first, second, third, fourth),
        by_generator={name: value for name, value in by_generator.items() if value is not None},
        trainable=trainable,
    )


def _average_precision(figures: dict[str, Any]) -> float | None:
    figure = figures["figures"].get("average_precision") or {}
    value = figure.get("value")
    return None if value is None else 100 * float(value)


def trainable_share(model: Path, backbone: str) -> float:
    """Trainable parameters of a model, in per cent of them and the image tower with its projection."""
    import torch

    from aigdetect.model.towers.build import build_base
    from aigdetect.model.weights.backbones import parse_backbone

    with torch.device("meta"):
        base, _ = build_base(parse_backbone(backbone))
    frozen = sum(parameter.numel() for parameter in base.parameters())
    trained = sum(int(tensor.size) for tensor in load_file(model / ADAPTER_NAME).values())
    return 100 * trained / (frozen + trained)


def _call(run: Run, name: str, arguments: Sequence[str]) -> str:
    """Standard output of a command of this Python; what it says goes into a log of the run."""
    log = run.folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=file, text=True, check=False
        )
    # 1: some images could not be read, and are named in the log
    if done.returncode in (0, 1):
        return done.stdout
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["said nothing"]
    raise UsageError(f"{said[-1].removeprefix('error: ')} (see {log})")


def _options(name: str, values: Sequence[Path]) -> list[str]:
    return [text for value in values for text in (name, str(value))]


def plain(value: Any) -> Any:
    """A value as YAML and JSON have it: tuples as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
