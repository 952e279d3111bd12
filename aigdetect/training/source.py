"""Outputs of the frozen trunk for the training loop: computed anew, or kept between epochs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from aigdetect.data.dataset import batched
from aigdetect.images.views import Pixels
from aigdetect.training.distributed import Group
from aigdetect.training.recipe import Recipe
from aigdetect.training.store import TokenStore, place_for

#: images per pass through the frozen trunk
TRUNK_BATCH = 8

Trunk = Callable[[Sequence[Pixels] | Pixels], Tensor]


class ReadViews(Protocol):
    """Views of samples by index, for the copies wanted; None for a sample that cannot be read."""

    def __call__(self, indices: Iterable[int], copies: Sequence[int]) -> Iterator[list[Pixels] | None]:
        """One item per index, in order."""


class Source(Protocol):
    """Trunk outputs of batches of samples."""

    @property
    def indices(self) -> Tensor:
        """Indices of the samples that batches may be made of, int64, ascending; the same in all processes."""

    def batches(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """Go through batches, of each of which this process gets its part.

        Args:
            batches: indices of the samples of each batch, int64.
            copy: number of the augmented copy.

        Yields:
            trunk outputs ``(B, ...)`` and the indices of the samples they belong to; ``B`` may be 0.
        """


class Computed:
    """Every view is decoded, augmented and run through the trunk when it is wanted."""

    def __init__(self, count: int, views: ReadViews, trunk: Trunk, example: Tensor, group: Group) -> None:
        self._count = count
        self._views = views
        self._trunk = trunk
        self._empty = example[:0]
        self._group = group

    @property
    def indices(self) -> Tensor:
        """See :attr:`Source.indices`."""
        return torch.arange(self._count)

    def batches(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`; a sample that cannot be read makes its batch smaller."""
        # no list of all of them: an epoch may be long
        views = self._views((index for batch in batches for index in self._own(batch)), [copy])
        for part in map(self._own, batches):
            of_part = zip(part, islice(views, len(part)), strict=True)
            readable = [(index, view[0]) for index, view in of_part if view is not None]
            runs = [self._trunk(run) for run in batched((view for _, view in readable), TRUNK_BATCH)]
            yield torch.cat(runs) if runs else self._empty, [index for index, _ in readable]

    def _own(self, batch: Tensor) -> list[int]:
        """Indices of a batch's part that is this process's."""
        return _part(batch, self._group).tolist()


class Kept:
    """Every copy of every sample was run through the trunk once; epochs take the copies in turn."""

    def __init__(
        self, store: TokenStore, indices: Tensor, copies: int, device: torch.device, group: Group
    ) -> None:
        self._store = store
        self._indices = indices
        self._copies = copies
        self._device = device
        self._group = group

    @property
    def indices(self) -> Tensor:
        """See :attr:`Source.indices`: those that could be read."""
        return self._indices

    def batches(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`."""
        for batch in batches:
            part = _part(batch, self._group)
            rows = part * self._copies + copy % self._copies
            yield self._store[rows].to(self._device), part.tolist()


class Part:
    """Some of the samples of a source.

    Args:
        source: the source.
        chosen: indices of the samples, int64; those that the source does not have are passed over.
    """

    def __init__(self, source: Source, chosen: Tensor) -> None:
        self._source = source
        self._indices = source.indices[torch.isin(source.indices, chosen)]

    @property
    def indices(self) -> Tensor:
        """See :attr:`Source.indices`."""
        return self._indices

    def batches(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`."""
        return self._source.batches(batches, copy)


@contextmanager
def open_source(
    *,
    count: int,
    copies: int,
    recipe: Recipe,
    views: ReadViews,
    trunk: Trunk,
    example: Tensor,
    folder: Path,
    group: Group,
    stage: Callable[[str, int], None],
    advance: Callable[[int], None],
) -> Generator[Source, None, None]:
    """The source that the recipe's cache asks for.

    Args:
        count: number of training samples.
        copies: augmented copies of each.
        recipe: says what is kept where.
        views: reads views.
        trunk: runs views through the frozen trunk.
        example: trunk output of one view ``(1, ...)``, for its shape, dtype and device.
        folder: where token files may lie.
        group: the processes.
        stage: told that the copies of so many images are being computed, to be kept.
        advance: told of every image whose copies are kept.

    Raises:
        UsageError: if the tokens do not fit where they are to be kept.
    """
    size = count * copies * example.numel() * example.dtype.itemsize
    keep, place = place_for(recipe.cache, recipe.cache_budget, size, folder, alone=group.alone)
    if not keep:
        yield Computed(count, views, trunk, example, group)
        return
    store = TokenStore(count, copies, tuple(example.shape[1:]), example.dtype, folder=place, group=group)
    try:
        own = group.run(count)
        stage(f"frozen blocks on {copies} views of each image", len(own))
        readable = group.rows_of_all(_fill(store, own, copies, views, trunk, advance))
        store.share()
        yield Kept(store, readable, copies, example.device, group)
    finally:
        store.close()


def _fill(
    store: TokenStore,
    samples: range,
    copies: int,
    views: ReadViews,
    trunk: Trunk,
    advance: Callable[[int], None],
) -> Tensor:
    """Fill the store, ``copies`` rows per sample in the order of the samples.

    Returns:
        indices of the samples that could be read, int64.
    """
    readable = []
    for index, of_sample in zip(samples, views(samples, range(copies)), strict=True):
        if of_sample is not None:
            for first in range(0, copies, TRUNK_BATCH):
                part = trunk(of_sample[first : first + TRUNK_BATCH]).cpu()
                row = index * copies + first
                store[row : row + len(part)] = part
            readable.append(index)
        advance(1)
    return torch.tensor(readable, dtype=torch.int64)


def _part(batch: Tensor, group: Group) -> Tensor:
    return batch[group.rank :: group.size]
