"""Logits of the held-out images: read once if what the frozen trunk makes of them can be kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from aigdetect.data.dataset import Reading, batched, validation_views
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.images.views import Pixels
from aigdetect.model.network import MoleNetwork
from aigdetect.training.distributed import Group
from aigdetect.training.source import TRUNK_BATCH, Trunk

#: outputs of the frozen trunk are kept in memory up to this many bytes
KEPT_BYTES = 2 << 30


class HeldOut:
    """The held-out images, each process with its own part of them.

    Args:
        network: scores them.
        samples: all of them.
        views: names of the views of each.
        trunk: runs views through the frozen trunk.
        example: trunk output of one view ``(1, ...)``.
        reading: reads images.
        group: the processes.
        stage: told that so many images are being read.
        advance: told of images that were read.

    Raises:
        DataError: if there is none of one class.
    """

    def __init__(
        self,
        network: MoleNetwork,
        samples: Sequence[Sample],
        views: Sequence[str],
        trunk: Trunk,
        example: Tensor,
        reading: Reading,
        group: Group,
        stage: Callable[[str, int], None],
        advance: Callable[[int], None],
    ) -> None:
        self._network = network
        self._views = views
        self._trunk = trunk
        self._reading = reading
        self._group = group
        self._stage = stage
        self._advance = advance
        self._indices = range(group.rank, len(samples), group.size)
        self._samples = samples
        require_both([sample.label for sample in samples])
        size = len(self._indices) * len(views) * example.numel() * example.dtype.itemsize
        self._kept = list(self._outputs(self._indices)) if size <= KEPT_BYTES else None
        if self._kept is not None:
            readable = torch.tensor([index for indices, _ in self._kept for index in indices])
            require_both([samples[index].label for index in group.rows_of_all(readable.long()).tolist()])

    def logits(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Logits and classes of those that can be read, in the order of the samples, the same everywhere.

        Raises:
            DataError: if none of one class can be read.
        """
        indices, logits = self.logits_of(range(len(self._samples)))
        labels = [self._samples[index].label for index in indices]
        require_both(labels)
        return tuple(logits), tuple(labels)

    def logits_of(self, chosen: Collection[int]) -> tuple[list[int], list[float]]:
        """Indices, ascending, and logits of the chosen samples that can be read; the same everywhere."""
        self._network.eval()
        wanted = set(chosen)
        indices: list[int] = []
        logits: list[float] = []
        own = [index for index in self._indices if index in wanted]
        with torch.inference_mode():
            for of_batch, outputs in self._outputs(own) if self._kept is None else self._kept:
                places = [place for place, index in enumerate(of_batch) if index in wanted]
                if places:
                    of_images = outputs.view(len(of_batch), -1, *outputs.shape[1:])
                    rows = of_images[places].flatten(0, 1)
                    of_views = self._network.tail(rows.to(self._network.head.weight.device))
                    logits += of_views.view(len(places), -1).mean(dim=1).tolist()
                    indices += [of_batch[place] for place in places]
        numbers = self._group.rows_of_all(torch.tensor(indices, dtype=torch.int64))
        values = self._group.rows_of_all(torch.tensor(logits, dtype=torch.float32))
        order = torch.argsort(numbers)
        return numbers[order].tolist(), values[order].tolist()

    def _outputs(self, indices: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        """A few images at a time: their indices, and the trunk's outputs for all their views, on the CPU."""
        self._stage("frozen blocks on the images to measure on", len(indices))
        function = partial(validation_views, size=self._network.tower.image_size, views=self._views)
        samples = [self._samples[index] for index in indices]
        readable = self._readable(indices, self._reading.each(function, samples))
        for batch in batched(readable, TRUNK_BATCH):
            views = np.concatenate([of_image for _, of_image in batch])
            yield [index for index, _ in batch], self._trunk(views).cpu()

    def _readable(
        self, indices: Sequence[int], views: Iterator[Pixels | None]
    ) -> Iterator[tuple[int, Pixels]]:
        for index, of_image in zip(indices, views, strict=True):
            self._advance(1)
            if of_image is not None:
                yield index, of_image


def require_both(labels: Sequence[int]) -> None:
    """Refuse held-out images of one class only.

    Raises:
        DataError: if there are none of the other.
    """
    if set(labels) != {0, 1}:
        raise DataError(
            "no readable validation image of one class: give more images or a larger --validation"
        )
