"""Frozen linear layers on a CPU: weights laid out once for oneDNN's kernels.

``nn.Linear`` lays its weights out anew in every call, and in float32 it goes to a library that is slow on
processors not made by Intel. These layers have no parameters, and cannot be turned back.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

#: rows of a typical product, a view's tokens, for which weights are laid out; the layout fits any number
ROWS = 197


def linear_of(weight: nn.Parameter, bias: nn.Parameter | None = None) -> nn.Linear:
    """A plain linear layer of these very parameters, ``(out, in)`` and ``(out,)``."""
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


@cache
def can_pack(dtype: torch.dtype = torch.float32) -> bool:
    """Whether this build of torch and this machine have oneDNN's kernels for packed weights."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    try:
        # in bfloat16, processors without AVX-512 have none; nothing but a try says so
        _product(torch.zeros((1, 16), dtype=dtype), _pack(torch.zeros((16, 16), dtype=dtype)), None)
    except (AttributeError, RuntimeError):
        return False
    return True


class PackedLinear(nn.Module):
    """A frozen linear layer in float32 or bfloat16.

    Attributes:
        in_features: channels that come in.
        dtype: precision of the output.

    Args:
        base: what it calculates.
        dtype: precision of weights, bias and output; the input is turned into it. Sums are float32.
        gradient: whether gradients go back through it to its input, which takes the memory of the weights
            once more.
    """

    def __init__(self, base: nn.Linear, dtype: torch.dtype, *, gradient: bool = False) -> None:
        super().__init__()
        self.in_features = base.in_features
        self.dtype = dtype
        weight = base.weight.detach().to(dtype)
        self._weight = _pack(weight)
        self._transposed = _pack(weight.T) if gradient else None
        self._bias = None if base.bias is None else base.bias.detach().to(dtype, copy=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` of any precision to ``(..., out)``.

        Raises:
            RuntimeError: if a gradient is wanted of a layer that lets none through.
        """
        x = x.to(self.dtype)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return _product(x, self._weight, self._bias)
        if self._transposed is None:
            raise RuntimeError("this packed layer was made without gradient")
        output: Tensor = _Product.apply(x, self._weight, self._bias, self._transposed)
        return output


class _Product(torch.autograd.Function):
    """A product with packed weights, whose gradient is that with the transposed ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _product(gradients[0], ctx.transposed, None), None, None, None


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return packed


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
