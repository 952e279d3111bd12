"""How views go through a network: each by itself on the processors of a CPU, in filled batches elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigdetect.images.views import Pixels

#: views ``(B, S, S, 3)`` uint8, and the number ``(B,)`` int64 of each one's scale, to ``(B, C)`` float32
Network = Callable[[Tensor, Tensor], Tensor]


#: a row for each view, float32
Outputs = NDArray[np.float32]


class Passes(Protocol):
    """A way to bring views through a network."""

    @property
    def batch_size(self) -> int:
        """Views that it is best to hand over at once; may shrink."""

    def outputs(self, views: Sequence[Pixels], scales: Sequence[int]) -> Outputs:
        """What the network says of views ``(S, S, 3)`` uint8: a row ``(C,)`` for each, in order.

        The same view at the same scale gives the same row bit for bit, whatever the others are.

        Args:
            views: views of any images.
            scales: number of the scale of each (:func:`aigdetect.images.views.scales_of`).
        """


class OneByOne:
    """Every view by itself, several at a time: one on each of the threads that torch would use for one.

    A single view keeps a CPU's matrix kernels as busy as a batch does, needs no filling up, and fits into a
    core's cache; and views side by side lose nothing to waiting for each other, as threads on one view do.

    Attributes:
        batch_size: views to hand over at once.

    Args:
        network: on the CPU; run by several threads at once.
        batch_size: see the attribute.
    """

    def __init__(self, network: Network, batch_size: int) -> None:
        self._network = network
        self.batch_size = batch_size
        self._pool: ThreadPoolExecutor | None = None

    def outputs(self, views: Sequence[Pixels], scales: Sequence[int]) -> Outputs:
        """See :meth:`Passes.outputs`."""
        if torch.get_num_threads() == 1:
            return _rows(map(self._row, views, scales))
        if self._pool is None:
            self._pool = single_threads(torch.get_num_threads())
        return _rows(self._pool.map(self._row, views, scales))

    def _row(self, view: Pixels, scale: int) -> Outputs:
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(view))[None]
            return self._network(tensor, torch.tensor([scale]))[0].float().numpy()


def _rows(rows: Iterable[Outputs]) -> Outputs:
    made = list(rows)
    return np.stack(made) if made else np.empty((0, 1), dtype=np.float32)


def single_threads(count: int) -> ThreadPoolExecutor:
    """Threads in each of which torch works with a single thread."""
    started = threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread takes over the common number when it first asks, and only then
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="score", initializer=start)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    # the setting is each thread's own, but threads yet to come would inherit the last one made
    torch.set_num_threads(count)
    return pool


def half(batch_size: int, device: torch.device) -> int:
    """Half of a batch that a device had no memory for; what it keeps of the attempt is given back.

    Args:
        batch_size: two or more.
        device: where it was tried.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return batch_size // 2


class Batches:
    """Batches filled up to one size, for a device that works on its own while the next one is made ready.

    Attributes:
        batch_size: views per pass; halved when the device runs out of memory.

    Args:
        network: on the device.
        device: where it is.
        batch_size: see the attribute.
    """

    def __init__(self, network: Network, device: torch.device, batch_size: int) -> None:
        self._network = network
        self._device = device
        self.batch_size = batch_size

    def outputs(self, views: Sequence[Pixels], scales: Sequence[int]) -> Outputs:
        """See :meth:`Passes.outputs`.

        Raises:
            torch.OutOfMemoryError: if there is no memory even for a single view.
        """
        while True:
            try:
                return self._all(views, scales)
            except torch.OutOfMemoryError:
                if self.batch_size == 1:
                    raise
            # all of them again: results of two sizes in one call would not be comparable bit for bit
            self.batch_size = half(self.batch_size, self._device)

    def _all(self, views: Sequence[Pixels], scales: Sequence[int]) -> Outputs:
        outputs = []
        with torch.inference_mode():
            for first in range(0, len(views), self.batch_size):
                batch = self._filled(views[first : first + self.batch_size])
                of_batch = torch.zeros(self.batch_size, dtype=torch.int64)
                of_batch[: len(scales[first : first + self.batch_size])] = torch.tensor(
                    scales[first : first + self.batch_size]
                )
                # returns before the device is done; nothing waits for it until all batches are on their way
                outputs.append(
                    self._network(batch.to(self._device, non_blocking=True), of_batch.to(self._device))
                )
            rows = torch.cat(outputs)[: len(views)].float().cpu() if outputs else torch.empty(0, 1)
        return rows.numpy()

    def _filled(self, views: Sequence[Pixels]) -> Tensor:
        """Views and black ones ``(batch_size, S, S, 3)``, in memory that a GPU can fetch from by itself.

        torch does not give that memory to the next batch before the device has fetched this one.
        """
        batch = torch.zeros(
            (self.batch_size, *views[0].shape), dtype=torch.uint8, pin_memory=self._device.type == "cuda"
        )
        np.stack(views, out=batch.numpy()[: len(views)])
        return batch
