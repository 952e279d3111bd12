"""Logits of the held-out images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.model.base import Network
from aigdetect.training.distributed import Group
from aigdetect.training.frozen import images_at_once
from aigdetect.training.source import Source
from aigdetect.training.watching import Epoch


class HeldOut:
    """The held-out images, each process with its own part of them.

    Args:
        network: scores them.
        samples: all of them.
        source: trunk outputs for them as they are, through the views of a scan.
        group: the processes.
        stage: told that so many images are being scored.
        advance: told of images that were.
        scales: number of the scale of each view of an image; None: each is of its own.
        adapted: whether anything but the head is ever trained; else the head reads what is known already.

    Raises:
        DataError: if there is none of one class.
    """

    def __init__(
        self,
        network: Network,
        samples: Sequence[Sample],
        source: Source,
        group: Group,
        stage: Callable[[str, int], None],
        advance: Callable[[int], None],
        *,
        scales: Sequence[int] | None = None,
        adapted: bool = True,
    ) -> None:
        self._network = network
        self._samples = samples
        self._source = source
        self._group = group
        self._stage = stage
        self._advance = advance
        self._scales = scales
        self._adapted = adapted
        require_both([samples[index].label for index in source.indices.tolist()])

    def epoch(self, number: int) -> Epoch:
        """What the network says after an epoch of those that can be read; the same in all processes.

        Raises:
            DataError: if none of one class can be read.
        """
        indices, logits = self.logits_of(range(len(self._samples)))
        labels = [self._samples[index].label for index in indices]
        require_both(labels)
        return Epoch(number, tuple(logits), tuple(labels), tuple(indices))

    def logits_of(self, chosen: Collection[int]) -> tuple[list[int], list[float]]:
        """Indices, ascending, and logits of the chosen samples that can be read; the same everywhere."""
        self._network.eval()
        readable = self._source.indices
        wanted = readable[torch.isin(readable, torch.tensor(list(chosen), dtype=torch.int64))]
        self._stage("images to measure on", len(wanted))
        indices: list[int] = []
        logits: list[Tensor] = []
        # of as many views as a pass takes, if there is one of each image
        size = images_at_once(self._network.head.weight.device, 1)
        batches = torch.split(wanted, size * self._group.size) if len(wanted) else ()
        with torch.inference_mode():
            outputs = self._source.batches if self._adapted else self._source.features
            judge = self._network.tail if self._adapted else self._network.judge
            for of_views, of_batch in outputs(batches, 0):
                if of_batch:
                    logits.append(judge(of_views, self._scales).cpu())
                    indices += of_batch
                self._advance(len(of_batch))
        numbers = self._group.rows_of_all(torch.tensor(indices, dtype=torch.int64))
        values = self._group.rows_of_all(torch.cat(logits) if logits else torch.empty(0))
        order = torch.argsort(numbers)
        return numbers[order].tolist(), values[order].tolist()


def require_both(labels: Sequence[int]) -> None:
    """Refuse held-out images of one class only.

    Raises:
        DataError: if there are none of the other.
    """
    if set(labels) != {0, 1}:
        raise DataError(
            "no readable validation image of one class: give more images or a larger --validation"
        )
