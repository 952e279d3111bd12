"""Outputs of the frozen trunk for copies of images: computed anew each time, or kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from aigdetect.data.dataset import batched
from aigdetect.images.views import Pixels
from aigdetect.training.distributed import Group
from aigdetect.training.frozen import FrozenPass, images_at_once, to_device
from aigdetect.training.token_store import Table


class ReadViews(Protocol):
    """Copies of samples, through all views ``(V, S, S, 3)``; None for a sample that cannot be read."""

    def __call__(self, wanted: Iterable[tuple[int, int | None]]) -> Iterator[Pixels | None]:
        """One item for each index and copy, in order; copy None is the plain one."""


class Source(Protocol):
    """Trunk outputs of batches of samples.

    In turn 0 every sample shows one of its copies, in turn 1 the next one, and so on: in each turn all copies
    are met, and after as many turns as there are copies every sample has shown each. Which copy a sample
    begins with is its own, whatever the others are.
    """

    @property
    def indices(self) -> Tensor:
        """Indices of the samples that batches may be made of, int64, ascending; the same in all processes."""

    def batches(self, batches: Sequence[Tensor], turn: int) -> Iterator[tuple[Tensor, list[int]]]:
        """Go through batches, of each of which this process gets its part.

        Args:
            batches: indices of the samples of each batch, int64.
            turn: from 0 on.

        Yields:
            trunk outputs ``(B, V, ...)`` and the indices of the samples they belong to; ``B`` may be 0.
        """

    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """What the untrained network's head reads of each view of one copy of samples, ``(B, V, ...)``."""


class Computed:
    """Every view is decoded, augmented and run through the trunk when it is wanted.

    Args:
        views: reads them.
        frozen: the frozen part.
        copies: copies of each sample.
        begins: for each sample a number that says with which copy it begins.
        group: the processes.
    """

    def __init__(
        self,
        views: ReadViews,
        frozen: FrozenPass,
        copies: Sequence[int | None],
        begins: Sequence[int],
        group: Group,
    ) -> None:
        self._begins = begins
        self._views = views
        self._frozen = frozen
        self._copies = copies
        self._group = group

    @property
    def indices(self) -> Tensor:
        """See :attr:`Source.indices`."""
        return torch.arange(len(self._begins))

    def batches(self, batches: Sequence[Tensor], turn: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`; a sample that cannot be read makes its batch smaller."""
        count = len(self._copies)
        return self._read(batches, lambda index: (turn + self._begins[index]) % count)

    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.features`."""
        for trunk, indices in self._read(batches, lambda _: copy):
            size = images_at_once(self._frozen.device, trunk.shape[1])
            parts = [self._frozen.features(part.flatten(0, 1)) for part in torch.split(trunk, size)]
            yield by_image(torch.cat(parts), len(indices)), indices

    def _read(
        self, batches: Sequence[Tensor], copy_of: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, list[int]]]:
        # no list of all of them: an epoch may be long
        wanted = ((index, copy_of(index)) for batch in batches for index in self._own(batch))
        views = self._views((index, self._copies[copy]) for index, copy in wanted)
        for part in map(self._own, batches):
            of_part = zip(part, islice(views, len(part)), strict=True)
            readable = [(index, of_image) for index, of_image in of_part if of_image is not None]
            size = images_at_once(self._frozen.device, len(readable[0][1])) if readable else 1
            runs = [
                by_image(self._frozen.trunk([view for of_image in run for view in of_image]), len(run))
                for run in batched((of_image for _, of_image in readable), size)
            ]
            if not runs:
                runs = [torch.empty((0, 1, *self._frozen.shape.trunk), device=self._frozen.device)]
            yield torch.cat(runs), [index for index, _ in readable]

    def _own(self, batch: Tensor) -> list[int]:
        """Indices of a batch's part that is this process's."""
        return _part(batch, self._group).tolist()


class Kept:
    """Every copy of every sample was run through the frozen part once.

    Args:
        tables: rows, for each copy those of each view.
        keys: key of each sample in the tables; None for one that cannot be read.
        begins: for each sample a number that says with which copy it begins.
        frozen: the frozen part.
        group: the processes.
    """

    def __init__(
        self,
        tables: Sequence[Sequence[Table]],
        keys: Sequence[bytes | None],
        begins: Sequence[int],
        frozen: FrozenPass,
        group: Group,
    ) -> None:
        self._tables = tables
        self._keys = keys
        self._begins = begins
        self._shape = frozen.shape
        self._device = frozen.device
        self._group = group
        every = [table for of_copy in tables for table in of_copy]
        self._indices = torch.tensor(
            [i for i, key in enumerate(keys) if key is not None and all(key in table for table in every)],
            dtype=torch.int64,
        )

    @property
    def indices(self) -> Tensor:
        """See :attr:`Source.indices`: those that could be read."""
        return self._indices

    def batches(self, batches: Sequence[Tensor], turn: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`."""
        count = len(self._tables)
        columns, shape = self._shape.trunk_columns, self._shape.trunk
        return self._read(batches, lambda index: (turn + self._begins[index]) % count, columns, shape)

    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.features`."""
        return self._read(batches, lambda _: copy, self._shape.feature_columns, self._shape.features)

    def _read(
        self,
        batches: Sequence[Tensor],
        copy_of: Callable[[int], int],
        columns: slice,
        shape: tuple[int, ...],
    ) -> Iterator[tuple[Tensor, list[int]]]:
        for batch in batches:
            part = _part(batch, self._group).tolist()
            rows = [
                table.row(key, columns)
                for index in part
                if (key := self._keys[index]) is not None
                for table in self._tables[copy_of(index)]
            ]
            flat = torch.stack(rows) if rows else torch.empty(0, torch.Size(shape).numel())
            yield to_device(by_image(flat.view(-1, *shape), len(part)), self._device).float(), part


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

    def batches(self, batches: Sequence[Tensor], turn: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.batches`."""
        return self._source.batches(batches, turn)

    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`Source.features`."""
        return self._source.features(batches, copy)


def by_image(rows: Tensor, images: int) -> Tensor:
    """Rows of all views of so many images ``(B * V, ...)`` to ``(B, V, ...)``."""
    return rows.view(images, -1 if images else 1, *rows.shape[1:])


def _part(batch: Tensor, group: Group) -> Tensor:
    return batch[group.rank :: group.size]
