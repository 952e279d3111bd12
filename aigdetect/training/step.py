"""Gradients of one step: the same whether its images come at once, in parts, or shared among processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from aigdetect.model.base import Network
from aigdetect.model.mole import LowRankMixture, Routing, collect_routing, count_chosen, load_balancing_loss
from aigdetect.training.distributed import ALONE, Group


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
