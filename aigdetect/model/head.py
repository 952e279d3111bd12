"""The head: from what the tower says of the views of an image to one logit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Linear):
    """One linear layer; a positive logit means generated.

    It reads either the projected, not normalised, embedding (the paper's head), or the class tokens after
    several blocks, each normalised on its own (LayerNorm without weights): traces of generation sit at all
    depths, and the last block keeps few of them.

    The logit of an image is the mean over its views, in which the scales at which they show it count alike
    (:func:`aigdetect.images.views.scales_of`). All views may share one set of weights, or each scale has its
    own: then the head as a whole is one linear layer over what the scales show, side by side.

    Attributes:
        blocks: how many of the last blocks give their class token; 0 for the embedding.
        sets: sets of weights; 1 if all views share it.

    Args:
        blocks: see the attribute.
        width: channels of a class token, or of the embedding.
        sets: see the attribute.
    """

    def __init__(self, *, blocks: int, width: int, sets: int = 1) -> None:
        super().__init__(max(1, blocks) * width, sets)
        self.blocks = blocks
        self.sets = sets

    def features(self, x: Tensor) -> Tensor:
        """What the weights multiply.

        Args:
            x: the embedding ``(B, width)``, or class tokens ``(B, blocks, width)``.

        Returns:
            ``(B, F)``, float32.
        """
        x = x.float()
        return F.layer_norm(x, x.shape[-1:]).flatten(1) if self.blocks else x

    def forward(self, x: Tensor, scales: Tensor | None = None) -> Tensor:
        """Logits of single views.

        Args:
            x: input as for :meth:`features`.
            scales: ``(B,)`` int64, number of each view's scale; None: all are of the first.

        Returns:
            logits ``(B,)``, float32.
        """
        with torch.autocast(x.device.type, enabled=False):
            logits = super().forward(self.features(x))
        if self.sets == 1 or scales is None:
            return logits[:, 0]
        return logits.gather(1, scales[:, None]).squeeze(1)
