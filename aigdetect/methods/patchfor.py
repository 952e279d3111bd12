"""The first blocks of an Xception, with a logit for every patch that they see.

Source: L. Chai, D. Bau, S.-N. Lim, P. Isola, What makes fake images detectable? Understanding properties that
generalize, ECCV 2020, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from aigdetect.methods.bodies import up_to
from aigdetect.methods.method import PretrainedNetwork, PretrainedSettings


@dataclass(frozen=True)
class PatchForensicsSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`; the network is sequential.

    Attributes:
        last: its last part that is kept: the fewer, the smaller the patches. The paper's best of Xception is
            the second block.
    """

    size: int = 299
    network: str = "legacy_xception.tf_in1k"
    last: str = "block2"


class PatchForensics(PretrainedNetwork):
    """Every patch is judged for itself, also in the loss; the logit of a view is the mean over its patches.

    The paper averages the patches' probabilities after a softmax over two classes; logits are averaged here,
    so that one that is certain is not drowned.
    """

    settings_type = PatchForensicsSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "batch_size": 32,
        "epochs": 10,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0},
    }

    def __init__(self, settings: PatchForensicsSettings) -> None:
        body, width = up_to(settings.network, settings.last)
        super().__init__(settings, width=width, statistics=((0.5,) * 3, (0.5,) * 3))
        self.body = body

    def patches(self, trunk: Tensor) -> Tensor:
        """Output of :meth:`trunk` to the features of each patch, ``(B, C, h, w)``."""
        return self.body(self.preprocess(trunk))  # type: ignore[no-any-return]

    def read(self, trunk: Tensor) -> Tensor:
        """See :meth:`Network.read`: the mean of the patches, whose logit is their mean logit."""
        return self.patches(trunk).mean(dim=(2, 3))

    def training_logits(self, trunk: Tensor) -> Tensor:
        """See :meth:`Network.training_logits`: one logit for each patch of each view."""
        patches = self.patches(trunk.flatten(0, 1)).flatten(2).transpose(1, 2)
        logits = F.linear(patches, self.head.weight, self.head.bias)
        return logits.reshape(len(trunk), -1)
