"""The head: from what the tower says of the views of an image to one logit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.model.quadratic_features import QuadraticFeatures


class Head(nn.Linear):
    """One linear layer, perhaps over products, too; a positive logit means generated.

    It reads either the projected, not normalised, embedding (the paper's head), or the class tokens after
    several blocks, each normalised on its own (LayerNorm without weights): traces of generation sit at all
    depths, and the last block keeps few of them.

    The logit of an image is the mean over its views, in which the scales at which they show it count alike
    (:func:`aigdetect.images.views.scales_of`). All views may share one set of weights, or each scale has its
    own: then the head as a whole is one linear layer over what the scales show, side by side.

    Attributes:
        blocks: how many of the last blocks give their class token; 0 for the embedding.
        sets: sets of weights; 1 if all views share it.
        channels: numbers that come in for a view.
        quadratic: makes of them what the weights multiply; None where that is they themselves.

    Args:
        blocks: see the attribute.
        width: channels of a class token, or of the embedding.
        sets: see the attribute.
        kernel: one of :data:`aigdetect.model.card.HEAD_KERNELS`.
    """

    def __init__(self, *, blocks: int, width: int, sets: int = 1, kernel: str = "linear") -> None:
        channels = max(1, blocks) * width
        quadratic = QuadraticFeatures(channels, sets) if kernel == "quadratic" else None
        super().__init__(channels if quadratic is None else quadratic.width, sets)
        self.blocks = blocks
        self.sets = sets
        self.channels = channels
        self.quadratic = quadratic

    def normalised(self, x: Tensor) -> Tensor:
        """What comes in, each class token normalised on its own.

        Args:
            x: the embedding ``(B, width)``, or class tokens ``(B, k, width)``, all or the first ones.

        Returns:
            ``(B, k * width)``, float32.
        """
        x = x.float()
        return F.layer_norm(x, x.shape[-1:]).flatten(1) if self.blocks else x

    def features(self, normalised: Tensor, sets: Tensor | None = None) -> Tensor:
        """What the weights multiply.

        Args:
            normalised: ``(B, channels)`` as of :meth:`normalised`.
            sets: ``(B,)`` int64, which set of weights is meant; None: the first.

        Returns:
            ``(B, F)``, float32.
        """
        if self.quadratic is None:
            return normalised
        return self.quadratic(normalised, sets)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, scales: Tensor | None = None) -> Tensor:
        """Logits of single views.

        Args:
            x: input as for :meth:`normalised`.
            scales: ``(B,)`` int64, number of each view's scale; None: all are of the first.

        Returns:
            logits ``(B,)``, float32.
        """
        sets = None if self.sets == 1 else scales
        with torch.autocast(x.device.type, enabled=False):
            logits = super().forward(self.features(self.normalised(x), sets))
        return logits[:, 0] if sets is None else logits.gather(1, sets[:, None]).squeeze(1)
