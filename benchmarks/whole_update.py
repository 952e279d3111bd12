"""A low-rank bypass of a whole MLP, made for peft: what it adapts is a layer beside the MLP."""

from __future__ import annotations

from torch import Tensor, nn


class WithUpdate(nn.Module):
    """An MLP, and a weight update of the whole of it: a square matrix of zeros for peft to adapt.

    Args:
        mlp: the MLP.
        width: of what goes into it and comes out.
    """

    def __init__(self, mlp: nn.Module, width: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.update = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.update.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` to the same shape."""
        return self.mlp(x) + self.update(x)  # type: ignore[no-any-return]
