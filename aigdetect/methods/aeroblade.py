"""How far an image is from what an autoencoder of a diffusion model gives back of it; nothing is trained.

Source: J. Ricker, D. Lukovnikov, A. Fischer, AEROBLADE: Training-Free Detection of Latent Diffusion Images
Using Autoencoder Reconstruction Error, CVPR 2024, section 4; its published code for the layer.
R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric, CVPR 2018, section 3, for the distance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.autoencoders import AUTOENCODERS, build_autoencoders, reconstructed
from aigdetect.methods.method import IMAGENET, FeatureNetwork
from aigdetect.parsing import STRICT_KEYS

_VGG = "vgg16.tv_in1k"
_LEAST = 1e-10  # of distances, whose logarithm is taken


@dataclass(frozen=True)
class AerobladeSettings:
    """Hyperparameters.

    Attributes:
        size: side of the crop in pixels, a multiple of the autoencoder's reduction; the paper takes images
            whole.
        pretrained: whether the distance is taken of features that learnt from ImageNet.

    Raises:
        UsageError: if the size is too small.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int = 256
    pretrained: bool = True

    def __post_init__(self) -> None:
        if self.size < 32:
            raise UsageError(f"size: {self.size} is below 32")


class Aeroblade(FeatureNetwork):
    """The logarithm of the least distance over all autoencoders that are given, calibrated by a regression.

    A monotonic function of the paper's measure: it ranks images as that does. The distance is LPIPS on the
    second layer of VGG-16, as the published code has it, but without the weights of its channels, which were
    fitted to people's judgements: all count alike. The autoencoders are tiny ones made after those of
    diffusion models, not those themselves.
    """

    settings_type = AerobladeSettings
    looks_through = AUTOENCODERS
    recipe: ClassVar[dict[str, Any]] = {
        "head_penalty": 0.02,
        "epochs": 0,
        "copies": 2,
        "plain_copy": True,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0, "flip_probability": 0.0},
    }

    def __init__(self, settings: AerobladeSettings, instrument: Mapping[str, Tensor]) -> None:
        super().__init__(settings, width=1, statistics=IMAGENET)
        self.body = _first_layers()
        self.body.requires_grad_(requires_grad=False)
        self.instrument = nn.ModuleList(build_autoencoders(instrument, size=settings.size))

    @property
    def pretrained(self) -> str | None:
        """See :attr:`MethodNetwork.pretrained`."""
        return _VGG if self.settings.pretrained else None

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: the logarithm of the least distance, ``(B, 1)``."""
        images = views.permute(0, 3, 1, 2).float() / 255
        seen = self._features(images)
        distances = [
            (seen - self._features(reconstructed(autoencoder, images))).square().sum(dim=1).mean(dim=(1, 2))
            for autoencoder in self.instrument
        ]
        return torch.stack(distances, dim=1).amin(dim=1, keepdim=True).clamp_min(_LEAST).log()

    def _features(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, S, S)``, 0..1, to features of unit length ``(B, 128, S/2, S/2)``."""
        return F.normalize(self.body((255 * images - self.mean) / self.std), dim=1)


def _first_layers() -> nn.Sequential:
    """VGG-16 up to its second layer's output, by timm's names."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 128):
        layers += [nn.MaxPool2d(2)] if layers else []
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers)))
