"""A ResNet-18 beside which Gram matrices of its features go to the classifier: texture of the whole image.

Source: Z. Liu, X. Qi, P. H. S. Torr, Global Texture Enhancement for Fake Face Detection in the Wild, CVPR
2020, section 4; its published code for the widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.bodies import whole
from aigdetect.methods.method import IMAGENET, PretrainedNetwork, PretrainedSettings

#: parts of the ResNet whose outputs have a Gram block, besides the image itself
PLACES = ("act1", "maxpool", "layer1", "layer2", "layer3")
# channels whose products make a Gram matrix, and of what is read from it
_CHANNELS, _READ = 32, (16, 32)


@dataclass(frozen=True)
class GramNetSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`: a ResNet; the paper reduces whole faces to the size."""

    size: int = 512
    network: str = "resnet18.tv_in1k"


def gram_matrices(features: Tensor) -> Tensor:
    """Features ``(B, C, H, W)`` to the mean products of their channels, ``(B, 1, C, C)``, over ``C H W``."""
    rows = features.flatten(2)
    return (rows @ rows.transpose(1, 2)).unsqueeze(1) / features[0].numel()


class GramBlock(nn.Sequential):
    """Features ``(B, C, H, W)`` to what two convolutions read of their Gram matrix, ``(B, 32)``.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = [*_layer(channels, _CHANNELS, stride=1), _Gram()]
        for before, after in zip((1, *_READ), _READ, strict=False):
            layers += _layer(before, after, stride=2)
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class _Gram(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return gram_matrices(features)


def _layer(before: int, after: int, *, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


class GramNet(PretrainedNetwork):
    """The ResNet with Gram blocks on the image and on :data:`PLACES`, all scaled by one learnt number."""

    settings_type = GramNetSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-4,
        "batch_size": 32,
        "epochs": 10,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0},
    }

    def __init__(self, settings: GramNetSettings) -> None:
        body, width = whole(settings.network)
        parts = dict(body.named_children())
        if missing := [place for place in PLACES if place not in parts]:
            raise UsageError(f"network: {settings.network} has no part {missing[0]!r}; use a ResNet")
        super().__init__(settings, width=width + (1 + len(PLACES)) * _READ[-1], statistics=IMAGENET)
        self.body = body
        self.grams = nn.ModuleDict(
            {place: GramBlock(channels) for place, channels in _channels(parts).items()}
        )
        self.scale = nn.Parameter(torch.ones(1))

    def read(self, trunk: Tensor) -> Tensor:
        """See :meth:`Network.read`: what the ResNet gives, and what the Gram blocks do."""
        features = self.preprocess(trunk)
        grams = [self.grams["image"](features)]
        for name, part in self.body.named_children():
            features = part(features)
            if name in PLACES:
                grams.append(self.grams[name](features))
        return torch.cat([features, *(self.scale * gram for gram in grams)], dim=1)


def _channels(parts: dict[str, nn.Module]) -> dict[str, int]:
    """Channels of the image and of what the parts of a ResNet give, by place."""
    channels, image = {"image": 3}, torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        for name, part in parts.items():
            image = part.eval()(image)
            if name in PLACES:
                channels[name] = image.shape[1]
            part.train()
            if name == PLACES[-1]:
                break
    return channels
