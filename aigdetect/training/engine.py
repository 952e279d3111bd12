"""Trains a network: gradients through what is adapted, step by step and epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from aigdetect.errors import DataError
from aigdetect.model.base import Network
from aigdetect.model.mole import LowRankMixture, Routing, collect_routing, count_chosen, load_balancing_loss
from aigdetect.training.callbacks import Epoch, Step
from aigdetect.training.checkpoint import Best, State, moments_of, random_state, set_moments, set_random_state
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.head_fit import Features, fit_head_of
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.sampling import TrainingSet


class Trainer:
    """Trains a network on a training set, from a state on.

    Args:
        network: put into the state, and trained in place.
        recipe: the settings.
        training_set: what it learns from.
        state: where it stands; that after every epoch, after every so many steps where the run asks for it,
            and after the head was fitted, is saved.
        run: the run.
        validate: gives the held-out logits after the epoch of a number; None: nothing is held out.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        training_set: TrainingSet,
        state: State,
        run: Run,
        validate: Callable[[int], Epoch] | None = None,
    ) -> None:
        self._network, self._recipe, self._set, self._run = network, recipe, training_set, run
        self._validate = validate
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
        fit_head_of(self._network, self._recipe, features, self._set, self._run.group)
        self._end_epoch(0)

    def train(self) -> Epoch | None:
        """Train over all epochs that are left.

        Returns:
            the held-out logits of the weights that are to be kept, which are in the network then; None if
            nothing is held out.

        Raises:
            DataError: if too many images cannot be read, or the loss is no number any more.
        """
        recipe, done, batches = self._recipe, max(self._begun.epoch, 1) - 1, self._begun.batches
        while done < recipe.epochs and not self._patience_is_over(done):
            if recipe.steps is not None and self._step >= recipe.steps:
                break
            done += 1
            self._train_epoch(done, batches)
            batches = 0
            self._end_epoch(done)
        if recipe.keep == "best" and self._best is not None and self._best.epoch != done:
            self._network.load_adapter_state(self._best.adapter)
            return self._validated(self._best.epoch)
        return self._last or self._validated(done)

    def _train_epoch(self, number: int, done: int) -> None:
        """Train over one epoch, of which the first ``done`` batches are done."""
        recipe, run, every = self._recipe, self._run, self._run.options.checkpoint_every
        self._network.train()
        batches = self._set.batches(recipe, number)
        if recipe.steps is not None:
            batches = batches[: recipe.steps - self._step + done]
        run.watch.stage(f"epoch {number} of {recipe.epochs}", sum(map(len, batches)))
        run.watch.advance(sum(map(len, batches[:done])))
        for outputs, indices in self._set.outputs.batches(batches[done:], turn=number - 1):
            done += 1
            labels, _, weights = self._set.targets[:, indices]
            losses = compute_gradients(
                self._network,
                Batch(outputs, labels, weights),
                balance_weight=recipe.balance_weight,
                accumulate=recipe.accumulate,
                group=run.group,
            )
            if losses is not None:  # some image of the batch could be read
                self._take_step(number, losses)
            run.watch.advance(len(batches[done - 1]))
            if every and done < len(batches) and self._step % every == 0:
                self._save_state(number, done)

    def _take_step(self, epoch: int, losses: Losses) -> None:
        """Go along the gradients."""
        self._require_finite(losses.loss)
        lr = learning_rate(self._recipe, self._step, self._set.steps(self._recipe))
        for settings in self._optimiser.param_groups:
            settings["lr"] = lr * settings["rate"]
        self._optimiser.step()
        self._step += 1
        self._run.watch.step(
            Step(self._step, epoch, losses.loss, losses.bce, losses.balance, lr, losses.load)
        )

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
            self._run.watch.epoch(self._last)
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
        if self._run.log is None:  # weights are copied for nothing else
            return
        self._run.save(
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


def learning_rate(recipe: Recipe, done: int, total: int) -> float:
    """Learning rate of the step after ``done`` of ``total`` steps."""
    warmup = round(recipe.warmup * total)
    if done < warmup:
        factor = (done + 1) / (warmup + 1)
    elif recipe.schedule == "constant":
        factor = 1.0
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, total - warmup)))
    return recipe.lr * factor


@dataclass(frozen=True)
class Batch:
    """Images of a step, or a part of them.

    Attributes:
        trunk: outputs of the frozen trunk ``(B, ...)``.
        labels: ``(B,)`` float32, 1 for generated, 0 for real.
        weights: ``(B,)`` float32, how much each image counts.
    """

    trunk: Tensor
    labels: Tensor
    weights: Tensor

    def split(self, parts: int) -> list[Batch]:
        """Up to so many parts, as equal as can be, none of them empty."""
        pieces = [torch.tensor_split(tensor, parts) for tensor in (self.trunk, self.labels, self.weights)]
        return [Batch(*piece) for piece in zip(*pieces, strict=True) if len(piece[0])]


