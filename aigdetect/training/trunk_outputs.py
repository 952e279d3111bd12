"""What the frozen trunk makes of images: brought through it anew each time, or once and kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy as shallow_copy
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from aigdetect.data.dataset import batched
from aigdetect.images.views import Pixels
from aigdetect.model.base import Network
from aigdetect.model.passes import single_threads
from aigdetect.training.distributed import Group
from aigdetect.training.token_store import Table

#: views per pass: a GPU is kept busy by many; of a CPU, eight images keep the memory small
_GPU_VIEWS = 256
_CPU_IMAGES = 8


def images_at_once(device: torch.device, views: int) -> int:
    """How many images of so many views each it is best to bring through a network together."""
    return _CPU_IMAGES if device.type == "cpu" else max(1, _GPU_VIEWS // views)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU's on a device; a GPU fetches it by itself while the CPU goes on."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@dataclass(frozen=True)
class RowShape:
    """What stands in a row: the trunk's output, and what the untrained network's head reads.

    The two overlap where the head reads class tokens of blocks before the first adapted one.

    Attributes:
        trunk: shape of the trunk's output for one view.
        features: shape of what the head reads of one view.
        first_feature: where that begins in the row.
    """

    trunk: tuple[int, ...]
    features: tuple[int, ...]
    first_feature: int

    @property
    def width(self) -> int:
        """Numbers in a row."""
        ends: list[int] = [self.trunk_columns.stop, self.feature_columns.stop]
        return max(ends)

    @property
    def trunk_columns(self) -> slice:
        """Where the trunk's output stands."""
        return slice(0, torch.Size(self.trunk).numel())

    @property
    def feature_columns(self) -> slice:
        """Where that which the head reads stands."""
        return slice(self.first_feature, self.first_feature + torch.Size(self.features).numel())


class FrozenPass:
    """Brings views through the frozen part of a network that has not been trained yet.

    On a CPU every view goes by itself, one on each of the threads that torch would use for one: that is as
    quick as a batch, and a row does not depend on which others are made beside it.

    Attributes:
        dtype: of the rows: bfloat16 where the tower multiplies in it, else float32, unless the network says.
        shape: of a row.

    Args:
        network: its bypasses must still add nothing.
        precision: in which the tower multiplies.
    """

    def __init__(self, network: Network, precision: str) -> None:
        self._network = network
        self._device = network.head.weight.device
        self._pool: ThreadPoolExecutor | None = None
        self.dtype = network.row_dtype or (torch.bfloat16 if precision == "bfloat16" else torch.float32)
        side = network.size
        with torch.inference_mode():
            trunk = self.trunk([np.zeros((side, side, 3), dtype=np.uint8)])
            features = network.eval().untrained(trunk)
        first = trunk[0].numel() - network.overlap(features)
        self.shape = RowShape(tuple(trunk.shape[1:]), tuple(features.shape[1:]), first)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.shape.width * self.dtype.itemsize

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._device

    @torch.inference_mode()
    def trunk(self, views: Sequence[Pixels] | Pixels) -> Tensor:
        """Views ``(B, S, S, 3)`` uint8 to the trunk's output ``(B, ...)``, on the device."""
        return self._network.trunk(to_device(torch.from_numpy(np.asarray(views)), self._device))

    @torch.inference_mode()
    def features(self, trunk: Tensor) -> Tensor:
        """Outputs of :meth:`trunk` to what the untrained network's head reads."""
        return self._network.untrained(trunk)

    def rows(self, views: Sequence[Pixels]) -> Tensor:
        """Views ``(S, S, 3)`` uint8 to rows ``(B, width)`` on the CPU."""
        if self._device.type != "cpu":
            return self._rows(views)
        if torch.get_num_threads() == 1:
            return torch.cat([self._rows([view]) for view in views])
        if self._pool is None:
            self._pool = single_threads(torch.get_num_threads())
        return torch.cat(list(self._pool.map(self._rows, [[view] for view in views])))

    @torch.inference_mode()
    def _rows(self, views: Sequence[Pixels]) -> Tensor:
        trunk = self.trunk(views)
        flat = trunk.flatten(1)
        if self.shape.width > flat.shape[1]:
            overlap = flat.shape[1] - self.shape.first_feature
            flat = torch.cat([flat, self.features(trunk).flatten(1)[:, overlap:]], dim=1)
        return flat.to("cpu", self.dtype)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


