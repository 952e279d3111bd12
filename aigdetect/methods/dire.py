"""A ResNet-50 on what is left of an image without what an autoencoder of a diffusion model gives back of it.

Source: Z. Wang, J. Bao, W. Zhou, W. Wang, H. Hu, H. Chen, H. Li, DIRE for Diffusion-Generated Image
Detection, ICCV 2023, section 3; its published code for the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.autoencoders import AUTOENCODERS, build_autoencoders, reconstructed
from aigdetect.methods.bodies import whole
from aigdetect.methods.method import IMAGENET, PretrainedNetwork, PretrainedSettings


@dataclass(frozen=True)
class DireSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`; the size is a multiple of the autoencoder's reduction."""

    size: int = 224
    network: str = "resnet50.tv_in1k"


def reconstruction_error(autoencoder: nn.Module, views: Tensor) -> Tensor:
    """Absolute differences of views ``(B, S, S, 3)`` uint8 and what comes back of them, in the same form."""
    images = views.permute(0, 3, 1, 2).float() / 255
    difference = 255 * (images - reconstructed(autoencoder, images)).abs()
    return difference.permute(0, 2, 3, 1).to(torch.uint8)


class Dire(PretrainedNetwork):
    """The network on :func:`reconstruction_error`.

    The paper inverts an image to the noise of a diffusion model, and generates it anew from that, in 20 steps
    each; here it goes through a diffusion model's autoencoder once: of what such a model leaves in an image,
    the decoder's part alone is seen. Crops are native, not of images reduced to 256.
    """

    settings_type = DireSettings
    looks_through = AUTOENCODERS
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-4,
        "batch_size": 64,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0},
    }

    def __init__(self, settings: DireSettings, instrument: Mapping[str, Tensor]) -> None:
        body, width = whole(settings.network)
        super().__init__(settings, width=width, statistics=IMAGENET)
        self.body = body
        autoencoders = build_autoencoders(instrument, size=settings.size)
        if len(autoencoders) > 1:
            raise UsageError(f"{len(autoencoders)} autoencoders are too many; name one by its encoder's file")
        self.instrument = nn.ModuleList(autoencoders)

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: :func:`reconstruction_error`, kept in place of the view."""
        return reconstruction_error(self.instrument[0], views)
