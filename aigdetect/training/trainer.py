"""The training run: views through the frozen trunk, gradients through the adapted blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aigdetect.data.dataset import Unreadable, map_ordered, training_views, validation_view
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, ImageError
from aigdetect.images.views import Pixels
from aigdetect.model.mole import Routing, collect_routing, load_balancing_loss
from aigdetect.model.network import MoleNetwork
from aigdetect.training.recipe import Recipe
from aigdetect.training.store import TokenStore, place_for

# images per pass through the frozen trunk
TRUNK_BATCH = 8


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
        epoch: number of the epoch, from 1.
        logits: one per validation image that could be read.
        labels: 1 for generated, 0 for real.
    """

    epoch: int
    logits: tuple[float, ...]
    labels: tuple[int, ...]


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
        """Train over all epochs.

        Returns:
            the held-out logits after the last one.

        Raises:
            DataError: if too many images cannot be read.
            UsageError: if the tokens do not fit where they are to be kept.
        """
        torch.manual_seed(self.recipe.seed)
        held_out = self._trunk_of_validation()
        optimiser = torch.optim.AdamW(
            self.network.trainable().values(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay
        )
        total = len(self._batch_sizes(len(self.training))) * self.recipe.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(self._lr_factor, total=total))
        step = 0
        last = Epoch(0, (), ())
        with closing(self._batches()) as epochs:
            for number, batches in enumerate(epochs, start=1):
                self.network.train()
                self.watch.stage(f"epoch {number} of {self.recipe.epochs}", len(self.training))
                for trunk, labels in batches:
                    step += 1
                    self.watch.step(self._step(step, number, trunk, labels, optimiser, schedule))
                    self.watch.advance(len(labels))
                last = self._validate(number, *held_out)
                self.watch.epoch(last)
        return last

    def _step(
        self, step: int, epoch: int, trunk: Tensor, labels: Tensor, optimiser: Any, schedule: Any
    ) -> Step:
        lr = schedule.get_last_lr()[0]
        with collect_routing() as routings:
            logits = self.network.tail(trunk)
        bce = F.binary_cross_entropy_with_logits(logits, labels)
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

    def _batches(self) -> Generator[Iterator[tuple[Tensor, Tensor]], None, None]:
        """One iterator over batches of trunk outputs and labels for each epoch."""
        order = torch.Generator().manual_seed(self.recipe.seed)
        copies = min(self.recipe.copies, self.recipe.epochs)
        rows = len(self.training) * copies
        shape, dtype = self._trunk_form()
        keep, place = place_for(self.recipe.cache, rows, shape, dtype, self.folder)
        if not keep:
            for epoch in range(self.recipe.epochs):
                indices = torch.randperm(len(self.training), generator=order).tolist()
                yield self._computed([self.training[index] for index in indices], copy=epoch)
            return
        store = TokenStore(rows, shape, dtype, folder=place)
        with closing(store):
            kept = self._fill(store, copies)
            for epoch in range(self.recipe.epochs):
                shuffled = torch.randperm(len(kept), generator=order)
                yield self._stored(store, kept, shuffled, copy=epoch % copies, copies=copies)

    def _trunk_form(self) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape and dtype of what the trunk gives for one view."""
        size = self.network.tower.image_size
        probe = self._trunk([np.zeros((size, size, 3), dtype=np.uint8)])
        return tuple(probe.shape[1:]), probe.dtype

    def _fill(self, store: TokenStore, copies: int) -> list[int]:
        """Fill the store, ``copies`` rows per sample in the order of the samples.

        Returns:
            indices of the samples that could be read.
        """
        self.watch.stage(f"frozen blocks on {copies} views of each image", len(self.training))
        kept: list[int] = []
        results = self._views(self.training, range(copies))
        for index, views in enumerate(results):
            if views is not None:
                for first in range(0, copies, TRUNK_BATCH):
                    part = self._trunk(views[first : first + TRUNK_BATCH]).cpu()
                    row = index * copies + first
                    store[row : row + len(part)] = part
                kept.append(index)
            self.watch.advance(1)
        return kept

    def _stored(
        self, store: TokenStore, kept: Sequence[int], shuffled: Tensor, *, copy: int, copies: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        samples = torch.tensor(kept)
        for batch in torch.split(shuffled, self._batch_sizes(len(shuffled))):
            chosen = samples[batch]
            labels = [self.training[index].label for index in chosen.tolist()]
            yield store[chosen * copies + copy].to(self._device), self._labels(labels)

    def _computed(self, samples: Sequence[Sample], *, copy: int) -> Iterator[tuple[Tensor, Tensor]]:
        readable = (
            (views[0], sample.label)
            for sample, views in zip(samples, self._views(samples, [copy]), strict=True)
            if views is not None
        )
        for size in self._batch_sizes(len(samples)):
            batch = list(islice(readable, size))
            if not batch:  # some could not be read
                return
            trunk = torch.cat(
                [self._trunk([view for view, _ in part]) for part in _parts(batch, TRUNK_BATCH)]
            )
            yield trunk, self._labels([label for _, label in batch])

    def _batch_sizes(self, count: int) -> list[int]:
        """Sizes of the batches of an epoch: as few as needed, and as equal as can be.

        A last batch of what happens to be left over, perhaps a single image, would shake the weights as much
        as a full one.
        """
        batches = math.ceil(count / self.recipe.batch_size)
        return [(count + index) // batches for index in range(batches)]

    def _views(self, samples: Sequence[Sample], copies: Sequence[int]) -> Iterator[list[Pixels] | None]:
        """Views of each sample, None where it cannot be read."""
        function = partial(
            training_views,
            copies=copies,
            size=self.network.tower.image_size,
            augmentation=self.recipe.augmentation,
            seed=self.recipe.seed,
        )
        yield from self._readable(function, samples, "training")

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
        """Outputs of the trunk for the held-out images, in batches, and the labels of the readable ones."""
        self.watch.stage("frozen blocks on the held-out images", len(self.validation))
        function = partial(validation_view, size=self.network.tower.image_size)
        views, labels, batches = [], [], []
        for sample, view in zip(
            self.validation, self._readable(function, self.validation, "validation"), strict=True
        ):
            if view is not None:
                views.append(view)
                labels.append(sample.label)
            if len(views) == TRUNK_BATCH:
                batches.append(self._trunk(views).cpu())
                views = []
            self.watch.advance(1)
        if views:
            batches.append(self._trunk(views).cpu())
        if set(labels) != {0, 1}:
            raise DataError(
                "no readable validation image of one class: give more images or a larger --validation"
            )
        return batches, labels

    def _validate(self, epoch: int, batches: Sequence[Tensor], labels: Sequence[int]) -> Epoch:
        self.network.eval()
        logits: list[float] = []
        with torch.inference_mode():
            for batch in batches:
                logits += self.network.tail(batch.to(self._device)).tolist()
        return Epoch(epoch, tuple(logits), tuple(labels))

    def _trunk(self, views: Sequence[Pixels]) -> Tensor:
        return self.network.trunk(torch.from_numpy(np.stack(views)).to(self._device))

    def _labels(self, labels: Sequence[int]) -> Tensor:
        return torch.tensor(labels, dtype=torch.float32, device=self._device)

    @property
    def _device(self) -> torch.device:
        return self.network.head.weight.device


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _load(routing: Routing) -> tuple[float, ...]:
    experts = routing.gates.shape[-1]
    counts = torch.bincount(routing.chosen.flatten(), minlength=experts)
    return tuple((counts / counts.sum()).tolist())
