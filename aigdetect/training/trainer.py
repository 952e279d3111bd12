"""The training run: views through the frozen trunk, gradients through the adapted blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aigdetect.data.dataset import Unreadable, batched, map_ordered, training_views, validation_views
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, ImageError
from aigdetect.evaluation.metrics import card_figures
from aigdetect.images.views import Pixels
from aigdetect.model.mole import Routing, collect_routing, load_balancing_loss
from aigdetect.model.network import MoleNetwork
from aigdetect.training.fit import fit_head
from aigdetect.training.recipe import Recipe
from aigdetect.training.source import TRUNK_BATCH, Source, batch_sizes, open_source
from aigdetect.training.weights import image_weights

#: the head is fitted on no more bytes of features than this
FIT_BYTES = 2 << 30


@dataclass(frozen=True)
class Step:
    """What one optimisation step did; all losses are means over the batch.

    Attributes:
        step: number of the step, from 1.
        epoch: number of the epoch, from 1.
        loss: what was minimised.
        bce: binary cross-entropy.
        balance: load-balancing loss summed over the adapted blocks; 0 without separate experts.
        lr: learning rate of the step.
        load: share of the tokens that each separate expert got, by block.
    """

    step: int
    epoch: int
    loss: float
    bce: float
    balance: float
    lr: float
    load: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Epoch:
    """Held-out logits after an epoch.

    Attributes:
        epoch: number of the epoch, from 1; 0 after the head was fitted.
        logits: one per validation image that could be read.
        labels: 1 for generated, 0 for real.
    """

    epoch: int
    logits: tuple[float, ...]
    labels: tuple[int, ...]

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """What these logits are worth; see `aigdetect.evaluation.metrics.card_figures`."""
        return card_figures(self.labels, self.logits)


@dataclass(frozen=True)
class Watch:
    """Callbacks through which a run tells what it does; each may be left out.

    Attributes:
        stage: a new stage begins, of so many images (0 if unknown).
        advance: so many images of the stage are done.
        step: a step was taken.
        epoch: an epoch ended.
        warn: something is wrong that does not stop the run.
    """

    stage: Callable[[str, int], None] = lambda name, total: None
    advance: Callable[[int], None] = lambda count: None
    step: Callable[[Step], None] = lambda step: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    warn: Callable[[str], None] = lambda text: None


@dataclass
class Trainer:
    """Trains a network on samples.

    Attributes:
        network: on its device, its tower in the precision wanted; trained in place.
        recipe: the settings.
        training: samples to learn from.
        validation: samples held out.
        folder: where a token file may lie.
        workers: threads that decode.
        watch: who is told.
    """

    network: MoleNetwork
    recipe: Recipe
    training: Sequence[Sample]
    validation: Sequence[Sample]
    folder: Path
    workers: int
    watch: Watch = field(default_factory=Watch)

    def run(self) -> Epoch:
        """Fit the head if the recipe asks for it, then train over all epochs.

        Returns:
            the held-out logits at the end.

        Raises:
            DataError: if too many images cannot be read.
            UsageError: if the tokens do not fit where they are to be kept.
        """
        torch.manual_seed(self.recipe.seed)
        held_out = self._trunk_of_validation()
        weights = image_weights(self.training, balanced=self.recipe.balanced)
        labels = [float(sample.label) for sample in self.training]
        self._targets = torch.tensor([labels, weights], device=self._device)
        with self._open_source() as source:
            last = Epoch(0, (), ())
            if self.recipe.head_penalty is not None:
                self._fit_head(source, self.recipe.head_penalty)
                last = self._validate(0, *held_out)
                self.watch.epoch(last)
            for number in self._epochs(source):
                last = self._validate(number, *held_out)
                self.watch.epoch(last)
        return last

    def _fit_head(self, source: Source, penalty: float) -> None:
        """Fit the head on the copies of every image, or on as many as :data:`FIT_BYTES` of features hold."""
        row_bytes = 4 * self.network.head.in_features
        copies = min(self._copies, max(1, FIT_BYTES // (row_bytes * source.count)))
        order = torch.arange(source.count)
        features, targets = [], []
        self.network.eval()
        self.watch.stage("head on the frozen tower", source.count * copies)
        for copy in range(copies):
            for trunk, indices in source.batches(order, copy):
                with torch.inference_mode():
                    read = torch.cat([self.network.read(part) for part in torch.split(trunk, TRUNK_BATCH)])
                    features.append(self.network.head.features(read))
                targets.append(self._targets[:, indices])
                self.watch.advance(len(indices))
        labels, weights = torch.cat(targets, dim=1)
        fit_head(self.network.head, torch.cat(features), labels, weights, penalty=penalty)

    def _epochs(self, source: Source) -> Iterator[int]:
        """Train, and give the number of each epoch at its end."""
        optimiser = torch.optim.AdamW(
            self.network.trainable().values(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay
        )
        total = len(batch_sizes(len(self.training), self.recipe.batch_size)) * self.recipe.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(self._lr_factor, total=total))
        shuffle = torch.Generator().manual_seed(self.recipe.seed)
        step = 0
        for number in range(1, self.recipe.epochs + 1):
            self.network.train()
            self.watch.stage(f"epoch {number} of {self.recipe.epochs}", source.count)
            order = torch.randperm(source.count, generator=shuffle)
            for trunk, indices in source.batches(order, copy=number - 1):
                step += 1
                self.watch.step(self._step(step, number, trunk, indices, optimiser, schedule))
                self.watch.advance(len(indices))
            yield number

    def _step(
        self, step: int, epoch: int, trunk: Tensor, indices: list[int], optimiser: Any, schedule: Any
    ) -> Step:
        lr = schedule.get_last_lr()[0]
        labels, weights = self._targets[:, indices]
        with collect_routing() as routings:
            logits = self.network.tail(trunk)
        bce = F.binary_cross_entropy_with_logits(logits, labels, weight=weights)
        balance = sum((load_balancing_loss(routing) for routing in routings), logits.new_zeros(()))
        loss = bce + self.recipe.balance_weight * balance
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        return Step(
            step=step,
            epoch=epoch,
            loss=loss.item(),
            bce=bce.item(),
            balance=balance.item(),
            lr=lr,
            load=tuple(_load(routing) for routing in routings),
        )

    def _lr_factor(self, done: int, *, total: int) -> float:
        warmup = round(self.recipe.warmup * total)
        if done < warmup:
            return (done + 1) / (warmup + 1)
        if self.recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, total - warmup)))

    @property
    def _copies(self) -> int:
        """Augmented copies of each image that are worth keeping: epochs beyond them take them in turn."""
        fitted = self.recipe.head_penalty is not None
        return self.recipe.copies if fitted else min(self.recipe.copies, self.recipe.epochs)

    def _open_source(self) -> AbstractContextManager[Source]:
        size = self.network.tower.image_size
        return open_source(
            count=len(self.training),
            copies=self._copies,
            batch_size=self.recipe.batch_size,
            cache=self.recipe.cache,
            views=self._views,
            trunk=self._trunk,
            example=self._trunk([np.zeros((size, size, 3), dtype=np.uint8)]),
            folder=self.folder,
            stage=self.watch.stage,
            advance=self.watch.advance,
        )

    def _views(self, indices: Sequence[int], copies: Sequence[int]) -> Iterator[list[Pixels] | None]:
        """Views of training images, None where one cannot be read."""
        function = partial(
            training_views,
            copies=copies,
            size=self.network.tower.image_size,
            augmentation=self.recipe.augmentation,
            seed=self.recipe.seed,
            views=self.recipe.views,
        )
        yield from self._readable(function, [self.training[index] for index in indices], "training")

    def _readable(
        self, function: Callable[[Sample], Any], samples: Sequence[Sample], what: str
    ) -> Iterator[Any]:
        unreadable = Unreadable(len(samples))
        for sample, result in zip(samples, map_ordered(function, samples, workers=self.workers), strict=True):
            if isinstance(result, ImageError):
                unreadable.add(sample.path, str(result))
                self.watch.warn(f"{what} image left out: {sample.path}: {result}")
                yield None
            else:
                yield result

    def _trunk_of_validation(self) -> tuple[list[Tensor], list[int]]:
        """Outputs of the trunk for the views of each held-out image, and the labels of the readable ones."""
        self.watch.stage("frozen blocks on the held-out images", len(self.validation))
        function = partial(validation_views, size=self.network.tower.image_size, views=self.recipe.views)
        readable = zip(self.validation, self._readable(function, self.validation, "validation"), strict=True)
        labels: list[int] = []
        outputs: list[Tensor] = []
        for batch in batched(readable, TRUNK_BATCH):
            views = [of_image for _, of_image in batch if of_image is not None]
            labels += [sample.label for sample, of_image in batch if of_image is not None]
            if views:
                outputs += torch.split(self._trunk(np.concatenate(views)).cpu(), len(self.recipe.views))
            self.watch.advance(len(batch))
        if set(labels) != {0, 1}:
            raise DataError(
                "no readable validation image of one class: give more images or a larger --validation"
            )
        return outputs, labels

    def _validate(self, epoch: int, outputs: Sequence[Tensor], labels: Sequence[int]) -> Epoch:
        self.network.eval()
        logits: list[float] = []
        with torch.inference_mode():
            for batch in batched(outputs, TRUNK_BATCH):
                of_views = self.network.tail(torch.cat(batch).to(self._device))
                logits += of_views.view(len(batch), -1).mean(dim=1).tolist()
        return Epoch(epoch, tuple(logits), tuple(labels))

    def _trunk(self, views: Sequence[Pixels] | Pixels) -> Tensor:
        return self.network.trunk(torch.from_numpy(np.asarray(views)).to(self._device))

    @property
    def _device(self) -> torch.device:
        return self.network.head.weight.device


def _load(routing: Routing) -> tuple[float, ...]:
    experts = routing.gates.shape[-1]
    counts = torch.bincount(routing.chosen.flatten(), minlength=experts)
    return tuple((counts / counts.sum()).tolist())
