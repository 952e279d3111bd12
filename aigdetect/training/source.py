"""Outputs of the frozen trunk for the training loop: computed anew, or kept between epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from aigdetect.data.dataset import batched
from aigdetect.images.views import Pixels
from aigdetect.training.store import TokenStore, place_for

#: images per pass through the frozen trunk
TRUNK_BATCH = 8

Trunk = Callable[[Sequence[Pixels]], Tensor]


class ReadViews(Protocol):
    """Views of samples by index, for the copies wanted; None for a sample that cannot be read."""

    def __call__(self, indices: Sequence[int], copies: Sequence[int]) -> Iterator[list[Pixels] | None]:
        """One item per index, in order."""


class Source(Protocol):
    """Batches of trunk outputs with the indices of their samples."""

    def batches(self, order: Tensor, copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """One pass over the samples.

        Args:
            order: permutation of ``count`` places, int64.
            copy: number of the augmented copy.

        Yields:
            trunk outputs ``(B, ...)`` and the indices of the samples they belong to.
        """

    @property
    def count(self) -> int:
        """How many samples a pass goes over."""


def batch_sizes(count: int, largest: int) -> list[int]:
    """Sizes of the batches of an epoch: as few as needed, and as equal as can be.

    A last batch of what happens to be left over, perhaps a single image, would shake the weights as much as a
    full one.
    """
    batches = math.ceil(count / largest)
    return [(count + index) // batches for index in range(batches)]


class Computed:
    """Every view is decoded, augmented and run through the trunk when it is wanted."""

    def __init__(self, count: int, views: ReadViews, trunk: Trunk, batch_size: int) -> None:
        self.count = count
        self._views = views
        self._trunk = trunk
        self._batch_size = batch_size

    def batches(self, order: Tensor, copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`; samples that cannot be read are left out."""
        indices = order.tolist()
        readable = (
            (views[0], index)
            for index, views in zip(indices, self._views(indices, [copy]), strict=True)
            if views is not None
        )
        for size in batch_sizes(len(indices), self._batch_size):
            batch = list(islice(readable, size))
            if not batch:  # some could not be read
                return
            views = batched((view for view, _ in batch), TRUNK_BATCH)
            yield torch.cat([self._trunk(part) for part in views]), [index for _, index in batch]


class Kept:
    """Every copy of every sample was run through the trunk once; epochs take the copies in turn."""

    def __init__(
        self, store: TokenStore, indices: Sequence[int], copies: int, batch_size: int, device: torch.device
    ) -> None:
        self._store = store
        self._indices = torch.tensor(indices)
        self._copies = copies
        self._batch_size = batch_size
        self._device = device

    @property
    def count(self) -> int:
        """See :attr:`Source.count`: those that could be read."""
        return len(self._indices)

    def batches(self, order: Tensor, copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`."""
        for places in torch.split(order, batch_sizes(len(order), self._batch_size)):
            chosen = self._indices[places]
            rows = chosen * self._copies + copy % self._copies
            yield self._store[rows].to(self._device), chosen.tolist()


@contextmanager
def open_source(
    *,
    count: int,
    copies: int,
    batch_size: int,
    cache: str,
    views: ReadViews,
    trunk: Trunk,
    example: Tensor,
    folder: Path,
    stage: Callable[[str, int], None],
    advance: Callable[[int], None],
) -> Generator[Source, None, None]:
    """The source that the recipe's cache asks for.

    Args:
        count: number of training samples.
        copies: augmented copies of each.
        batch_size: images per step.
        cache: ``auto``, ``memory``, ``disk`` or ``none``.
        views: reads views.
        trunk: runs views through the frozen trunk.
        example: trunk output of one view ``(1, ...)``, for its shape, dtype and device.
        folder: where a token file may lie.
        stage: told that the copies of so many images are being computed, to be kept.
        advance: told of every image whose copies are kept.

    Raises:
        UsageError: if the tokens do not fit where they are to be kept.
    """
    shape = tuple(example.shape[1:])
    keep, place = place_for(cache, count * copies, shape, example.dtype, folder)
    if not keep:
        yield Computed(count, views, trunk, batch_size)
        return
    store = TokenStore(count * copies, shape, example.dtype, folder=place)
    stage(f"frozen blocks on {copies} views of each image", count)
    try:
        indices = _fill(store, count, copies, views, trunk, advance)
        yield Kept(store, indices, copies, batch_size, example.device)
    finally:
        store.close()


def _fill(
    store: TokenStore,
    count: int,
    copies: int,
    views: ReadViews,
    trunk: Trunk,
    advance: Callable[[int], None],
) -> list[int]:
    """Fill the store, ``copies`` rows per sample in the order of the samples.

    Returns:
        indices of the samples that could be read.
    """
    readable = []
    for index, of_sample in enumerate(views(range(count), range(copies))):
        if of_sample is not None:
            for first in range(0, copies, TRUNK_BATCH):
                part = trunk(of_sample[first : first + TRUNK_BATCH]).cpu()
                row = index * copies + first
                store[row : row + len(part)] = part
            readable.append(index)
        advance(1)
    return readable
