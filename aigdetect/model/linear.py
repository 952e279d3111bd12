"""Linear layers for inference on a CPU: weights laid out once for oneDNN's kernels.

``nn.Linear`` lays its weights out anew in every call, and in float32 it goes to a library that is slow on
processors not made by Intel. These layers have no gradient and no parameters, and cannot be turned back.
"""

from __future__ import annotations

import platform

import torch
from torch import Tensor, nn

# rows of a typical product, a view's tokens; the layout fits any number
_ROWS = 197


def can_pack() -> bool:
    """Whether this build of torch and this machine have oneDNN's kernels for packed weights."""
    return (
        platform.machine().lower() in {"x86_64", "amd64"}
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    )


class PackedLinear(nn.Module):
    """A linear layer in float32 or bfloat16.

    Attributes:
        in_features: channels that come in.
        dtype: precision of the output.

    Args:
        base: what it calculates.
        dtype: precision of weights, bias and output; the input is turned into it. Sums are float32.
    """

    def __init__(self, base: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features = base.in_features
        self.dtype = dtype
        weight = base.weight.detach().to(dtype).contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._bias = None if base.bias is None else base.bias.detach().to(dtype, copy=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` of any precision to ``(..., out)``."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.dtype), self._weight, self._bias, "none", [], ""
        )
        return output
