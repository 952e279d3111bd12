"""The head: from what the tower says of an image to one logit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Linear):
    """One linear layer; a positive logit means generated.

    It reads either the projected, not normalised, embedding (the paper's head), or the class tokens after
    several blocks, each normalised on its own (LayerNorm without weights): traces of generation sit at all
    depths, and the last block keeps few of them.

    Attributes:
        blocks: how many of the last blocks give their class token; 0 for the embedding.

    Args:
        blocks: see the attribute.
        width: channels of a class token, or of the embedding.
    """

    def __init__(self, *, blocks: int, width: int) -> None:
        super().__init__(max(1, blocks) * width, 1)
        self.blocks = blocks

    def features(self, x: Tensor) -> Tensor:
        """What the weights multiply.

        Args:
            x: the embedding ``(B, width)``, or class tokens ``(B, blocks, width)``.

        Returns:
            ``(B, F)``, float32.
        """
        x = x.float()
        return F.layer_norm(x, x.shape[-1:]).flatten(1) if self.blocks else x

    def forward(self, x: Tensor) -> Tensor:
        """Input as for :meth:`features` to logits ``(B,)``, float32."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(self.features(x)).squeeze(-1)
