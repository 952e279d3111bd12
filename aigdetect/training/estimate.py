"""What a run is about to take: images and views, time by a short measurement, and room for what is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aigdetect.errors import UsageError
from aigdetect.images.views import Pixels
from aigdetect.model.base import Network
from aigdetect.training.checkpoint import State
from aigdetect.training.partition import RunImages
from aigdetect.training.recipe import Recipe
from aigdetect.training.trunk_outputs import FrozenPass, images_at_once

#: a step takes between so many times what scoring its views would take: gradients go back through what trains
BACKWARD = (2.0, 4.0)
_SECONDS = 1.0  # to measure each speed in, at most about
_DECODED = 4  # images to measure decoding by


@dataclass(frozen=True)
class Work:
    """What a run has still to do.

    Attributes:
        images: of the run, those held out among them.
        decoded: copies of images to decode.
        frozen: views to bring through the frozen part.
        trained: views to bring through the rest and back, for gradients.
        scored: views to bring through the rest to be scored.
    """

    images: int
    decoded: int
    frozen: int
    trained: int
    scored: int


@dataclass(frozen=True)
class Speed:
    """Seconds that parts of the work take.

    Attributes:
        decode: to decode a copy of an image through all of its views, in one of the threads.
        frozen: for a view through the frozen part.
        rest: for a view through the rest, without gradients.
    """

    decode: float
    frozen: float
    rest: float


@dataclass(frozen=True)
class Estimate:
    """What a run is about to take.

    Attributes:
        work: what there is to do.
        seconds: the least and the most that it may take, at the speed measured; fits of heads are not in it.
        kept: bytes of outputs of the frozen part that are kept.
        place: folder where; None: memory.
    """

    work: Work
    seconds: tuple[float, float]
    kept: int
    place: Path | None

    def __str__(self) -> str:
        """All of it in one line."""
        low, high = map(_told, self.seconds)
        room = f"{_size(self.kept)} kept in {self.place or 'memory'}" if self.kept else "nothing kept"
        return (
            f"{self.work.images} images, {self.work.frozen} views for the frozen tower: "
            f"about {low} to {high} as quick as the machine is now; {room}"
        )


def images_left(recipe: Recipe, images: RunImages, state: State) -> tuple[int, int]:
    """How many images are still to be trained on, and how many to be scored, over all models and epochs."""

    def trained(count: int) -> int:
        whole = count * recipe.epochs
        return whole if recipe.steps is None else min(whole, recipe.steps * recipe.batch_size)

    left = max(0, trained(len(images.training)) - state.step * recipe.batch_size)
    if images.folds:
        if state.out_of_fold is None:
            left += sum(trained(len(fold.kept)) for fold in images.folds)
        return left, len(images.validation)
    epochs = max(1, recipe.epochs + 1 - state.epoch)
    return left, epochs * len(images.validation) + len(images.calibration)


def estimate(work: Work, speed: Speed, *, threads: int, kept: int, place: Path | None) -> Estimate:
    """How long work takes.

    At best, images are decoded while the tower works, on processors of their own; at worst, the two share
    them. Gradients take :data:`BACKWARD` times what scoring does.

    Args:
        work: what there is to do.
        speed: how long its parts take.
        threads: that decode.
        kept: bytes that are kept.
        place: where; see :class:`Estimate`.
    """
    tower, decoding = work.frozen * speed.frozen, work.decoded * speed.decode
    low, high = (
        read + speed.rest * (work.scored + backward * work.trained)
        for read, backward in zip((max(tower, decoding / threads), tower + decoding), BACKWARD, strict=True)
    )
    return Estimate(work, (low, high), kept, place)


def measure(
    network: Network,
    frozen: FrozenPass,
    decode: Callable[[int], bool],
    images: int,
    scales: Sequence[int],
) -> Speed:
    """Measure how quick this machine is just now, in a few seconds.

    Args:
        network: the network.
        frozen: its frozen part.
        decode: reads an image by its index; whether that could be read.
        images: so many there are.
        scales: number of the scale of each view that an image is scored by.
    """
    device = frozen.device
    count = torch.get_num_threads() if device.type == "cpu" else images_at_once(device, 1)
    side = network.size
    views: list[Pixels] = [np.zeros((side, side, 3), dtype=np.uint8)] * count
    with torch.inference_mode():
        trunk = frozen.trunk(views[:1])
        of_images = trunk[None].expand(count, len(scales), *trunk.shape[1:])

    def rest() -> None:
        with torch.inference_mode():
            network.tail(of_images, scales).cpu()

    return Speed(
        decode=_decoding(decode, images),
        frozen=_timed(lambda: frozen.rows(views)) / count,
        rest=_timed(rest) / (count * len(scales)),
    )


def require_room(size: int, place: Path) -> None:
    """Refuse to keep more than there is room for: else a run of hours would end at a full disk.

    Args:
        size: bytes to be kept.
        place: folder where.

    Raises:
        UsageError: if the disk does not hold them.
    """
    free = shutil.disk_usage(place).free
    if size > free:
        raise UsageError(
            f"cache: {_size(size)} of tokens do not fit into {place}, where {_size(free)} are free; use "
            "fewer copies, another --cache-folder or --cache none"
        )


def _decoding(decode: Callable[[int], bool], images: int) -> float:
    """Seconds for an image, by some of all that can be read."""
    begin, read = time.perf_counter(), 0
    for index in range(0, images, max(1, images // _DECODED)):
        read += decode(index)
        if time.perf_counter() - begin > _SECONDS:
            break
    return (time.perf_counter() - begin) / max(1, read)


def _timed(act: Callable[[], object]) -> float:
    """The least time that something takes in some tries: what comes first is slow, and others disturb."""
    begin = time.perf_counter()
    times: list[float] = []
    while not times or (len(times) < 5 and time.perf_counter() - begin < _SECONDS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return min(times)


def _told(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 1 << 28 else f"{size / 2**20:.0f} MiB"
