"""Neighbouring pixel relations: what is left of a pixel without the first of its 2x2 cell.

Source: C. Tan, H. Liu, Y. Zhao, S. Wei, G. Gu, P. Liu, Y. Wei, Rethinking the Up-Sampling Operations in
CNN-based Generative Network for Generalizable Deepfake Detection, CVPR 2024, section 3; its published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.bodies import up_to
from aigdetect.methods.method import IMAGENET, PixelNetwork
from aigdetect.parsing import STRICT_KEYS

# the published code scales its network's input so
_GAIN = 2 / 3


@dataclass(frozen=True)
class NprSettings:
    """Hyperparameters.

    Attributes:
        size: side of the crop in pixels, even. The paper reduces images to 256 before it crops; here their
            own pixels are seen.
        network: ResNet of timm whose first two stages are the body; a first convolution of 7x7 becomes 3x3.

    Raises:
        UsageError: if the size is odd or too small.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int = 224
    network: str = "resnet50"

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 2:
            raise UsageError(f"size: {self.size} is not an even number from 16 on")


def neighbour_relations(images: Tensor) -> Tensor:
    """Images ``(B, C, H, W)`` of even sides, minus themselves reduced and enlarged twofold by copying."""
    reduced = images[..., ::2, ::2]
    return images - F.interpolate(reduced, scale_factor=2, mode="nearest")


class Npr(PixelNetwork):
    """The first two stages of a ResNet, trained from random weights, on neighbouring pixel relations."""

    settings_type = NprSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 2e-4,
        "epochs": 50,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0},
    }

    def __init__(self, settings: NprSettings) -> None:
        stages, width = up_to(settings.network, "layer2")
        super().__init__(settings, width=width, statistics=IMAGENET)
        if isinstance(first := stages.conv1, nn.Conv2d):  # some begin with several of 3x3
            stages.conv1 = nn.Conv2d(3, first.out_channels, kernel_size=3, stride=2, padding=1, bias=False)
        self.body = nn.Sequential(stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def preprocess(self, pixels: Tensor) -> Tensor:
        """See :meth:`PixelNetwork.preprocess`: :func:`neighbour_relations`."""
        return _GAIN * neighbour_relations(self.normalise(pixels))
