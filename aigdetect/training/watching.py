"""What a training run tells while it goes on, and who may listen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from aigdetect.metrics.ranking import AVERAGE_PRECISION, card_figures

if TYPE_CHECKING:
    from aigdetect.training.estimate import Estimate

#: a router that gives one expert a larger share of the tokens has collapsed
COLLAPSED_SHARE = 0.9
#: steps over which the share is averaged: a fresh router may lean to one side for a few
COLLAPSE_STEPS = 20


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
        indices: which of the validation images they are.
    """

    epoch: int
    logits: tuple[float, ...]
    labels: tuple[int, ...]
    indices: tuple[int, ...] = ()

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """What these logits are worth; see `aigdetect.metrics.ranking.card_figures`."""
        return card_figures(self.labels, self.logits)

    @cached_property
    def quality(self) -> tuple[float, float]:
        """What epochs are compared by: the average precision, then minus the mean binary cross-entropy.

        Neither is rounded: where every generated image ranks above every real one, the loss still says which
        epoch tells them apart more clearly.
        """
        signs = 1 - 2 * np.asarray(self.labels, np.float64)
        loss = float(np.logaddexp(0.0, signs * np.asarray(self.logits, np.float64)).mean())
        return AVERAGE_PRECISION(self.labels, self.logits).value or 0.0, -loss


@dataclass(frozen=True)
class Watch:
    """Callbacks through which a run tells what it does; each may be left out.

    Attributes:
        stage: a new stage begins, of so many images (0 if unknown).
        advance: so many images of the stage are done.
        step: a step was taken.
        epoch: an epoch ended.
        unread: an image cannot be read and is left out.
        warn: something else is wrong that does not stop the run.
        estimate: what the run is about to take; None: nobody wants to know, and nothing is measured.
    """

    stage: Callable[[str, int], None] = lambda name, total: None
    advance: Callable[[int], None] = lambda count: None
    step: Callable[[Step], None] = lambda step: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    unread: Callable[[str], None] = lambda text: None
    warn: Callable[[str], None] = lambda text: None
    estimate: Callable[[Estimate], None] | None = None


def chain(*watches: Watch) -> Watch:
    """One watch that tells all of them, in order."""

    def tell(name: str) -> Callable[..., None] | None:
        listeners = [each for watch in watches if (each := getattr(watch, name)) is not None]
        if not listeners:
            return None

        def all_of_them(*told: object) -> None:
            for listener in listeners:
                listener(*told)

        return all_of_them

    told: dict[str, Any] = {each.name: tell(each.name) for each in fields(Watch)}
    return Watch(**told)


class CollapseWatch:
    """Warns, once per block, of a router that sends nearly all tokens to one expert.

    Args:
        warn: told of it.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._recent: deque[tuple[tuple[float, ...], ...]] = deque(maxlen=COLLAPSE_STEPS)
        self._warned: set[int] = set()

    def step(self, step: Step) -> None:
        """See :attr:`Watch.step`."""
        self._recent.append(step.load)
        if len(self._recent) < COLLAPSE_STEPS:
            return
        for block, loads in enumerate(zip(*self._recent, strict=True)):
            shares = [sum(share) / COLLAPSE_STEPS for share in zip(*loads, strict=True)]
            largest = max(shares)
            if len(shares) > 1 and largest > COLLAPSED_SHARE and block not in self._warned:
                self._warned.add(block)
                self._warn(
                    f"router {block + 1} of {len(step.load)} has collapsed by step {step.step}: expert "
                    f"{shares.index(largest) + 1} got {largest:.0%} of the tokens of the last "
                    f"{COLLAPSE_STEPS} steps; a larger balance_weight spreads them"
                )
