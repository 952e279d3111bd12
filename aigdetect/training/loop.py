"""The training loop of one model: gradients through the adapted blocks, step by step and epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from aigdetect.errors import DataError
from aigdetect.model.base import Network
from aigdetect.training.distributed import Group
from aigdetect.training.head_start import Features, start_head
from aigdetect.training.material import Material
from aigdetect.training.recipe import Recipe
from aigdetect.training.sampler import balanced_batches, batch_sizes, shuffled_batches
from aigdetect.training.schedule import learning_rate
from aigdetect.training.state import Best, State, moments_of, random_state, set_moments, set_random_state
from aigdetect.training.step import Batch, compute_gradients
from aigdetect.training.watching import Epoch, Step, Watch


class Loop:
    """Trains a network on its material, from a state on.

    Args:
        network: put into the state, and trained in place.
        recipe: the settings.
        material: what it learns from.
        state: where it stands.
        watch: who is told.
        group: the processes that train together.
        validate: gives the held-out logits after the epoch of a number; None: nothing is held out.
        save: given the state after every epoch, and after the head was fitted; None: no state is wanted.
        save_every: and after every so many steps; None: not there.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        material: Material,
        state: State,
        *,
        watch: Watch,
        group: Group,
        validate: Callable[[int], Epoch] | None = None,
        save: Callable[[State], None] | None = None,
        save_every: int | None = None,
    ) -> None:
        self._network, self._recipe, self._material, self._group = network, recipe, material, group
        self._watch, self._validate, self._save, self._save_every = watch, validate, save, save_every
        network.load_adapter_state(state.adapter)
        head = list(network.head.parameters())
        experts = [value for name, value in network.trainable().items() if not name.startswith("head.")]
        groups = [{"params": experts, "rate": 1.0}, {"params": head, "rate": recipe.head_rate}]
        self._optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        set_moments(network, self._optimiser, state.moments)
        set_random_state(state.random)
        self._begun = state
        self._step, self._best = state.step, state.best
        self._last: Epoch | None = None

    def fit_head(self, features: Features) -> None:
        """Let the model begin with a head that is fitted to the frozen tower, under the recipe's penalty.

        Args:
            features: of the images to learn from, and perhaps of others.

        Raises:
            DataError: if a held-out logit is no number.
        """
        assert self._recipe.head_penalty is not None
        start_head(
            self._network,
            features,
            self._material.source.indices,
            self._material.targets[:2],
            self._material.origins,
            penalty=self._recipe.head_penalty,
            source_penalty=self._recipe.source_penalty,
            group=self._group,
        )
        self._end_epoch(0)

    def run(self) -> Epoch | None:
        """Train over all epochs that are left.

        Returns:
            the held-out logits of the weights that are to be kept, which are in the network then; None if
            nothing is held out.

        Raises:
            DataError: if too many images cannot be read, or the loss is no number any more.
        """
        batches = self._begun.batches
        done = max(self._begun.epoch, 1) - 1
        while done < self._recipe.epochs and not self._patience_is_over(done):
            if self._recipe.steps is not None and self._step >= self._recipe.steps:
                break
            done += 1
            self._train_epoch(done, batches)
            batches = 0
            self._end_epoch(done)
        if self._recipe.keep == "best" and self._best is not None and self._best.epoch != done:
            self._network.load_adapter_state(self._best.adapter)
            return self._validated(self._best.epoch)
        return self._last or self._validated(done)

    def _train_epoch(self, number: int, done: int) -> None:
        """Train over one epoch, of which the first ``done`` batches are done."""
        self._network.train()
        batches = self._batches(number)
        if self._recipe.steps is not None:
            batches = batches[: self._recipe.steps - self._step + done]
        self._watch.stage(f"epoch {number} of {self._recipe.epochs}", sum(map(len, batches)))
        self._watch.advance(sum(map(len, batches[:done])))
        for trunk, indices in self._material.source.batches(batches[done:], turn=number - 1):
            done += 1
            self._take_step(number, trunk, indices)
            self._watch.advance(len(batches[done - 1]))
            if self._save_every and done < len(batches) and self._step % self._save_every == 0:
                self._save_state(number, done)

    def _batches(self, number: int) -> Sequence[Tensor]:
        indices, recipe = self._material.source.indices, self._recipe
        options = {"batch_size": recipe.batch_size, "seed": recipe.seed, "epoch": number}
        if not recipe.balanced_batches:
            return shuffled_batches(indices, **options)
        labels = self._material.targets[0].cpu()[indices].long()
        if len(set(labels.tolist())) < 2:
            raise DataError("balanced_batches: no training image of one class can be read")
        return balanced_batches(indices, labels, **options)

    def _take_step(self, epoch: int, trunk: Tensor, indices: Sequence[int]) -> None:
        labels, _, weights = self._material.targets[:, indices]
        losses = compute_gradients(
            self._network,
            Batch(trunk, labels, weights),
            balance_weight=self._recipe.balance_weight,
            accumulate=self._recipe.accumulate,
            group=self._group,
        )
        if losses is None:  # not one image of the batch could be read
            return
        self._require_finite(losses.loss)
        total = len(batch_sizes(self._material.count, self._recipe.batch_size)) * self._recipe.epochs
        if self._recipe.steps is not None:
            total = min(total, self._recipe.steps)
        lr = learning_rate(self._recipe, self._step, total)
        for settings in self._optimiser.param_groups:
            settings["lr"] = lr * settings["rate"]
        self._optimiser.step()
        self._step += 1
        self._watch.step(Step(self._step, epoch, losses.loss, losses.bce, losses.balance, lr, losses.load))

    def _require_finite(self, *values: float) -> None:
        if not all(map(math.isfinite, values)):
            raise DataError(
                f"losses or logits are no numbers any more after step {self._step}: the run has diverged; "
                f"start anew with an lr below {self._recipe.lr}"
            )

    def _end_epoch(self, number: int) -> None:
        """Validate, tell, and save: the next epoch begins."""
        self._last = self._validated(number)
        if self._last is not None:
            if self._best is None or self._last.quality > self._best.quality:
                self._best = Best(number, self._last.quality, self._network.adapter_state())
            self._watch.epoch(self._last)
        self._save_state(number + 1, 0)

    def _validated(self, number: int) -> Epoch | None:
        if self._validate is None:
            return None
        epoch = self._validate(number)
        self._require_finite(*epoch.logits)
        return epoch

    def _patience_is_over(self, number: int) -> bool:
        """Whether the epochs up to ``number`` have brought nothing better for too long."""
        patience, best = self._recipe.patience, self._best
        return patience is not None and best is not None and number - best.epoch >= patience

    def _save_state(self, epoch: int, batches: int) -> None:
        if self._save is not None:
            self._save(
                replace(
                    self._begun,
                    epoch=epoch,
                    batches=batches,
                    step=self._step,
                    best=self._best,
                    adapter=self._network.adapter_state(),
                    moments=moments_of(self._network, self._optimiser),
                    random=random_state(),
                )
            )
