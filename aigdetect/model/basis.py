"""Another basis for the channels of the tokens, in which no channel stands out, at no cost while scoring.

A few channels of CLIP's tokens are dozens of times as large as all others, always the same ones, and whole
numbers that reach so far are too coarse for the rest. In the basis of a cosine transform every channel holds
a little of each of them. A block reads its tokens through a LayerNorm and adds to them what a linear layer
gives, so both the transform and the affine part of the norm fit into the matrices beside it (as in QuaRot,
Ashkboos et al. 2024). The first vector of the basis takes a token's mean, which no LayerNorm lets through:
it is left out, and what is left of a LayerNorm is a division.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: a matrix ``(out, d)`` to the one for normalised tokens in the other basis, and what that leaves to add
Reading = Callable[[Tensor], tuple[Tensor, Tensor]]
#: a matrix ``(d, in)`` or a bias ``(d,)`` to one whose output lies in the other basis
Writing = Callable[[Tensor], Tensor]


def read_evenly(weight: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Let a matrix read what :class:`EvenNorm` gives in the place of a LayerNorm.

    Args:
        weight: ``(out, d)``.
        norm: stands in front of it.

    Returns:
        the new matrix ``(out, d)``, and what is to be added to its product, ``(out,)``; float32.
    """
    return _cosines(weight * norm.weight, axis=1), weight @ norm.bias


def write_evenly(weight: Tensor) -> Tensor:
    """Let a matrix ``(d, in)``, or a bias ``(d,)``, give its output in the other basis, without its mean."""
    written = _cosines(weight, axis=0)
    written[0] = 0
    return written


def even_basis(width: int) -> Tensor:
    """The basis itself, orthonormal: ``(width, width)`` float32, a vector in every row."""
    return _cosines(torch.eye(width), axis=0)


def rewrite(layer: nn.Linear, *, read: Reading | None = None, write: Writing | None = None) -> nn.Linear:
    """A new linear layer of other input, with other output, or both; without gradient.

    Args:
        layer: with a bias.
        read: see :data:`Reading`; None where the input stays.
        write: see :data:`Writing`; None where the output stays.
    """
    weight, bias = layer.weight.detach(), layer.bias.detach()
    if read is not None:
        weight, offset = read(weight)
        bias = bias + offset
    if write is not None:
        weight, bias = write(weight), write(bias)
    with torch.device("meta"):
        new = nn.Linear(weight.shape[1], weight.shape[0])
    new.weight, new.bias = (nn.Parameter(each, requires_grad=False) for each in (weight, bias))
    return new


class EvenNorm(nn.Module):
    """LayerNorm without its affine part, for tokens in the other basis.

    Every channel it gives is spread about as a standard normal variable, whatever the tokens.

    Args:
        norm: the LayerNorm it stands for.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self._shape = norm.normalized_shape
        self._eps = norm.eps

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(..., d)`` to tokens of unit mean square ``(..., d)``."""
        return F.rms_norm(tokens, self._shape, eps=self._eps)


def _cosines(values: Tensor, axis: int) -> Tensor:
    """Orthonormal DCT-II along one axis, float32."""
    from scipy.fft import dct  # slow to import, and wanted by one precision only

    transformed = dct(values.detach().numpy(), norm="ortho", axis=axis)
    return torch.from_numpy(np.ascontiguousarray(transformed))
