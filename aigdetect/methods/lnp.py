"""A ResNet-50 on the noise that a denoiser finds in an image, and on the spectrum of that noise.

Source: B. Liu, F. Yang, X. Bi, B. Xiao, W. Li, X. Gao, Detecting Generated Images by Real Images, ECCV 2022,
section 3; its published code for the channels. K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, Beyond a
Gaussian Denoiser, TIP 2017, section 3, for the denoiser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.bodies import whole
from aigdetect.methods.instrument import Instrument, InstrumentKind, read_network
from aigdetect.methods.method import IMAGENET, PretrainedNetwork, PretrainedSettings

# what stands for no noise among whole numbers from 0 to 255
_NONE = 128
_GREY = (0.3, 0.59, 0.11)
# exponent under which the published code compresses amplitudes
_POWER = 0.8
_LEAST = 1e-8
_LAYER = re.compile(r"(?:.*\.)?(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class LnpSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`: a ResNet, whose first convolution begins with random weights."""

    size: int = 224
    network: str = "resnet50.tv_in1k"


class Denoiser(nn.Module):
    """A DnCNN: 3x3 convolutions with ReLUs between them, from pixels to the noise in them.

    Args:
        state: weights and biases, their names ending with a number, in the order of the layers, and
            ``weight`` or ``bias``; of three channels, or of one, which then sees each colour by itself.

    Raises:
        ValueError: if they are not those of such a network.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        layers: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if (found := _LAYER.fullmatch(name)) is None:
                raise ValueError(f"tensor {name} is none of a convolution")
            layer = layers.setdefault(int(found[1]), {})
            if found[2] in layer:
                raise ValueError(f"tensor {name} has the number of another")
            layer[found[2]] = tensor
        made: list[nn.Module] = []
        channels = first = 0
        for number, layer in sorted(layers.items()):
            shape = tuple(layer["weight"].shape) if "weight" in layer else ()
            if len(shape) != 4 or shape[2:] != (3, 3) or (made and shape[1] != channels):
                raise ValueError(f"layer {number} is no 3x3 convolution of {channels or 'some'} channels")
            first, channels = first or shape[1], shape[0]
            convolution = nn.Conv2d(shape[1], channels, 3, padding=1, bias="bias" in layer)
            convolution.load_state_dict(layer)
            made += [*([nn.ReLU()] if made else []), convolution]
        if first != channels or first not in (1, 3):
            raise ValueError(f"it makes {channels} channels of {first}, not three of three, or one of one")
        self.layers = nn.Sequential(*made)
        self.channels = first

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, S, S)`` float32, 0..1, to the noise in them, in the same form."""
        noise: Tensor = self.layers(images.reshape(-1, self.channels, *images.shape[2:]))
        return noise.view_as(images)


def read_denoiser(file: Path) -> Instrument:
    """The denoiser in a safetensors file.

    Raises:
        UsageError: if there is none.
    """
    return read_network(file, "DnCNN", Denoiser)


def noise_channels(noise: Tensor) -> Tensor:
    """Noise with the amplitudes and the phases of its spectrum.

    Args:
        noise: ``(B, 3, S, S)`` float32.

    Returns:
        ``(B, 5, S, S)``: the noise; amplitudes to the power of 0.8; phases, -pi..pi. Both are means over the
        colours, weighed as for grey, and have frequency 0 in the middle.
    """
    spectrum = torch.fft.fft2(noise, norm="ortho")
    grey = noise.new_tensor(_GREY).view(3, 1, 1)
    seen = [
        torch.fft.fftshift((part * grey).sum(dim=1, keepdim=True), dim=(2, 3))
        for part in ((spectrum.abs() + _LEAST) ** _POWER, spectrum.angle())
    ]
    return torch.cat([noise, *seen], dim=1)


class Lnp(PretrainedNetwork):
    """The network on :func:`noise_channels`.

    The denoiser is a DnCNN in place of the paper's, CycleISP's. Noise is kept in whole grey levels, as in the
    published code, but of both signs, where that keeps what is above 0.
    """

    settings_type = LnpSettings
    looks_through = InstrumentKind(
        "a DnCNN for colour images whose batch normalisations are merged, as one safetensors file (such as "
        "dncnn_color_blind of cszn/KAIR, turned into safetensors)",
        read_denoiser,
    )
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-4,
        "batch_size": 64,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0},
    }

    def __init__(self, settings: LnpSettings, instrument: Mapping[str, Tensor]) -> None:
        body, width = whole(settings.network, channels=5)
        super().__init__(settings, width=width, statistics=((_NONE / 255,) * 3, IMAGENET[1]))
        self.body = body
        try:
            self.instrument = Denoiser(instrument)
        except (ValueError, RuntimeError) as error:
            raise UsageError(f"no DnCNN ({str(error).splitlines()[0]})") from error
        self.instrument.requires_grad_(requires_grad=False)

    def begin_with(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`MethodNetwork.begin_with`; the first convolution, of other channels, stays random."""
        own = self.body.state_dict()
        first = next(name for name, tensor in own.items() if tensor.ndim == 4)
        super().begin_with({**state, first: own[first]})

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: the noise in grey levels, 128 being none, kept in place of the view."""
        noise = self.instrument(views.permute(0, 3, 1, 2).float() / 255)
        levels: Tensor = (255 * noise + _NONE).round().clamp(0, 255)
        return levels.permute(0, 2, 3, 1).to(torch.uint8)

    def preprocess(self, pixels: Tensor) -> Tensor:
        """See :meth:`PixelNetwork.preprocess`: :func:`noise_channels` of what :meth:`trunk` gave."""
        return noise_channels(self.normalise(pixels))
