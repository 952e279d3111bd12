"""Frozen linear layers in 8-bit integers on a CPU: whole-number products, scaled back to float32.

A matrix is int8 with one step per output channel. An input is uint8, with one step for all tokens where its
range is known beforehand, and with a step for each token where it is not; nothing depends on data seen
earlier. oneDNN multiplies these about twice as fast as bfloat16 where a processor has instructions for it
(VNNI, AMX). The layers have no parameters, and cannot be turned back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from aigdetect.model.precision.linear import ROWS

# of a matrix that becomes integers: three more of the largest would be the most that a scan ever holds
_ROWS_AT_ONCE = 128
_TINY = np.finfo(np.float32).tiny
_LEVELS = 255  # of a uint8 above 0
_SIGNED = 127  # greatest number of a matrix; the least is its negative

_MIDDLE = 128
#: how far a normalised channel may reach, in standard deviations; beyond, 7 values in a million are cut
REACH = 4.5

#: activations that oneDNN applies to a product before it writes it, and the least values they can give
ACTIVATIONS = {"": -float("inf"), "swish": -0.278465, "gelu": -0.169972}
_ZERO_POINT = 24  # of an activation's output: so many levels lie below 0


@cache
def can_multiply() -> bool:
    """Whether this build of torch and this machine multiply these integers without error.

    Processors older than the instructions for it add pairs of products in 16 bits, which overflow; elsewhere
    the kernels are missing.
    """
    x = torch.full((2, 64), _LEVELS, dtype=torch.uint8)
    with torch.no_grad():
        try:
            ones = to_integers(torch.ones(16, 64))
            product = _Product(*ones, "swish", torch.float32)(x, 1.0, 0)  # so far up, the identity
        except (AttributeError, NotImplementedError, RuntimeError, TypeError):
            return False
    return torch.allclose(product, torch.tensor(64.0 * _LEVELS))


@dataclass(frozen=True)
class WholeLinear:
    """A linear layer whose matrix is in 8-bit integers.

    Attributes:
        whole: the matrix, see :func:`to_integers`.
        step: of each of its rows.
        bias: float32 ``(out,)``.
    """

    whole: Tensor
    step: Tensor
    bias: Tensor

    @classmethod
    def of(cls, base: nn.Linear) -> WholeLinear:
        """What stands for a layer with a bias."""
        return cls(*to_integers(base.weight.detach()), base.bias.detach().float())

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of it, as it is made anew of."""
        return self.whole, self.step, self.bias


class NormedInt8(nn.Module):
    """A linear layer for normalised tokens, whose channels are spread as standard normal variables.

    Args:
        base: what it calculates; needs a bias.
        dtype: of the output.
        activation: applied to the output, a key of :data:`ACTIVATIONS`.
    """

    def __init__(self, base: nn.Linear | WholeLinear, dtype: torch.dtype, activation: str = "") -> None:
        super().__init__()
        layer = base if isinstance(base, WholeLinear) else WholeLinear.of(base)
        self.product = _Product(layer.whole, layer.step, activation, dtype, bias=layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` float32 to ``(..., out)``; what lies beyond :data:`REACH` is cut."""
        # half a level more: fractions are cut off
        levels = (x * (_SIGNED / REACH)).add_(_MIDDLE + 0.5).clamp_(0, _LEVELS)
        return self.product(_whole(levels), REACH / _SIGNED, _MIDDLE)


class TokenInt8(nn.Module):
    """A linear layer that measures how far each token reaches.

    Args:
        base: what it calculates; needs a bias.
        follows: the activation that gives its input, a key of :data:`ACTIVATIONS`; empty for an input of
            either sign.
    """

    def __init__(self, base: nn.Linear | WholeLinear, follows: str = "") -> None:
        super().__init__()
        layer = base if isinstance(base, WholeLinear) else WholeLinear.of(base)
        self.product = _Product(layer.whole, layer.step, "", torch.float32)
        self._bias = layer.bias
        self._zero = _ZERO_POINT if follows else _MIDDLE
        self._least_step = -ACTIVATIONS[follows] / _ZERO_POINT if follows else torch.finfo(torch.float32).tiny

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` of any precision to ``(..., out)`` float32; an activation is overwritten."""
        x = x.float()
        reach = x.amax(-1, keepdim=True) if self._zero < _MIDDLE else x.abs().amax(-1, keepdim=True)
        step = (reach / (_LEVELS - self._zero)).clamp_(min=self._least_step)
        scaled = torch.mul(x, 1 / step, out=x if self._zero < _MIDDLE else None)
        levels = scaled.add_(self._zero + 0.5)
        return torch.addcmul(self._bias, self.product(_whole(levels), 1.0, self._zero), step)


class _Product:
    """uint8 tokens times an int8 matrix, scaled back.

    Args:
        whole: the matrix ``(out, in)`` int8.
        step: of each of its rows, float32 ``(out,)``.
        activation: see :class:`NormedInt8`.
        dtype: of the output.
        bias: added to the output.
    """

    def __init__(
        self, whole: Tensor, step: Tensor, activation: str, dtype: torch.dtype, bias: Tensor | None = None
    ) -> None:
        self.in_features = whole.shape[1]
        self._weight = torch.ops.onednn.qlinear_prepack(whole, [ROWS, self.in_features])
        self._step = step
        self._zeros = torch.zeros(len(step), dtype=torch.int64)
        self._bias = bias
        self._activation = activation or "none"
        self._dtype = dtype

    def __call__(self, x: Tensor, step: float, zero: int) -> Tensor:
        """``(..., in)`` uint8, of which ``(x - zero) * step`` is meant, to ``(..., out)``."""
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(x, step, zero, self._weight, self._step, self._zeros, self._bias),
            *(1.0, 0, self._dtype, self._activation, [], "none"),
        )
        return product


def to_integers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix in 8-bit integers.

    Args:
        weight: ``(out, in)`` float32.

    Returns:
        int8 ``(out, in)``, -127..127, and the step of each row, float32 ``(out,)``.
    """
    # with NumPy, as so many small steps are not worth torch's threads
    values = weight.numpy()
    step, whole = np.empty(len(values), dtype=np.float32), np.empty(values.shape, dtype=np.int8)
    for first in range(0, len(values), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        # a row of zeros has no step of its own
        step[part] = np.maximum(np.abs(values[part]).max(axis=1) / np.float32(_SIGNED), _TINY)
        whole[part] = np.rint(values[part] / step[part, None])
    return torch.from_numpy(whole), torch.from_numpy(step)


def _whole(levels: Tensor) -> Tensor:
    """Cut the fractions off numbers in 0..255; by way of int16 this is several times as fast."""
    return levels.to(torch.int16).to(torch.uint8)
