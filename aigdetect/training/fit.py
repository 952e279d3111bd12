"""Fit the head alone to convergence: penalised logistic regression on what the frozen tower says."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from aigdetect.model.head import Head

#: at most so many steps of L-BFGS
STEPS = 100


def fit_head(head: Head, features: Tensor, labels: Tensor, weights: Tensor, *, penalty: float) -> None:
    """Set the head to the minimum of the weighted mean of the binary cross-entropy and an L2 penalty.

    The penalty is ``penalty / 2`` times the squared length of the weights on standardised features, so that
    it means the same whatever the scale of a channel. The problem is convex: no seed and no order of the
    images plays a part.

    Args:
        head: changed in place.
        features: ``(N, F)`` float32, as :meth:`aigdetect.model.head.Head.features` gives them.
        labels: ``(N,)`` float32, 1 for generated, 0 for real.
        weights: ``(N,)`` float32, how much each row counts.
        penalty: above 0.

    Source: D. C. Liu and J. Nocedal, On the limited memory BFGS method, 1989.
    """
    mean, scale = features.mean(dim=0), features.std(dim=0, correction=0) + 1e-6
    x = (features - mean) / scale
    weights = weights / weights.sum()
    weight = x.new_zeros(x.shape[1], requires_grad=True)
    bias = x.new_zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        bce = F.binary_cross_entropy_with_logits(x @ weight + bias, labels, reduction="none")
        value = (weights * bce).sum() + penalty / 2 * weight.square().sum()
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.copy_((weight / scale)[None])
        head.bias.copy_(bias - (mean * weight / scale).sum())
