"""A training run for TensorBoard, where that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aigdetect.errors import UsageError
from aigdetect.training.watching import Epoch, Step, Watch


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
