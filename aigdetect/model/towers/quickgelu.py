"""OpenAI's activation, and how a CLIP MLP calculates the same with a fast function.

``x * sigmoid(1.702 x)`` is ``silu(1.702 x) / 1.702``, and both factors fit into the matrices beside it: one
pass over the widest activations of the tower in the place of three.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FACTOR = 1.702


class QuickGELU(nn.Module):
    """OpenAI's activation, ``x * sigmoid(1.702 x)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape to the same shape."""
        return x * torch.sigmoid(_FACTOR * x)


class _SiLU(nn.SiLU):
    """SiLU, in place where no gradient needs its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x, inplace=not torch.is_grad_enabled())


def is_quick_gelu(module: object) -> bool:
    """Whether this is QuickGELU, ours or open_clip's, which must not be imported for this."""
    return type(module).__name__ == "QuickGELU"


def fold_quick_gelu(mlp: Any) -> None:
    """Turn QuickGELU between the two layers of a CLIP MLP into SiLU; nothing happens with another."""
    if is_quick_gelu(mlp.gelu):
        fold_before(mlp.c_fc)
        fold_behind(mlp.c_proj)
        mlp.gelu = _SiLU()


def fold_before(layer: nn.Linear) -> None:
    """Let the layer before QuickGELU give what SiLU is to take in its place."""
    for parameter in layer.parameters():
        _scale(parameter, _FACTOR)


def fold_behind(layer: nn.Linear) -> None:
    """Let the layer behind QuickGELU take what SiLU gives in its place."""
    _scale(layer.weight, 1 / _FACTOR)


def _scale(parameter: Tensor, factor: float) -> None:
    with torch.no_grad():
        # not in place: the values may lie in a file
        parameter.data = parameter.data * factor
