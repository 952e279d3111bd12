"""Which images make up the batches of an epoch: a function of the seed and the epoch's number alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def batch_sizes(count: int, largest: int) -> list[int]:
    """Sizes of the batches of an epoch: as few as needed, and as equal as can be.

    A last batch of what happens to be left over, perhaps a single image, would shake the weights as much as a
    full one.
    """
    batches = math.ceil(count / largest)
    return [(count + index) // batches for index in range(batches)]


def shuffled_batches(indices: Tensor, *, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The batches of an epoch in which every image comes once.

    Args:
        indices: ``(n,)`` int64, the images.
        batch_size: largest batch.
        seed: of the order.
        epoch: number of the epoch, from 1.

    Returns:
        the images of each batch, int64.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.arange(len(indices))
    for _ in range(epoch):  # the generator's state follows from the number: nothing is to be kept
        order = torch.randperm(len(indices), generator=generator)
    return list(torch.split(indices[order], batch_sizes(len(indices), batch_size)))


def balanced_batches(
    indices: Tensor, labels: Tensor, *, batch_size: int, seed: int, epoch: int
) -> list[Tensor]:
    """The batches of an epoch, each of as many images of either class (plus or minus one).

    An epoch is as long as a shuffled one. The images of a class come in rounds, each round in an order of its
    own, and the rounds go on over the epochs: no image comes twice before all of its class have come.

    Args:
        indices: ``(n,)`` int64, the images.
        labels: ``(n,)`` their classes, 0 or 1; both must be there.
        batch_size: largest batch.
        seed: of the order.
        epoch: number of the epoch, from 1.

    Returns:
        the images of each batch, int64.
    """
    sizes = np.array(batch_sizes(len(indices), batch_size))
    first = (epoch - 1) * len(indices)
    # images of the whole run before each batch; of an odd number the class that lags gets one more
    before = first + np.concatenate([[0], np.cumsum(sizes)])
    parts = []
    for label, taken in ((0, before // 2), (1, before - before // 2)):
        members = indices[labels == label]
        chosen = _from_rounds(members, int(taken[0]), int(taken[-1]), seed=seed, label=label)
        parts.append(torch.split(chosen, np.diff(taken).tolist()))
    return [torch.cat(of_classes) for of_classes in zip(*parts, strict=True)]


def _from_rounds(members: Tensor, start: int, end: int, *, seed: int, label: int) -> Tensor:
    """Places ``start`` to ``end`` of the endless row of shuffled rounds over ``members``."""
    first, last = start // len(members), end // len(members)
    orders = [
        np.random.default_rng([seed, label, number]).permutation(len(members))
        for number in range(first, last + 1)
    ]
    offset = first * len(members)
    return members[torch.from_numpy(np.concatenate(orders)[start - offset : end - offset])]
