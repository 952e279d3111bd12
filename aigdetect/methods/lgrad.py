"""A ResNet-50 on the gradient of a GAN's discriminator by the image.

Source: C. Tan, Y. Zhao, S. Wei, G. Gu, Y. Wei, Learning on Gradients: Generalized Artifacts Representation
for GAN-Generated Images Detection, CVPR 2023, section 3; its published code for how gradients are scaled.
T. Karras, T. Aila, S. Laine, J. Lehtinen, Progressive Growing of GANs, ICLR 2018, appendix A, and T. Karras,
S. Laine, T. Aila, A Style-Based Generator Architecture, CVPR 2019, appendix C, for the discriminator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.bodies import whole
from aigdetect.methods.instrument import Instrument, InstrumentKind, read_network
from aigdetect.methods.method import IMAGENET, PretrainedNetwork, PretrainedSettings

_SLOPE = 0.2  # of the leaky ReLU below 0
_DEVIATION = 1e-4  # of an image alone from the images beside it, as the discriminator tells that
_SMALLEST = 4  # side of the last features
_TENSOR = re.compile(r"(input|layer)(\d+)\.(?:(?:conv|fc|wscale)\.)?(weight|bias)")


@dataclass(frozen=True)
class LgradSettings(PretrainedSettings):
    """See :class:`PretrainedSettings`; the size is that of the discriminator's images."""

    size: int = 256
    network: str = "resnet50.tv_in1k"


