"""Tokens turned so that no channel stands out, at no cost while scoring.

A few channels of CLIP's tokens are dozens of times as large as all others, always the same ones, and whole
numbers that reach so far are too coarse for the rest. Another orthonormal basis spreads each of them over all
channels. A block reads its tokens through a LayerNorm and adds to them what a linear layer gives, so that
both the turn and the affine part of the norm fit into the matrices beside it (as in QuaRot, Ashkboos et al.
2024); and what is left of the norm stays a LayerNorm, as this turn leaves a token's mean alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aigdetect.model.precision.linear import linear_of

_ROWS_AT_ONCE = 128  # of a matrix that is turned

#: a matrix ``(out, d)`` to the one for turned and normalised tokens, and what that leaves to add
Reading = Callable[[Tensor], tuple[Tensor, Tensor]]
#: a matrix ``(d, in)`` or a bias ``(d,)`` to one whose output is turned
Writing = Callable[[Tensor], Tensor]


def turn(values: Tensor, dim: int = 0) -> Tensor:
    """Turn the channels of tokens, or of matrices that write them; a second time turns them back.

    The coordinates of a discrete cosine transform change their signs at random, but for the first one, which
    is the mean.

    Args:
        values: float32.
        dim: where the channels lie.

    Returns:
        float32, of the same shape.
    """
    return torch.from_numpy(_turned(values.detach().numpy(), dim % values.ndim))


def _turned(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    from scipy.fft import dct, idct  # slow to import, and wanted by one precision only

    spectrum = dct(values, norm="ortho", axis=axis)
    spectrum *= np.expand_dims(_signs(values.shape[axis]), [i for i in range(values.ndim) if i != axis])
    turned: NDArray[np.float32] = idct(spectrum, norm="ortho", axis=axis, overwrite_x=True)
    return turned


@cache
def _signs(width: int) -> NDArray[np.float32]:
    # the old generator, whose numbers are promised to stay as they are
    signs = np.random.RandomState(0).choice(np.array([-1, 1], dtype=np.float32), width)
    signs[0] = 1
    return signs


def read_turned(weight: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Let a matrix read turned tokens.

    Args:
        weight: ``(out, d)``.
        norm: stands in front of it, and will be :func:`bare`.

    Returns:
        the new matrix ``(out, d)``, and what is to be added to its product, ``(out,)``; float32.
    """
    # some rows at a time, which spares two more of a matrix that may be the largest of a tower, and with
    # NumPy, as so many small steps are not worth torch's threads
    values, factors = weight.detach().numpy(), norm.weight.detach().numpy()
    turned = np.empty(values.shape, dtype=np.float32)
    for first in range(0, len(values), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        turned[part] = _turned(values[part] * factors, 1)
    return torch.from_numpy(turned), weight @ norm.bias


def bare(norm: nn.LayerNorm) -> nn.LayerNorm:
    """A LayerNorm without its affine part: of turned tokens it gives standard normal channels or nearly."""
    # ones and zeros, and not none at all, as torch is quicker with them
    return nn.LayerNorm(norm.normalized_shape, eps=norm.eps).requires_grad_(False)


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
    return linear_of(*(nn.Parameter(each, requires_grad=False) for each in (weight, bias)))
