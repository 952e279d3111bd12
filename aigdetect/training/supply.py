"""What a run reads through the frozen trunk: the training images, and those held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aigdetect.data.dataset import Reading, training_views
from aigdetect.data.layouts import Sample
from aigdetect.images.views import Pixels
from aigdetect.model.network import MoleNetwork
from aigdetect.training.distributed import Group
from aigdetect.training.held_out import HeldOut
from aigdetect.training.recipe import Recipe
from aigdetect.training.source import Source, open_source
from aigdetect.training.watching import Watch


@dataclass(frozen=True)
class Supply:
    """Trunk outputs.

    Attributes:
        source: of the training images.
        held_out: of those held out, with their logits.
    """

    source: Source
    held_out: HeldOut


@contextmanager
def open_supply(
    network: MoleNetwork,
    recipe: Recipe,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    *,
    folder: Path,
    workers: int,
    watch: Watch,
    group: Group,
) -> Iterator[Supply]:
    """Open what the run reads, and compute what is kept of it.

    Args:
        network: its trunk is used.
        recipe: says what is kept where, and how images are augmented.
        training: samples to learn from.
        validation: samples held out.
        folder: where token files may lie.
        workers: threads that decode.
        watch: who is told.
        group: the processes.

    Raises:
        DataError: if too many images cannot be read, or there is none of one class.
        UsageError: if the tokens do not fit where they are to be kept.
    """
    size = network.tower.image_size
    reading = Reading.of("training", training, workers, watch.unread)

    def trunk(views: Sequence[Pixels] | Pixels) -> Tensor:
        return network.trunk(torch.from_numpy(np.asarray(views)).to(network.head.weight.device))

    def views(indices: Iterable[int], copies: Sequence[int]) -> Iterator[list[Pixels] | None]:
        function = partial(
            training_views,
            copies=copies,
            size=size,
            augmentation=recipe.augmentation,
            seed=recipe.seed,
            views=recipe.views,
        )
        return reading.each(function, (training[index] for index in indices))

    example = trunk([np.zeros((size, size, 3), dtype=np.uint8)])
    held_out = HeldOut(
        network,
        validation,
        recipe.views,
        trunk,
        example,
        Reading.of("validation", validation, workers, watch.unread),
        group,
        stage=watch.stage,
        advance=watch.advance,
    )
    with open_source(
        count=len(training),
        copies=copies_kept(recipe),
        recipe=recipe,
        views=views,
        trunk=trunk,
        example=example,
        folder=folder,
        group=group,
        stage=watch.stage,
        advance=watch.advance,
    ) as source:
        yield Supply(source, held_out)


def copies_kept(recipe: Recipe) -> int:
    """Augmented copies of each image that are worth keeping: epochs beyond them take them in turn."""
    fitted = recipe.head_penalty is not None
    return recipe.copies if fitted else min(recipe.copies, recipe.epochs)