class Discriminator(nn.Module):
    """A discriminator of ProGAN or StyleGAN, at its full resolution and without labels.

    Attributes:
        size: side of its images in pixels.

    Args:
        state: tensors by the names of :func:`read_discriminator`.

    Raises:
        ValueError: if they are not those of such a network.
    """

    blur: Tensor | None

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("blur", state.get("blur"))
        convolutions = [state[name] for name in _numbered("convolutions", state)]
        dense = [state[name] for name in _numbered("dense", state)]
        sides = [tuple(weight.shape[2:]) for weight in convolutions]
        if sides[:1] != [(1, 1)] or set(sides[1:]) != {(3, 3)}:
            raise ValueError("its convolutions are not one of 1x1 and then some of 3x3")
        if len(convolutions) % 2 or [weight.ndim for weight in dense] != [2, 2]:
            raise ValueError(f"{len(convolutions)} convolutions and {len(dense)} dense layers make none")
        self.convolutions = nn.ModuleList(
            nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2]) for weight in convolutions
        )
        self.dense = nn.ModuleList(nn.Linear(weight.shape[1], weight.shape[0]) for weight in dense)
        channels = [3, *(weight.shape[0] for weight in convolutions)]
        channels[-2] += 1  # how far an image is from others comes along
        if [weight.shape[1] for weight in convolutions] != channels[:-1]:
            raise ValueError("its convolutions do not follow one another")
        if dense[0].shape[1] != channels[-1] * _SMALLEST**2 or dense[1].shape != (1, dense[0].shape[0]):
            raise ValueError("its dense layers do not follow the convolutions, or tell labels apart")
        self.size = _SMALLEST * 2 ** (len(convolutions) // 2 - 1)
        self.load_state_dict(dict(state))

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, size, size)`` float32, -1..1, to ``(B,)``: how real they look."""
        return self._pass(images)[0]

    def gradient(self, images: Tensor) -> Tensor:
        """Gradient of :meth:`forward` by each image, in the form of the images.

        It is written out, so that it can be had where torch records no gradients.
        """
        _, slopes, dense_slopes = self._pass(images)
        first, last = self._dense
        gradient = (dense_slopes * _scaled(last.weight, 1)) @ _scaled(first.weight, 2)
        gradient = gradient.view_as(slopes[-1])
        for number in reversed(range(len(self.convolutions))):
            halves, is_last = self._kind(number)
            gradient = gradient * slopes[number]
            if halves:
                gradient = F.interpolate(gradient, scale_factor=2, mode="nearest") / 4
            weight = _scaled(self._convolutions[number].weight, 2)
            gradient = F.conv_transpose2d(gradient, weight, padding=weight.shape[-1] // 2)
            gradient = gradient[:, :-1] if is_last else gradient
            gradient = self._blurred(gradient) if halves else gradient
        return gradient

    def _pass(self, images: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """What comes out, and the slopes of the activations behind each convolution and the dense layer."""
        x, slopes = images, []
        for number, layer in enumerate(self._convolutions):
            halves, is_last = self._kind(number)
            x = self._blurred(x) if halves else x
            x = torch.cat([x, torch.full_like(x[:, :1], _DEVIATION)], dim=1) if is_last else x
            weight = _scaled(layer.weight, 2)
            x = F.conv2d(x, weight, layer.bias, padding=weight.shape[-1] // 2)
            x = F.avg_pool2d(x, 2) if halves else x
            slopes.append(_slopes(x))
            x = x * slopes[-1]
        first, last = self._dense
        x = F.linear(x.flatten(1), _scaled(first.weight, 2), first.bias)
        slope = _slopes(x)
        return F.linear(x * slope, _scaled(last.weight, 1), last.bias)[:, 0], slopes, slope

    @property
    def _convolutions(self) -> Sequence[nn.Conv2d]:
        return cast("Sequence[nn.Conv2d]", self.convolutions)

    @property
    def _dense(self) -> Sequence[nn.Linear]:
        return cast("Sequence[nn.Linear]", self.dense)

    def _kind(self, number: int) -> tuple[bool, bool]:
        """Whether a convolution halves the resolution, and whether it is the last one."""
        return number > 0 and number % 2 == 0, number == len(self.convolutions) - 1

    def _blurred(self, x: Tensor) -> Tensor:
        """StyleGAN's features before they are halved; the filter is symmetric, and so its own transpose."""
        if self.blur is None:
            return x
        return F.conv2d(x, self.blur.expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


def _scaled(weight: Tensor, gain: int) -> Tensor:
    """A weight as the network calculates with it: drawn with a variance of 1, and scaled by its inputs."""
    return weight * math.sqrt(gain / weight[0].numel())


def _slopes(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1.0, _SLOPE)


def _numbered(kind: str, state: Mapping[str, Tensor]) -> list[str]:
    """Names of the weights of one kind, in order, none of them missing."""
    count = sum(name.startswith(f"{kind}.") and name.endswith(".weight") for name in state)
    return [f"{kind}.{number}.weight" for number in range(count)]


def read_discriminator(file: Path) -> Instrument:
    """The discriminator in a safetensors file, by the names that genforce gives its tensors.

    Its tensors are renamed: ``convolutions.N`` and ``dense.N`` in the order in which they calculate, and
    ``blur``, StyleGAN's filter, where the file has one. Layers of lower resolutions' images are left out.

    Raises:
        UsageError: if there is none.
    """
    what = "discriminator of ProGAN or StyleGAN"
    return read_network(file, what, lambda state: Discriminator(_renamed(state)))


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    layers = {int(found[2]) for name in state if (found := _TENSOR.fullmatch(name)) and found[1] == "layer"}
    convolutions = max(layers, default=0) - 1  # the last two are dense
    for name, tensor in state.items():
        if (found := _TENSOR.fullmatch(name)) is None:
            if name.endswith("kernel"):
                kernel = torch.tensor([1.0, 2.0, 1.0])
                renamed["blur"] = torch.outer(kernel, kernel)[None, None] / 16
            elif name != "lod":
                raise ValueError(f"tensor {name} has no place in it")
            continue
        kind, number, part = found[1], int(found[2]), found[3]
        if kind == "input":
            if number == 0:
                renamed[f"convolutions.0.{part}"] = tensor
            continue
        if tensor.ndim == 4 and tensor.shape[:2] == (3, 3):  # what is halved at once lies the other way round
            tensor = tensor.permute(3, 2, 0, 1).contiguous()
        place = f"convolutions.{number + 1}" if number < convolutions else f"dense.{number - convolutions}"
        renamed[f"{place}.{part}"] = tensor
    return renamed


class Lgrad(PretrainedNetwork):
    """The network on the gradient of the discriminator, from its least number to its largest in grey levels.

    An image is alone before the discriminator, so that its gradient does not depend on others. Crops are
    native, where the paper reduces whole images to the size.
    """

    settings_type = LgradSettings
    looks_through = InstrumentKind(
        "the discriminator of a ProGAN or StyleGAN of the size of the views, as one safetensors file with "
        "genforce's names of tensors (the paper's is karras2019stylegan-bedrooms-256x256_discriminator, as "
        "its published code names it, turned into safetensors)",
        read_discriminator,
    )
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 5e-4,
        "batch_size": 16,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0},
    }

    def __init__(self, settings: LgradSettings, instrument: Mapping[str, Tensor]) -> None:
        body, width = whole(settings.network)
        super().__init__(settings, width=width, statistics=IMAGENET)
        self.body = body
        try:
            discriminator = Discriminator(instrument)
        except (ValueError, RuntimeError, KeyError) as error:
            raise UsageError(f"no discriminator ({str(error).splitlines()[0]})") from error
        if discriminator.size != settings.size:
            raise UsageError(f"size: {settings.size} is not the {discriminator.size} of the discriminator")
        self.instrument = discriminator.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: the gradient in grey levels, 0 to 255, kept in place of the view."""
        gradient = self.instrument.gradient(views.permute(0, 3, 1, 2).float() / 127.5 - 1)
        least, largest = (one(gradient, dim=(1, 2, 3), keepdim=True) for one in (torch.amin, torch.amax))
        levels: Tensor = 255 * (gradient - least) / (largest - least).clamp_min(torch.finfo().tiny)
        return levels.permute(0, 2, 3, 1).to(torch.uint8)