class TrunkOutputs(ABC):
    """Outputs of the trunk for copies of samples.

    In turn 0 every sample shows one of its copies, in turn 1 the next one, and so on: in each turn all copies
    are met, and after as many turns as there are copies every sample has shown each. Which copy a sample
    begins with is its own, whatever the others are.

    Attributes:
        indices: of the samples that batches may be made of, int64, ascending; the same in all processes.
        copies: how many there are of each sample.

    Args:
        indices: see above.
        copies: see above.
        begins: for each sample a number that says with which copy it begins.
        frozen: the frozen part.
        group: the processes.
    """

    def __init__(
        self, indices: Tensor, copies: int, begins: Sequence[int], frozen: FrozenPass, group: Group
    ) -> None:
        self.indices, self.copies = indices, copies
        self._begins, self._frozen, self._group = begins, frozen, group

    def only(self, chosen: Tensor) -> TrunkOutputs:
        """The same for some of the samples.

        Args:
            chosen: indices of the samples, int64; those of which there is no output are passed over.
        """
        some = shallow_copy(self)
        some.indices = self.indices[torch.isin(self.indices, chosen)]
        return some

    def batches(self, batches: Sequence[Tensor], turn: int) -> Iterator[tuple[Tensor, list[int]]]:
        """Go through batches, of each of which this process gets its part.

        Args:
            batches: indices of the samples of each batch, int64.
            turn: from 0 on.

        Yields:
            trunk outputs ``(B, V, ...)`` and the indices of the samples they belong to; ``B`` may be 0, and a
            sample that cannot be read makes its batch smaller.
        """
        return self._trunk(batches, lambda index: (turn + self._begins[index]) % self.copies)

    @abstractmethod
    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """What the untrained network's head reads of each view of one copy of samples, ``(B, V, ...)``."""

    @abstractmethod
    def _trunk(
        self, batches: Sequence[Tensor], copy_of: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, list[int]]]:
        """As :meth:`batches`, of the copy of each sample that ``copy_of`` says."""

    def _own(self, batch: Tensor) -> list[int]:
        """Indices of a batch's part that is this process's."""
        own: list[int] = batch[self._group.rank :: self._group.size].tolist()
        return own


class ComputedOutputs(TrunkOutputs):
    """Every view is decoded, augmented and run through the trunk when it is wanted.

    Args:
        views: from indices and copies, None for the plain one, to all views of each ``(V, S, S, 3)`` in their
            order; None for a sample that cannot be read.
        frozen: the frozen part.
        copies: copies of each sample.
        begins: as for :class:`TrunkOutputs`.
        group: the processes.
    """

    def __init__(
        self,
        views: Callable[[Iterable[tuple[int, int | None]]], Iterator[Pixels | None]],
        frozen: FrozenPass,
        copies: Sequence[int | None],
        begins: Sequence[int],
        group: Group,
    ) -> None:
        super().__init__(torch.arange(len(begins)), len(copies), begins, frozen, group)
        self._views, self._numbers = views, copies

    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`TrunkOutputs.features`."""
        for trunk, indices in self._trunk(batches, lambda _: copy):
            size = images_at_once(self._frozen.device, trunk.shape[1])
            parts = [self._frozen.features(part.flatten(0, 1)) for part in torch.split(trunk, size)]
            yield by_image(torch.cat(parts), len(indices)), indices

    def _trunk(
        self, batches: Sequence[Tensor], copy_of: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, list[int]]]:
        # no list of all of them: an epoch may be long
        wanted = ((index, copy_of(index)) for batch in batches for index in self._own(batch))
        views = self._views((index, self._numbers[copy]) for index, copy in wanted)
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


class KeptOutputs(TrunkOutputs):
    """Every copy of every sample was run through the frozen part once.

    Args:
        tables: rows, for each copy those of each view.
        keys: key of each sample in the tables; None for one that cannot be read.
        begins: as for :class:`TrunkOutputs`.
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
        every = [table for of_copy in tables for table in of_copy]
        kept = [i for i, key in enumerate(keys) if key is not None and all(key in table for table in every)]
        super().__init__(torch.tensor(kept, dtype=torch.int64), len(tables), begins, frozen, group)
        self._tables, self._keys = tables, keys

    def features(self, batches: Sequence[Tensor], copy: int) -> Iterator[tuple[Tensor, list[int]]]:
        """See :meth:`TrunkOutputs.features`."""
        shape = self._frozen.shape
        return self._read(batches, lambda _: copy, shape.feature_columns, shape.features)

    def _trunk(
        self, batches: Sequence[Tensor], copy_of: Callable[[int], int]
    ) -> Iterator[tuple[Tensor, list[int]]]:
        shape = self._frozen.shape
        return self._read(batches, copy_of, shape.trunk_columns, shape.trunk)

    def _read(
        self,
        batches: Sequence[Tensor],
        copy_of: Callable[[int], int],
        columns: slice,
        shape: tuple[int, ...],
    ) -> Iterator[tuple[Tensor, list[int]]]:
        for part in map(self._own, batches):
            rows = [
                table.row(key, columns)
                for index in part
                if (key := self._keys[index]) is not None
                for table in self._tables[copy_of(index)]
            ]
            flat = torch.stack(rows) if rows else torch.empty(0, torch.Size(shape).numel())
            yield to_device(by_image(flat.view(-1, *shape), len(part)), self._frozen.device).float(), part


def by_image(rows: Tensor, images: int) -> Tensor:
    """Rows of all views of so many images ``(B * V, ...)`` to ``(B, V, ...)``."""
    return rows.view(images, -1 if images else 1, *rows.shape[1:])
