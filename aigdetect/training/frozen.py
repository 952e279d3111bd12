"""What the frozen part of a network makes of views: all that a run needs of them, as one row of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aigdetect.images.views import Pixels
from aigdetect.model.base import Network
from aigdetect.model.passes import single_threads

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
