"""A ResNet-34 on the logarithm of the spectrum of each colour channel.

Source: X. Zhang, S. Karaman, S.-F. Chang, Detecting and Simulating Artifacts in GAN Fake Images, WIFS 2019,
section 4; its published code for how the spectrum is scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from aigdetect.methods.bodies import whole
from aigdetect.methods.method import PretrainedNetwork, PretrainedSettings

_FLOOR = 1e-3


@dataclass(frozen=True)
class FreqSpecSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`."""

    size: int = 224
    network: str = "resnet34.tv_in1k"


def log_spectrum(images: Tensor) -> Tensor:
    """Logarithms of the amplitudes of the DFT, each channel's 5th to 95th percentile brought to -1..1.

    Args:
        images: ``(B, C, S, S)`` float32, 0..1.

    Returns:
        the same shape, what is beyond clipped; frequency 0 comes first.
    """
    logarithms = (torch.fft.fft2(images).abs() + _FLOOR).log()
    low, high = torch.quantile(
        logarithms.flatten(2), logarithms.new_tensor([0.05, 0.95]), dim=2, keepdim=True
    ).unsqueeze(-1)
    middle, half = (low + high) / 2, (high - low) / 2
    scaled: Tensor = (logarithms - middle) / half.clamp_min(1e-12)
    return scaled.clamp(-1, 1)


class FreqSpec(PretrainedNetwork):
    """The network on :func:`log_spectrum`.

    The paper trains on the images of its own simulator of GANs, AutoGAN, or on those of CycleGAN; here it
    learns from what the data has.
    """

    settings_type = FreqSpecSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-4,
        "batch_size": 64,
        "epochs": 10,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0, "flip_probability": 0.0},
    }

    def __init__(self, settings: FreqSpecSettings) -> None:
        body, width = whole(settings.network)
        super().__init__(settings, width=width)
        self.body = body

    def preprocess(self, pixels: Tensor) -> Tensor:
        """See :meth:`PixelNetwork.preprocess`: :func:`log_spectrum`."""
        return log_spectrum(self.normalise(pixels))
