"""A ResNet-50 on crops that are often blurred and re-encoded.

Source: S.-Y. Wang, O. Wang, R. Zhang, A. Owens, A. A. Efros, CNN-generated images are surprisingly easy to
spot... for now, CVPR 2020, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from aigdetect.errors import UsageError
from aigdetect.methods.bodies import whole
from aigdetect.methods.method import IMAGENET, PixelNetwork
from aigdetect.parsing import STRICT_KEYS


@dataclass(frozen=True)
class CnnSpotSettings:
    """Hyperparameters.

    Attributes:
        size: side of the crop in pixels.
        network: network of timm, with the tag of the weights that it begins with.
        pretrained: whether it begins with them.

    Raises:
        UsageError: if the size is too small.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int = 224
    network: str = "resnet50.tv_in1k"
    pretrained: bool = True

    def __post_init__(self) -> None:
        if self.size < 32:
            raise UsageError(f"size: {self.size} is below 32")


class CnnSpot(PixelNetwork):
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

    @property
    def pretrained(self) -> str | None:
        """See :attr:`MethodNetwork.pretrained`: weights of ImageNet."""
        return self.settings.network if self.settings.pretrained else None