@dataclass(frozen=True)
class Losses:
    """Losses of a step over the images of all processes, and the load of the experts by block."""

    loss: float
    bce: float
    balance: float
    load: tuple[tuple[float, ...], ...]


def compute_gradients(
    network: Network,
    batch: Batch,
    *,
    balance_weight: float,
    accumulate: int = 1,
    group: Group = ALONE,
) -> Losses | None:
    """Set the gradients of all that trains to those of the step's loss, and say what it was.

    The loss is a mean over the images, so that of the parts, weighted by their images, add up to it. The
    load-balancing loss ``N sum_j f_j P_j`` is a product of two means over all tokens, and does not add up as
    it is. But ``f_j`` has no gradient: it is counted over all parts and processes first, and with it the rest
    is a mean, too. Parts therefore go through the network twice, the first time without gradients; one part
    needs no second time.

    Args:
        network: in training mode; its gradients are overwritten.
        batch: this process's images, perhaps none.
        balance_weight: weight of the load-balancing loss.
        accumulate: go over the images in so many parts.
        group: the processes, each with its own part of the images.

    Returns:
        None, and no gradient, if no process has an image.
    """
    parameters = list(network.trainable().values())
    for parameter in parameters:
        parameter.grad = None
    parts = batch.split(accumulate)
    outputs = [_forward(network, part) for part in parts] if len(parts) == 1 else None
    counts = torch.zeros(_counted(network), dtype=torch.int64, device=batch.trunk.device)
    if outputs is None and counts.numel():
        with torch.no_grad():
            for part in parts:
                counts += _count(_forward(network, part)[1])
    elif outputs is not None and counts.numel():
        counts += _count(outputs[0][1])
    numbers = torch.cat([counts.flatten(), counts.new_tensor([len(batch.labels)])])
    group.add(numbers)
    images = int(numbers[-1])
    if not images:
        return None
    counts = numbers[:-1].view_as(counts)
    share = counts / counts.sum(dim=-1, keepdim=True)
    told = torch.zeros(3, device=batch.trunk.device)
    for index, part in enumerate(parts):
        logits, routings = outputs[index] if outputs else _forward(network, part)
        told += _backward(part, logits, routings, share, balance_weight, len(part.labels) / images)
    if not group.alone:
        _add_gradients(parameters, told, group)
    load = tuple(tuple(of_block) for of_block in share.tolist())
    loss, bce, balance = told.tolist()
    return Losses(loss, bce, balance, load)


def _forward(network: Network, part: Batch) -> tuple[Tensor, list[Routing]]:
    with collect_routing() as routings:
        return network.training_logits(part.trunk), routings


def _backward(
    part: Batch,
    logits: Tensor,
    routings: Sequence[Routing],
    share: Tensor,
    balance_weight: float,
    of_all: float,
) -> Tensor:
    """Add the gradients of a part that holds ``of_all`` of the images; its share of loss, BCE and balance."""
    labels, weights = part.labels, part.weights
    if logits.dim() > 1:
        labels, weights = (each[:, None].expand_as(logits) for each in (labels, weights))
    bce = F.binary_cross_entropy_with_logits(logits, labels, weight=weights)
    balance = logits.new_zeros(())
    for routing, of_block in zip(routings, share, strict=True):
        balance = balance + load_balancing_loss(routing, of_block)
    loss = (bce + balance_weight * balance) * of_all
    torch.autograd.backward(loss)
    return torch.stack([loss, bce * of_all, balance * of_all]).detach()


def _add_gradients(parameters: Sequence[Tensor], told: Tensor, group: Group) -> None:
    """Sums over the processes, in one message."""
    gradients = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in parameters
    ]
    message = torch.cat([*(gradient.flatten() for gradient in gradients), told])
    group.add(message)
    *sums, told_sum = torch.split(message, [*(gradient.numel() for gradient in gradients), len(told)])
    for parameter, gradient in zip(parameters, sums, strict=True):
        parameter.grad = gradient.view_as(parameter).clone()
    told.copy_(told_sum)


def _counted(network: Network) -> tuple[int, int]:
    """Number of routers and of the experts of each."""
    routers = [
        cast(Tensor, bypass.router)
        for bypass in network.bypasses.modules()
        if isinstance(bypass, LowRankMixture) and bypass.router is not None
    ]
    return len(routers), len(routers[0]) if routers else 0


def _count(routings: Sequence[Routing]) -> Tensor:
    return torch.stack([count_chosen(routing) for routing in routings])
