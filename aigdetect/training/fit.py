"""Fit the head alone to convergence: penalised logistic regression on what the frozen tower says."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aigdetect.model.head import Head

#: at most so many steps of L-BFGS
STEPS = 100


def fit_head(
    head: Head,
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    penalty: float,
    sources: Tensor | None = None,
    source_penalty: float = 0.0,
) -> None:
    """Set the head to the minimum of the weighted mean of the binary cross-entropy and two penalties.

    The first is ``penalty / 2`` times the squared length of the weights on standardised features, so that it
    means the same whatever the scale of a channel. The second is ``source_penalty / 2`` times the variance of
    the mean logits of the sources of real images: what tells one source of real images from another (faces
    from landscapes, a camera from a scanner) is content, and must not move the logit. The problem is convex:
    no seed and no order of the images plays a part.

    A head with a set of weights for each scale is fitted to one view at each, side by side, and one with a
    single set to each view by itself.

    Args:
        head: changed in place.
        features: ``(N, V, F)`` float32, of one view of each image at each scale as
            :meth:`aigdetect.model.head.Head.features` gives them.
        labels: ``(N,)`` float32, 1 for generated, 0 for real.
        weights: ``(N,)`` float32, how much each row counts.
        penalty: above 0.
        sources: ``(N,)`` int64, number of each row's source; only those of real images count. Needed with a
            ``source_penalty``.
        source_penalty: from 0 on.

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
        bce = F.binary_cross_entropy_with_logits(x @ weight + bias, labels, reduction="none")
        between = source_penalty * (scatter @ weight).square().sum()
        value = (weights * bce).sum() + (penalty * weight.square().sum() + between) / 2
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
