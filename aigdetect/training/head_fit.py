"""Fits of heads, to convergence, on what the untrained tower says: the detector's, and that of the kinds."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from aigdetect.data.kinds import KINDS, kind_of
from aigdetect.data.layouts import Sample
from aigdetect.images.views import first_of_scales
from aigdetect.model.base import Network
from aigdetect.model.head import Head
from aigdetect.training.distributed import Group
from aigdetect.training.kernel_ridge import KernelRidge
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.sampling import TrainingSet, batch_sizes
from aigdetect.training.trunk_outputs import TrunkOutputs, by_image

Floats = NDArray[np.float64]

#: at most so many steps of L-BFGS
STEPS = 100
#: the head is fitted on no more bytes of features than this
FIT_BYTES = 2 << 30
#: a kind of fewer images is not learnt
LEAST_IMAGES = 20
#: L2 penalty on standardised features, as for the head
_KINDS_PENALTY = 0.1


@dataclass(frozen=True)
class Features:
    """What the head reads of training views while nothing has been trained; empty but in the first process.

    Attributes:
        rows: ``(n, V, C)`` float32, for every copy of an image all its views.
        images: ``(n,)`` int64, the index of each row's image.
    """

    rows: Tensor
    images: Tensor


def read_features(network: Network, recipe: Recipe, outputs: TrunkOutputs, run: Run) -> Features | None:
    """Features of the copies of every image, or of as many as :data:`FIT_BYTES` hold; None without a fit.

    Where not even one copy of each fits, every second image is taken, or every third, and so on. The
    processes of a group compute the features of their parts.

    Args:
        network: not trained yet.
        recipe: the settings.
        outputs: of the frozen trunk for the images.
        run: the run.
    """
    if recipe.head_penalty is None:
        return None
    views, channels = len(first_of_scales(recipe.views)), network.head.channels
    fitting = FIT_BYTES // (4 * views * channels)
    if network.head.quadratic is not None:  # and of all pairs
        fitting = min(fitting, math.isqrt(FIT_BYTES // 4) // (views if network.head.sets == 1 else 1))
    images = outputs.indices[:: math.ceil(len(outputs.indices) / fitting)]
    copies = min(outputs.copies, max(1, fitting // len(images)))
    run.watch.stage("head on the frozen tower", len(images) * copies)
    batches = torch.split(images, batch_sizes(len(images), recipe.batch_size))
    network.eval()
    features, places = [], []
    for copy in range(copies):
        for read, indices in outputs.features(batches, copy):
            if indices:
                with torch.inference_mode():
                    of_views = network.head.normalised(read.flatten(0, 1))
                features.append(by_image(of_views, len(indices)))
                places += [(copy, index) for index in indices]
            run.watch.advance(len(indices))
    empty = torch.empty(0, views, channels, device=network.head.weight.device)
    rows = run.group.rows_to_first(torch.cat(features) if features else empty)
    order = run.group.rows_to_first(torch.tensor(places, dtype=torch.int64).view(-1, 2))
    if run.group.first and not run.group.alone:  # back into the order of one process alone
        sorted_rows = torch.argsort(order[:, 0] * (int(images.max()) + 1) + order[:, 1])
        rows, order = rows[sorted_rows.to(rows.device)], order[sorted_rows]
    return Features(rows, order[:, 1])


def fit_head_of(
    network: Network, recipe: Recipe, features: Features, training_set: TrainingSet, group: Group
) -> None:
    """Fit a network's head under the recipe's penalties; the first process does, the others take its head.

    Args:
        network: its head is changed in place.
        recipe: the settings; it has a ``head_penalty``.
        features: of the images of the set, and perhaps of others.
        training_set: what the head is fitted to.
        group: the processes.
    """
    assert recipe.head_penalty is not None
    if group.first:
        if network.head.quadratic is not None:
            solve_head(network, recipe, features, training_set)[0].fit()
        else:
            chosen, rows, labels, weights = _rows_of(features, training_set)
            fit_head(
                network.head,
                rows,
                labels,
                weights,
                penalty=recipe.head_penalty,
                sources=training_set.origins[chosen].to(rows.device),
                source_penalty=recipe.source_penalty,
                squares=recipe.head_loss == "squares",
            )
    share_head(network, group)


def solve_head(
    network: Network, recipe: Recipe, features: Features, training_set: TrainingSet
) -> tuple[KernelRidge, Tensor]:
    """Solve for a head over products; see :func:`fit_head_of`.

    Returns:
        the solution, and of each of its images the index, ``(n,)`` int64.
    """
    assert recipe.head_penalty is not None
    chosen, rows, labels, weights = _rows_of(features, training_set)
    return KernelRidge(network.head, rows, labels, weights, penalty=recipe.head_penalty), chosen


def share_head(network: Network, group: Group) -> None:
    """Give the head of the first process to all of a group."""
    for tensor in network.head.state_dict().values():
        group.copy_from_first(tensor)


def _rows_of(features: Features, training_set: TrainingSet) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the images of a training set their indices ``(n,)``, features ``(n, V, C)``, labels and weights."""
    here = torch.isin(features.images, training_set.outputs.indices)
    images = features.images[here]
    labels, weights = training_set.targets[:2, images.to(training_set.targets.device)]
    return images, features.rows[here.to(features.rows.device)], labels, weights


