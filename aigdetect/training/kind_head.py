"""What kind of picture an image is, learnt beside the detector from images whose kind the data tell."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from aigdetect.data.kinds import KINDS, kind_of
from aigdetect.data.layouts import Sample
from aigdetect.model.base import Network
from aigdetect.training.distributed import Group
from aigdetect.training.head_start import Features

Floats = NDArray[np.float64]

#: a kind of fewer images is not learnt
LEAST_IMAGES = 20
#: L2 penalty on standardised features, as for the head
_PENALTY = 0.1


def kinds_told(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Kinds that enough of the images are said to be; none if that is one kind only."""
    counts = Counter(kind_of(sample.kind) for sample in samples)
    names = tuple(name for name in KINDS if counts[name] >= LEAST_IMAGES)
    return names if len(names) > 1 else ()


def fit_kinds(network: Network, features: Features, samples: Sequence[Sample], group: Group) -> None:
    """Fit the part of a network that tells kinds apart; the first process of a group does.

    A penalised multinomial logistic regression on single views, in which every kind counts alike, and within
    a kind every source or generator.

    Args:
        network: its ``kinds`` are changed in place.
        features: what the head reads of the images.
        samples: all of the run.
        group: the processes.
    """
    assert network.kinds is not None
    if group.first:
        numbers = {name: number for number, name in enumerate(network.kind_names)}
        of_sample = np.array([numbers.get(kind_of(sample.kind) or "", -1) for sample in samples])
        targets = of_sample[features.images.numpy()]
        here = torch.from_numpy(np.flatnonzero(targets >= 0))
        width = network.kinds.in_features
        views = features.rows.shape[1]
        rows = features.rows[here.to(features.rows.device), :, :width].flatten(0, 1).cpu().numpy()
        targets = targets[here.numpy()].repeat(views)
        images = features.images[here].repeat_interleave(views).tolist()
        origins = [samples[index].generator for index in images]
        weight, bias = _fitted(rows, targets, _weights(list(zip(targets.tolist(), origins, strict=True))))
        with torch.no_grad():
            network.kinds.weight.copy_(torch.from_numpy(weight))
            network.kinds.bias.copy_(torch.from_numpy(bias))
    for parameter in network.kinds.parameters():
        group.copy_from_first(parameter.data)


def _weights(groups: Sequence[tuple[int, str]]) -> Floats:
    """Weight of each row, ``(n,)``, with a mean of 1: kinds count alike, and sources within a kind."""
    counts = Counter(groups)
    sources = Counter(kind for kind, _ in counts)
    weights: Floats = np.array([1 / (counts[group] * sources[group[0]]) for group in groups])
    weights *= len(groups) / weights.sum()
    return weights


def _fitted(
    rows: NDArray[np.float32], targets: NDArray[np.int64], weights: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights ``(K, F)`` and biases ``(K,)`` of the rows as they are."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    model = LogisticRegression(C=1 / (_PENALTY * len(rows)), tol=1e-4, max_iter=300)
    with warnings.catch_warnings():
        # the last steps move no image from one kind to another
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((rows - mean) / scale, targets, sample_weight=weights)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # of two kinds scikit-learn keeps the difference
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scale
    return weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)
