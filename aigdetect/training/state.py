"""All that a run must know to go on from a step as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aigdetect.model.base import Network
from aigdetect.training.watching import Epoch

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Best:
    """The best epoch so far.

    Attributes:
        epoch: its number.
        quality: of its held-out logits, see :attr:`aigdetect.training.watching.Epoch.quality`.
        adapter: the weights at its end.
    """

    epoch: int
    quality: tuple[float, float]
    adapter: Mapping[str, Tensor] = field(repr=False)


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        epoch: number of the epoch under way, from 1; 0 before anything was done, one more than there are if
            all are done.
        batches: batches of it that are done.
        step: steps that were taken.
        best: the best epoch so far; None before the first.
        adapter: the weights.
        moments: state of AdamW, by parameter and moment: ``step``, ``exp_avg``, ``exp_avg_sq``.
        random: state of torch's generators, by device.
        out_of_fold: what the models of the folds said; None without folds.
    """

    epoch: int
    batches: int
    step: int
    best: Best | None
    adapter: Mapping[str, Tensor] = field(repr=False)
    moments: Mapping[str, Mapping[str, Tensor]] = field(repr=False)
    random: Mapping[str, Tensor] = field(repr=False)
    out_of_fold: Epoch | None = None


def first_state(network: Network) -> State:
    """Where a run stands whose network is as it was made."""
    return State(0, 0, 0, None, network.adapter_state(), {}, random_state())


def moments_of(network: Network, optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Copies of AdamW's state, on the CPU; empty before the first step."""
    return {
        name: {moment: optimiser.state[parameter][moment].to("cpu", copy=True) for moment in _MOMENTS}
        for name, parameter in network.trainable().items()
        if parameter in optimiser.state
    }


def set_moments(
    network: Network, optimiser: torch.optim.Optimizer, moments: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Put back what :func:`moments_of` gave."""
    trainable = network.trainable()
    for name, of_parameter in moments.items():
        parameter = trainable[name]
        optimiser.state[parameter] = {
            # AdamW counts its steps on the CPU
            moment: value.to("cpu" if moment == "step" else parameter.device, copy=True)
            for moment, value in of_parameter.items()
        }


def random_state() -> dict[str, Tensor]:
    """State of torch's own generators; those of order and augmentation follow from the seed."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    """Put back what :func:`random_state` gave, for the devices that are here."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
