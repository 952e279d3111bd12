"""Logits of images that were not learnt from: those held out of a run, and those left out of its folds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.images.views import scales_of
from aigdetect.model.base import Network
from aigdetect.training.callbacks import Epoch
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.trunk_outputs import TrunkOutputs, images_at_once


class HeldOut:
    """Images that were held out, each process with its own part of them.

    Args:
        network: scores them.
        recipe: the settings.
        samples: all of them.
        outputs: of the frozen trunk for them, through the recipe's views; mostly as they are.
        run: the run.

    Raises:
        DataError: if there is none of one class.
    """

    def __init__(
        self, network: Network, recipe: Recipe, samples: Sequence[Sample], outputs: TrunkOutputs, run: Run
    ) -> None:
        self._network, self._samples, self._outputs, self._run = network, samples, outputs, run
        self._scales = scales_of(recipe.views)
        # if nothing but the head is ever trained, it reads what is known already
        self._adapted = recipe.epochs > 0
        require_both([samples[index].label for index in outputs.indices.tolist()])

    def epoch(self, number: int) -> Epoch:
        """What the network says after an epoch of those that can be read; the same in all processes.

        Raises:
            DataError: if none of one class can be read.
        """
        return self.told(number, self.logits_of(range(len(self._samples))))

    def told(self, number: int, logits: dict[int, float]) -> Epoch:
        """Logits by image as those after an epoch.

        Raises:
            DataError: if there is none of one class.
        """
        indices = sorted(logits)
        labels = tuple(self._samples[index].label for index in indices)
        require_both(labels)
        return Epoch(number, tuple(logits[index] for index in indices), labels, tuple(indices))

    def logits_of(self, chosen: Collection[int], copy: int = 0) -> dict[int, float]:
        """Logits of a copy of the chosen samples that can be read, by index; the same everywhere."""
        self._network.eval()
        group, watch = self._run.group, self._run.watch
        readable = self._outputs.indices
        wanted = readable[torch.isin(readable, torch.tensor(list(chosen), dtype=torch.int64))]
        watch.stage("images to measure on", len(wanted))
        indices: list[int] = []
        logits: list[Tensor] = []
        # of as many views as a pass takes, if there is one of each image
        size = images_at_once(self._network.head.weight.device, 1)
        batches = torch.split(wanted, size * group.size) if len(wanted) else ()
        with torch.inference_mode():
            outputs = self._outputs.batches if self._adapted else self._outputs.features
            judge = self._network.tail if self._adapted else self._network.judge
            for of_views, of_batch in outputs(batches, copy):
                if of_batch:
                    logits.append(judge(of_views, self._scales).cpu())
                    indices += of_batch
                watch.advance(len(of_batch))
        numbers = group.rows_of_all(torch.tensor(indices, dtype=torch.int64))
        values = group.rows_of_all(torch.cat(logits) if logits else torch.empty(0))
        return dict(zip(numbers.tolist(), values.tolist(), strict=True))


def require_both(labels: Sequence[int]) -> None:
    """Refuse held-out images of one class only.

    Raises:
        DataError: if there are none of the other.
    """
    if set(labels) != {0, 1}:
        raise DataError(
            "no readable validation image of one class: give more images or a larger --validation"
        )
