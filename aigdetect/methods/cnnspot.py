"""A ResNet-50 on crops that are often blurred and re-encoded.

Source: S.-Y. Wang, O. Wang, R. Zhang, A. Owens, A. A. Efros, CNN-generated images are surprisingly easy to
spot... for now, CVPR 2020, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from aigdetect.methods.bodies import whole
from aigdetect.methods.method import IMAGENET, PretrainedNetwork, PretrainedSettings


@dataclass(frozen=True)
class CnnSpotSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`."""

    size: int = 224
    network: str = "resnet50.tv_in1k"


class CnnSpot(PretrainedNetwork):
    """The network, its classifier being one logit; ``Blur+JPEG (0.5)`` of the paper is the recipe.

    The paper lowers the learning rate whenever the held-out accuracy rests, until it is 1e-6; here it follows
    a cosine to 0.
    """

    settings_type = CnnSpotSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-4,
        "batch_size": 64,
        "augmentation": {"blur_probability": 0.5, "jpeg_probability": 0.5},
    }

    def __init__(self, settings: CnnSpotSettings) -> None:
        body, width = whole(settings.network)
        super().__init__(settings, width=width, statistics=IMAGENET)
        self.body = body
