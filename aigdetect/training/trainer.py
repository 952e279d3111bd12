"""The training run: views through the frozen trunk, gradients through the adapted blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aigdetect.data.dataset import Reading, Unreadable, training_views
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.images.views import Pixels
from aigdetect.model.network import MoleNetwork
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.folds import Fold
from aigdetect.training.head_start import Features, read_features, start_head
from aigdetect.training.held_out import HeldOut, require_both
from aigdetect.training.recipe import Recipe
from aigdetect.training.sampler import balanced_batches, batch_sizes, shuffled_batches
from aigdetect.training.schedule import learning_rate
from aigdetect.training.source import Part, Source, open_source
from aigdetect.training.state import Best, State, moments_of, random_state, set_moments, set_random_state
from aigdetect.training.step import Batch, compute_gradients
from aigdetect.training.watching import Epoch, Step, Watch
from aigdetect.training.weights import image_weights


@dataclass
class Trainer:
    """Trains a network on samples.

    Attributes:
        network: on its device, its tower in the precision wanted; trained in place.
        recipe: the settings.
        training: samples to learn from.
        validation: samples held out.
        folder: where token files may lie.
        workers: threads that decode.
        watch: who is told; of a group, only the first process tells anything.
        group: the processes that train together, each with the same network and samples.
        folds: divisions of the training samples; with them, the validation samples are the training samples
            that folds leave out, in the same order and at their beginning.
        save: given the state after every epoch, and after the head was fitted.
        save_every: and after every so many steps; None: not there.
    """

    network: MoleNetwork
    recipe: Recipe
    training: Sequence[Sample]
    validation: Sequence[Sample]
    folder: Path
    workers: int
    watch: Watch = field(default_factory=Watch)
    group: Group = ALONE
    folds: Sequence[Fold] = ()
    save: Callable[[State], None] = lambda state: None
    save_every: int | None = None

    def __post_init__(self) -> None:
        self._unsaid: list[str] = []
        if not self.group.first:
            self.watch = Watch(unread=self._unsaid.append)
        self._out_of_fold: Epoch | None = None
        self._features: Features | None = None
        self._begin(self.network.adapter_state(), range(len(self.training)))
        numbers = {
            name: number for number, name in enumerate(sorted({each.generator for each in self.training}))
        }
        self._sources = torch.tensor([numbers[sample.generator] for sample in self.training])
        self._reading = self._reader("training", self.training)

    def run(self, state: State | None = None) -> Epoch:
        """Fit the head if the recipe asks for it, then train over all epochs.

        Args:
            state: go on from here; None from the beginning.

        Returns:
            the held-out logits of the weights that are to be kept, which are in the network then.

        Raises:
            DataError: if too many images cannot be read, or the loss is no number any more.
            UsageError: if the tokens do not fit where they are to be kept.
        """
        if state is None:
            self._save(0, 0)
        else:
            self._restore(state)
        size = self.network.tower.image_size
        self._example = self._trunk([np.zeros((size, size, 3), dtype=np.uint8)])
        held_out = self._open_held_out()
        with self._open_source() as source:
            if self.folds and self._out_of_fold is None:
                self._out_of_fold = self._cross_validate(source, held_out)
                self._save(0, 0)
            done, last = self._train(source, held_out, state)
        return self._keep(held_out, done, last)

    def _begin(self, adapter: Mapping[str, Tensor], indices: Sequence[int]) -> None:
        """Stand at the beginning of a training on some of the samples."""
        torch.manual_seed(self.recipe.seed)
        self.network.load_adapter_state(adapter)
        self._optimiser = torch.optim.AdamW(
            self.network.trainable().values(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay
        )
        self._best: Best | None = None
        self._step = 0
        self._count = len(indices)
        labels = torch.tensor([float(sample.label) for sample in self.training])
        chosen = [self.training[index] for index in indices]
        weights = torch.zeros_like(labels)
        weights[list(indices)] = torch.tensor(image_weights(chosen, balanced=self.recipe.balanced))
        self._targets = torch.stack([labels, weights]).to(self._device)

    def _train(self, source: Source, held_out: HeldOut, state: State | None) -> tuple[int, Epoch | None]:
        """Train over all epochs that are left.

        Returns:
            the number of the last one, and its held-out logits, if there are any.
        """
        last: Epoch | None = None
        if state is None or not state.epoch:
            if self.recipe.head_penalty is not None:
                self._start_head(source, self.recipe.head_penalty)
                last = self._end_of_epoch(0, held_out)
            first, batches = 1, 0
        else:
            first, batches = state.epoch, state.batches
        done = first - 1
        while done < self.recipe.epochs and not self._patience_is_over(done):
            done += 1
            self._epoch(source, done, done=batches)
            batches = 0
            last = self._end_of_epoch(done, held_out)
        return done, last

    def _cross_validate(self, source: Source, held_out: HeldOut) -> Epoch:
        """Train once for each fold, and score what it leaves out.

        Neither steps nor states of these models are told or saved: they are not the model.
        """
        beginning, watch, save = self.network.adapter_state(), self.watch, self.save
        logits: dict[int, float] = {}
        if self.recipe.head_penalty is not None:
            self._features = self._read_features(source)  # once for all: they are those of the frozen tower
        self.save = lambda state: None
        for number, fold in enumerate(self.folds, 1):
            prefix = f"fold {number} of {len(self.folds)}: "
            self.watch = replace(
                watch,
                stage=partial(_prefixed, watch.stage, prefix),
                step=lambda step: None,
                epoch=lambda epoch: None,
            )
            self._begin(beginning, fold.kept.tolist())
            self._train(Part(source, fold.kept), held_out, None)
            logits |= dict(zip(*held_out.logits_of(fold.left_out.tolist()), strict=True))
        self.watch, self.save = watch, save
        self._begin(beginning, range(len(self.training)))
        indices = sorted(logits)
        labels = tuple(self.training[index].label for index in indices)
        require_both(labels)
        return Epoch(self.recipe.epochs, tuple(logits[index] for index in indices), labels)

    def _epoch(self, source: Source, number: int, *, done: int) -> None:
        """Train over one epoch, of which the first ``done`` batches are done."""
        self.network.train()
        batches = self._batches(source, number)
        self.watch.stage(f"epoch {number} of {self.recipe.epochs}", sum(map(len, batches)))
        self.watch.advance(sum(map(len, batches[:done])))
        for trunk, indices in source.batches(batches[done:], copy=number - 1):
            done += 1
            self._take_step(number, trunk, indices)
            self.watch.advance(len(batches[done - 1]))
            if self.save_every and done < len(batches) and self._step % self.save_every == 0:
                self._save(number, done)

    def _batches(self, source: Source, number: int) -> list[Tensor]:
        options = {"batch_size": self.recipe.batch_size, "seed": self.recipe.seed, "epoch": number}
        if not self.recipe.balanced_batches:
            return shuffled_batches(source.indices, **options)
        labels = self._targets[0].cpu()[source.indices].long()
        if len(set(labels.tolist())) < 2:
            raise DataError("balanced_batches: no training image of one class can be read")
        return balanced_batches(source.indices, labels, **options)

    def _take_step(self, epoch: int, trunk: Tensor, indices: Sequence[int]) -> None:
        labels, weights = self._targets[:, indices]
        losses = compute_gradients(
            self.network,
            Batch(trunk, labels, weights),
            balance_weight=self.recipe.balance_weight,
            accumulate=self.recipe.accumulate,
            group=self.group,
        )
        if losses is None:  # not one image of the batch could be read
            return
        self._require_finite(losses.loss)
        lr = learning_rate(self.recipe, self._step, self._total)
        for settings in self._optimiser.param_groups:
            settings["lr"] = lr
        self._optimiser.step()
        self._step += 1
        self.watch.step(Step(self._step, epoch, losses.loss, losses.bce, losses.balance, lr, losses.load))

    def _require_finite(self, *values: float) -> None:
        if not all(map(math.isfinite, values)):
            raise DataError(
                f"losses or logits are no numbers any more after step {self._step}: the run has diverged; "
                f"start anew with an lr below {self.recipe.lr}"
            )

    @property
    def _total(self) -> int:
        return len(batch_sizes(self._count, self.recipe.batch_size)) * self.recipe.epochs

    def _end_of_epoch(self, number: int, held_out: HeldOut) -> Epoch | None:
        """Validate, tell, and save: the next epoch begins. With folds there is nothing held out."""
        epoch = None if self.folds else self._validate(number, held_out)
        if epoch is not None:
            value = epoch.metrics["average_precision"]
            if value is not None and (self._best is None or value > self._best.average_precision):
                self._best = Best(number, value, self.network.adapter_state())
            self.watch.epoch(epoch)
        self._save(number + 1, 0)
        return epoch

    def _validate(self, number: int, held_out: HeldOut) -> Epoch:
        epoch = Epoch(number, *held_out.logits())
        self._say_what_others_met()
        self._require_finite(*epoch.logits)
        return epoch

    def _patience_is_over(self, number: int) -> bool:
        """Whether the epochs up to ``number`` have brought nothing better for too long."""
        patience, best = self.recipe.patience, self._best
        return patience is not None and best is not None and number - best.epoch >= patience

    def _keep(self, held_out: HeldOut, number: int, last: Epoch | None) -> Epoch:
        """Put the weights that the recipe keeps into the network, and give their held-out logits."""
        if self._out_of_fold is not None:
            self.watch.epoch(self._out_of_fold)
            return self._out_of_fold
        if self.recipe.keep == "best" and self._best is not None and self._best.epoch != number:
            self.network.load_adapter_state(self._best.adapter)
            return self._validate(self._best.epoch, held_out)
        return last if last is not None else self._validate(number, held_out)

    def _save(self, epoch: int, batches: int) -> None:
        if not self.group.first:
            return
        self.save(
            State(
                epoch=epoch,
                batches=batches,
                step=self._step,
                best=self._best,
                adapter=self.network.adapter_state(),
                moments=moments_of(self.network, self._optimiser),
                random=random_state(),
                out_of_fold=self._out_of_fold,
            )
        )

    def _restore(self, state: State) -> None:
        self.network.load_adapter_state(state.adapter)
        set_moments(self.network, self._optimiser, state.moments)
        set_random_state(state.random)
        self._step = state.step
        self._best = state.best
        self._out_of_fold = state.out_of_fold

    def _start_head(self, source: Source, penalty: float) -> None:
        if self._features is None:
            self._features = self._read_features(source)
        start_head(
            self.network,
            self._features,
            source.indices,
            self._targets,
            self._sources,
            penalty=penalty,
            source_penalty=self.recipe.source_penalty,
            group=self.group,
        )
        if self._count == len(self.training):
            self._features = None  # the folds are done: no other head starts

    def _read_features(self, source: Source) -> Features:
        return read_features(
            self.network,
            source,
            copies=self._copies,
            batch_size=self.recipe.batch_size,
            group=self.group,
            stage=self.watch.stage,
            advance=self.watch.advance,
        )

    @property
    def _copies(self) -> int:
        """Augmented copies of each image that are worth keeping: epochs beyond them take them in turn."""
        fitted = self.recipe.head_penalty is not None
        return self.recipe.copies if fitted else min(self.recipe.copies, self.recipe.epochs)

    def _open_source(self) -> AbstractContextManager[Source]:
        return open_source(
            count=len(self.training),
            copies=self._copies,
            recipe=self.recipe,
            views=self._views,
            trunk=self._trunk,
            example=self._example,
            folder=self.folder,
            group=self.group,
            stage=self.watch.stage,
            advance=self.watch.advance,
        )

    def _open_held_out(self) -> HeldOut:
        return HeldOut(
            self.network,
            self.validation,
            self.recipe.views,
            self._trunk,
            self._example,
            self._reader("validation", self.validation),
            self.group,
            stage=self.watch.stage,
            advance=self.watch.advance,
        )

    def _reader(self, what: str, samples: Sequence[Sample]) -> Reading:
        return Reading(what, Unreadable(len(samples)), self.workers, self.watch.unread)

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
        return self._reading.each(function, [self.training[index] for index in indices])

    def _say_what_others_met(self) -> None:
        """Let the first process say what the others could not."""
        for text in self.group.texts_of_all(self._unsaid):
            self.watch.unread(text)
        self._unsaid.clear()

    def _trunk(self, views: Sequence[Pixels] | Pixels) -> Tensor:
        return self.network.trunk(torch.from_numpy(np.asarray(views)).to(self._device))

    @property
    def _device(self) -> torch.device:
        return self.network.head.weight.device


def _prefixed(stage: Callable[[str, int], None], prefix: str, name: str, total: int) -> None:
    stage(prefix + name, total)
