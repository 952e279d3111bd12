"""From data and a recipe to a model folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import aigdetect
from aigdetect.data.layouts import DataSet, Sample, count_by_generator, require_both_classes
from aigdetect.data.split import shuffle_key, split_by_generator
from aigdetect.errors import UsageError
from aigdetect.model.build import load_tower
from aigdetect.model.calibration import fit_calibration
from aigdetect.model.card import (
    ADAPTER_NAME,
    AdapterCard,
    ModelCard,
    Preprocess,
    file_sha256,
    write_card,
)
from aigdetect.model.detector import PRECISIONS, adapter_config, choose_device, choose_precision
from aigdetect.model.network import MoleNetwork
from aigdetect.training.curves import draw_curves
from aigdetect.training.recipe import Recipe
from aigdetect.training.trainer import Epoch, Step, Trainer, Watch

LOG_NAME = "log.jsonl"
CURVES_NAME = "curves.png"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Images to learn from and images held out."""

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]


def split_data(data: Sequence[DataSet], recipe: Recipe) -> Split:
    """Divide data sets into training and validation.

    A data set that names splits of its own keeps them; of any other, the recipe's share of every generator is
    held out.

    Raises:
        DataError: if only one class is there.
        UsageError: if more images are asked for than there are.
    """
    chosen = [found.pick("train") for found in data]
    require_both_classes(*chosen)
    training: list[Sample] = []
    validation: list[Sample] = []
    for found, part in zip(data, chosen, strict=True):
        if "val" in found.splits:
            training += part.samples
            validation += found.pick("val").samples
        else:
            own = split_by_generator(part.samples, fraction=recipe.validation, seed=recipe.seed)
            training += own[0]
            validation += own[1]
    if recipe.samples is not None:
        if recipe.samples > len(training):
            raise UsageError(f"samples: {recipe.samples} is more than the {len(training)} training images")
        training = sorted(training, key=lambda sample: shuffle_key(sample, seed=recipe.seed))[
            : recipe.samples
        ]
    return Split(tuple(training), tuple(validation))


def train_model(
    split: Split,
    recipe: Recipe,
    folder: Path,
    *,
    command: str = "",
    device: str = "auto",
    weights: Path | None = None,
    offline: bool = False,
    workers: int = 2,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ModelCard:
    """Train a detector and write its model folder: card, adapter, log of every step, curves.

    Args:
        split: images to learn from and to hold out.
        recipe: the settings.
        folder: made if it does not exist; its name becomes the model's.
        command: command line to note in the card.
        device: as for :func:`aigdetect.load_detector`.
        weights: file with the backbone's weights; None searches for them.
        offline: look for weights on this machine only.
        workers: threads that decode.
        watch: who is told what the run does.
        say: called with one line per step of the search for weights.

    Returns:
        the card, as written.

    Raises:
        UsageError: if a setting or the folder cannot be used.
        DataError: if too many images cannot be read, or one class is absent.
        WeightsError: if the weights of the backbone cannot be found.
    """
    watch = watch or Watch()
    chosen = choose_device(device)
    recipe = replace(recipe, precision=choose_precision(recipe.precision, chosen))
    adapter = AdapterCard(
        blocks=recipe.blocks,
        modules=recipe.modules,
        shared_rank=recipe.shared_rank,
        expert_ranks=recipe.expert_ranks,
        alpha=recipe.alpha,
        head_blocks=recipe.head_blocks,
    )
    config = adapter_config(adapter)
    tower, found = load_tower(recipe.backbone, file=weights, offline=offline, say=say)
    torch.manual_seed(recipe.seed)
    network = MoleNetwork(tower, config, head_blocks=recipe.head_blocks)
    network.tower.set_precision(PRECISIONS[recipe.precision])
    network.to(chosen)
    _log.info(
        "%s from %s, on %s in %s, %d threads; %d parameters train, %d stay frozen",
        *(recipe.backbone, found.path, chosen, recipe.precision, torch.get_num_threads()),
        *(_count(network.parameters(), trained) for trained in (True, False)),
    )
    _make(folder)
    with _Log(folder / LOG_NAME, watch) as log:
        trainer = Trainer(network, recipe, split.training, split.validation, folder, workers, log.watch)
        last = trainer.run()
    digest = _write_adapter(folder, network)
    card = ModelCard(
        name=folder.resolve().name,
        backbone=recipe.backbone,
        backbone_digest=found.digest,
        preprocess=Preprocess(size=tower.image_size, mean=tower.mean, std=tower.std, views=recipe.views),
        adapter=adapter,
        adapter_sha256=digest,
        calibration=fit_calibration(last.logits, last.labels),
        command=command,
        recipe=recipe.as_dict(),
        data={"training": _counts(split.training), "validation": _counts(split.validation)},
        metrics={"validation": last.metrics},
        program=f"aigdetect {aigdetect.__version__}",
    )
    write_card(folder, card)
    if log.steps:
        draw_curves(log.steps, log.epochs, folder / CURVES_NAME)
    return card


def _count(parameters: Iterable[torch.nn.Parameter], trained: bool) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad == trained)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error


def _write_adapter(folder: Path, network: MoleNetwork) -> str:
    from safetensors.torch import save_file

    temporary = folder / f".{ADAPTER_NAME}.part"
    save_file(network.adapter_state(), temporary)
    temporary.chmod(0o644)  # safetensors makes files private, and models are shared
    temporary.replace(folder / ADAPTER_NAME)
    return file_sha256(folder / ADAPTER_NAME)


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts = count_by_generator(samples)
    return {
        "real": {count.generator: count.real for count in counts if count.real},
        "generated": {count.generator: count.generated for count in counts if count.generated},
    }


class _Log:
    """Writes steps and epochs to a file as JSON lines, keeps them for the curves, and passes them on."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self._path = path
        self._next = watch
        self.steps: list[Step] = []
        self.epochs: list[tuple[int, dict[str, float | None]]] = []
        self.watch = replace(watch, step=self._step, epoch=self._epoch)

    def __enter__(self) -> _Log:
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _step(self, step: Step) -> None:
        self.steps.append(step)
        self._write({"type": "step", **asdict(step)})
        self._next.step(step)

    def _epoch(self, epoch: Epoch) -> None:
        self.epochs.append((self.steps[-1].step if self.steps else 0, epoch.metrics))
        self._write({"type": "epoch", "epoch": epoch.epoch, **epoch.metrics})
        self._next.epoch(epoch)

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