def fit_head(
    head: Head,
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    penalty: float,
    sources: Tensor | None = None,
    source_penalty: float = 0.0,
    squares: bool = False,
) -> None:
    """Set the head to the minimum of the weighted mean of a loss and two penalties.

    The loss is the binary cross-entropy, or half the squared distance of the logit to 1 or -1 (which makes it
    a regularised linear discriminant: no image counts more for being hard, and none less for being easy).

    The first penalty is ``penalty / 2`` times the squared length of the weights on standardised features, so
    that it means the same whatever the scale of a channel. The second is ``source_penalty / 2`` times the
    variance of the mean logits of the sources of real images: what tells one source of real images from
    another (faces from landscapes, a camera from a scanner) is content, and must not move the logit. The
    problem is convex: no seed and no order of the images plays a part.

    A head with a set of weights for each scale is fitted to one view at each, side by side, and one with a
    single set to each view by itself.

    Args:
        head: changed in place.
        features: ``(N, V, C)`` float32, of one view of each image at each scale as
            :meth:`aigdetect.model.head.Head.normalised` gives them.
        labels: ``(N,)`` float32, 1 for generated, 0 for real.
        weights: ``(N,)`` float32, how much each row counts.
        penalty: above 0.
        sources: ``(N,)`` int64, number of each row's source; only those of real images count. Needed with a
            ``source_penalty``.
        source_penalty: from 0 on.
        squares: which loss.

    Source: D. C. Liu and J. Nocedal, On the limited memory BFGS method, 1989; the second penalty is that of
    invariant-feature methods for domain generalisation (K. Muandet et al., 2013) on a linear head.
    """
    views = features.shape[1]
    if head.sets == 1 and views > 1:
        labels, weights = labels.repeat_interleave(views), weights.repeat_interleave(views)
        sources = None if sources is None else sources.repeat_interleave(views)
    columns = features.reshape(len(labels), -1)
    mean, scale = columns.mean(dim=0), columns.std(dim=0, correction=0) + 1e-6
    x = (columns - mean) / scale
    weights = weights / weights.sum()
    weight = x.new_zeros(x.shape[1], requires_grad=True)
    bias = x.new_zeros((), requires_grad=True)
    scatter = (
        x[:0] if sources is None or not source_penalty else _scatter(x[labels == 0], sources[labels == 0])
    )
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = x @ weight + bias
        losses = (
            (logits - (2 * labels - 1)).square() / 2
            if squares
            else F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        )
        between = source_penalty * (scatter @ weight).square().sum()
        value = (weights * losses).sum() + (penalty * weight.square().sum() + between) / 2
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        # the logit of an image is the mean over its views, not their sum
        head.weight.copy_(head.sets * (weight / scale).view(head.sets, -1))
        head.bias.fill_(bias - (mean * weight / scale).sum())


def _scatter(x: Tensor, sources: Tensor) -> Tensor:
    """Rows ``(S, F)`` whose product with weights has the squared length of the variance between sources."""
    means = torch.stack([x[sources == source].mean(dim=0) for source in torch.unique(sources)])
    return (means - means.mean(dim=0)) / math.sqrt(len(means))


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
        weights = _kind_weights(list(zip(targets.tolist(), origins, strict=True)))
        weight, bias = _fitted_kinds(rows, targets, weights)
        with torch.no_grad():
            network.kinds.weight.copy_(torch.from_numpy(weight))
            network.kinds.bias.copy_(torch.from_numpy(bias))
    for parameter in network.kinds.parameters():
        group.copy_from_first(parameter.data)


def _kind_weights(groups: Sequence[tuple[int, str]]) -> Floats:
    """Weight of each row, ``(n,)``, with a mean of 1: kinds count alike, and sources within a kind."""
    counts = Counter(groups)
    sources = Counter(kind for kind, _ in counts)
    weights: Floats = np.array([1 / (counts[group] * sources[group[0]]) for group in groups])
    weights *= len(groups) / weights.sum()
    return weights


def _fitted_kinds(
    rows: NDArray[np.float32], targets: NDArray[np.int64], weights: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights ``(K, F)`` and biases ``(K,)`` of the rows as they are."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    model = LogisticRegression(C=1 / (_KINDS_PENALTY * len(rows)), tol=1e-4, max_iter=300)
    with warnings.catch_warnings():
        # the last steps move no image from one kind to another
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((rows - mean) / scale, targets, sample_weight=weights)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # of two kinds scikit-learn keeps the difference
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scale
    return weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)
