"""What a training run tells while it goes on, and who listens: a caller, the log, TensorBoard."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aigdetect.errors import UsageError
from aigdetect.files import writing
from aigdetect.metrics.ranking import AVERAGE_PRECISION, card_figures

if TYPE_CHECKING:
    from aigdetect.training.estimate import Estimate

#: a router that gives one expert a larger share of the tokens has collapsed
COLLAPSED_SHARE = 0.9
#: steps over which the share is averaged: a fresh router may lean to one side for a few
COLLAPSE_STEPS = 20
LOG_NAME = "log.jsonl"


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
        say: anything else that is worth a line.
        estimate: what the run is about to take; None: nobody wants to know, and nothing is measured.
    """

    stage: Callable[[str, int], None] = lambda name, total: None
    advance: Callable[[int], None] = lambda count: None
    step: Callable[[Step], None] = lambda step: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    unread: Callable[[str], None] = lambda text: None
    warn: Callable[[str], None] = lambda text: None
    say: Callable[[str], None] = lambda text: None
    estimate: Callable[[Estimate], None] | None = None


#: told, and does nothing with it
NOBODY = Watch()


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


LOG_NAME = "log.jsonl"


class Log:
    """Writes steps and epochs to a file as JSON lines.

    Args:
        path: the file.
        keep: so many bytes of what is there stay, the rest goes: what came after a checkpoint happens again.

    Raises:
        UsageError: if the file cannot be written, or is shorter than that.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self._path = path
        with writing(path):
            self._file = path.open("ab")
            if self._file.tell() < keep:
                self._file.close()
                raise UsageError(f"{path}: was cut short since the checkpoint; start anew with --force")
            self._file.truncate(keep)

    def step(self, step: Step) -> None:
        """See :attr:`Watch.step`."""
        self._write({"type": "step", **asdict(step)})

    def epoch(self, epoch: Epoch) -> None:
        """See :attr:`Watch.epoch`."""
        self._write({"type": "epoch", "epoch": epoch.epoch, **epoch.metrics})

    def settle(self) -> int:
        """Bring all lines to the disk.

        Returns:
            bytes of the file.

        Raises:
            UsageError: if they cannot be written.
        """
        with writing(self._path):
            os.fsync(self._file.fileno())
        return self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        with writing(self._path):
            self._file.write(json.dumps(entry).encode("ascii") + b"\n")
            self._file.flush()


@contextmanager
def tensorboard_watch(folder: Path, *, after: int) -> Iterator[Watch]:
    """A watch that writes TensorBoard's files while the block runs.

    Args:
        folder: made if it does not exist.
        after: step that the run goes on from; TensorBoard forgets what it was told of later ones.

    Raises:
        UsageError: if TensorBoard is not installed, or the folder cannot be used.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard: needs a package: pip install tensorboard") from error
    try:
        writer = SummaryWriter(str(folder), purge_step=after + 1)
    except OSError as error:
        raise UsageError(f"--tensorboard {folder}: cannot be used ({error.strerror})") from error
    reached = after

    def step(done: Step) -> None:
        nonlocal reached
        reached = done.step
        scalars = {"loss/total": done.loss, "loss/bce": done.bce, "loss/balance": done.balance, "lr": done.lr}
        for router, loads in enumerate(done.load, start=1):
            scalars |= {f"load/router {router}/expert {i}": load for i, load in enumerate(loads, start=1)}
        for name, value in scalars.items():
            writer.add_scalar(name, value, done.step)

    def epoch(done: Epoch) -> None:
        for name, value in done.metrics.items():
            if value is not None:
                writer.add_scalar(f"held-out/{name}", value, reached)
        writer.flush()

    try:
        yield Watch(step=step, epoch=epoch)
    finally:
        writer.close()
