"""The head's start: fitted to convergence on what the untrained tower says of the training images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aigdetect.model.base import Network
from aigdetect.training.distributed import Group
from aigdetect.training.fit import fit_head
from aigdetect.training.sampler import batch_sizes
from aigdetect.training.source import Source, by_image

#: the head is fitted on no more bytes of features than this
FIT_BYTES = 2 << 30


@dataclass(frozen=True)
class Features:
    """What the head reads of training views while nothing has been trained; empty but in the first process.

    Attributes:
        rows: ``(n, V, F)`` float32, for every copy of an image all its views.
        images: ``(n,)`` int64, the index of each row's image.
    """

    rows: Tensor
    images: Tensor


def read_features(
    network: Network,
    source: Source,
    *,
    copies: int,
    views: int,
    batch_size: int,
    group: Group,
    stage: Callable[[str, int], None],
    advance: Callable[[int], None],
) -> Features:
    """Features of the copies of every image, or of as many as :data:`FIT_BYTES` hold.

    Where not even one copy of each fits, every second image is taken, or every third, and so on. The
    processes of a group compute the features of their parts.

    Args:
        network: not trained yet.
        source: outputs of the frozen trunk.
        copies: copies that there are of each image.
        views: views of each.
        batch_size: images at a time.
        group: the processes.
        stage: told that so many copies are being used.
        advance: told of copies that were.
    """
    fitting = FIT_BYTES // (4 * views * network.head.in_features)
    images = source.indices[:: math.ceil(len(source.indices) / fitting)]
    copies = min(copies, max(1, fitting // len(images)))
    stage("head on the frozen tower", len(images) * copies)
    batches = torch.split(images, batch_sizes(len(images), batch_size))
    network.eval()
    features, places = [], []
    for copy in range(copies):
        for read, indices in source.features(batches, copy):
            if indices:
                with torch.inference_mode():
                    of_views = network.head.features(read.flatten(0, 1))
                features.append(by_image(of_views, len(indices)))
                places += [(copy, index) for index in indices]
            advance(len(indices))
    empty = torch.empty(0, views, network.head.in_features, device=network.head.weight.device)
    rows = group.rows_to_first(torch.cat(features) if features else empty)
    order = group.rows_to_first(torch.tensor(places, dtype=torch.int64).view(-1, 2))
    if group.first and not group.alone:  # back into the order of one process alone
        sorted_rows = torch.argsort(order[:, 0] * (int(images.max()) + 1) + order[:, 1])
        rows, order = rows[sorted_rows.to(rows.device)], order[sorted_rows]
    return Features(rows, order[:, 1])


def start_head(
    network: Network,
    features: Features,
    chosen: Tensor,
    targets: Tensor,
    sources: Tensor,
    *,
    penalty: float,
    source_penalty: float,
    group: Group,
) -> None:
    """Fit the head; the first process of a group does, and the others take its head.

    Args:
        network: its head is changed in place.
        features: of these images and perhaps others.
        chosen: indices of the images to fit it on, int64.
        targets: ``(2, N)`` float32, labels and weights of all samples.
        sources: ``(N,)`` int64, number of each sample's source or generator.
        penalty: see :func:`aigdetect.training.fit.fit_head`.
        source_penalty: see there.
        group: the processes.
    """
    if group.first:
        here = torch.isin(features.images, chosen)
        images = features.images[here]
        labels, weights = targets[:, images.to(targets.device)]
        fit_head(
            network.head,
            features.rows[here.to(features.rows.device)],
            labels,
            weights,
            penalty=penalty,
            sources=sources[images].to(features.rows.device),
            source_penalty=source_penalty,
        )
    for parameter in network.head.parameters():
        group.copy_from_first(parameter.data)
