"""Decoders of real generators: pairs of tiny autoencoders made for the latents of diffusion models.

A pair is two files of weights, ``NAME_encoder.safetensors`` and ``NAME_decoder.safetensors``. Their layers
are read off the names and shapes of the tensors, so that every pair of the family fits, whatever its latent
channels, its reduction (8 or 32), and whether its middle blocks have a normed bypass.

Source: O. Boer Bohan, Tiny AutoEncoder for Stable Diffusion (TAESD), whose description this follows.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.images.decode import MIN_SIDE
from aigdetect.images.views import Pixels

_ENCODER, _DECODER = "_encoder.safetensors", "_decoder.safetensors"
_LAYER = re.compile(r"(\d+)\.(.+)")
_MOST_LAYERS = 64
_GROUPS = 4  # of the norm in a middle block's bypass
_LATENT_LIMIT = 3.0  # the decoder bends larger latents down to it


@dataclass(frozen=True)
class Pair:
    """Files of an encoder and its decoder.

    Attributes:
        name: what both are called.
        encoder: from images to latents.
        decoder: back.
        digest: SHA-256 over both files, hexadecimal.
    """

    name: str
    encoder: Path
    decoder: Path
    digest: str


def find_pairs(place: Path) -> list[Pair]:
    """The pairs in a folder, by name, or the one whose encoder is named.

    Raises:
        UsageError: if there is none, or a file cannot be read.
    """
    pairs = []
    try:
        named = place.name.endswith(_ENCODER) and place.is_file()
        for encoder in [place] if named else sorted(place.glob(f"*{_ENCODER}")):
            name = encoder.name.removesuffix(_ENCODER)
            decoder = encoder.with_name(name + _DECODER)
            if decoder.is_file():
                digest = hashlib.sha256(encoder.read_bytes() + decoder.read_bytes()).hexdigest()
                pairs.append(Pair(name, encoder, decoder, digest))
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read ({error.strerror})") from error
    if not pairs:
        raise UsageError(
            f"{place} holds no pair of files NAME{_ENCODER} and NAME{_DECODER}; name another folder"
        )
    return pairs


class TinyAutoencoder(nn.Module):
    """An encoder and its decoder.

    Attributes:
        stride: sides of a reconstructed image are multiples of this.

    Args:
        encoder: tensors by name, such as ``"3.conv.0.weight"``.
        decoder: likewise.

    Raises:
        ValueError: if they are not those of such a pair.
    """

    def __init__(self, encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.encoder = _sequence(encoder, decodes=False)
        self.decoder = _sequence(decoder, decodes=True)
        first, last = _channels(self.encoder), _channels(self.decoder)
        if first[0] != 3 or last[1] != 3 or first[1] != last[0]:
            raise ValueError(f"channels {first} and {last} are not those of an encoder and its decoder")
        self.stride = 2 ** sum(
            isinstance(layer, nn.Conv2d) and layer.stride == (2, 2) for layer in self.encoder
        )
        if self.stride > MIN_SIDE:
            raise ValueError(f"a reduction by {self.stride} leaves nothing of small images")
        doublings = sum(isinstance(layer, nn.Upsample) for layer in self.decoder)
        if 2**doublings != self.stride:
            raise ValueError(f"{doublings} doublings do not undo a reduction by {self.stride}")

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)``, 0..1, to reconstructions; sides are multiples of :attr:`stride`."""
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]

    @torch.inference_mode()
    def reconstruct(self, pixels: Pixels) -> Pixels:
        """What comes back of an image ``(H, W, 3)`` uint8, its sides cut to multiples of :attr:`stride`."""
        height, width = (side // self.stride * self.stride for side in pixels.shape[:2])
        x = torch.from_numpy(np.array(pixels[:height, :width])).permute(2, 0, 1)[None].float() / 255
        restored = (255 * self(x)[0].permute(1, 2, 0)).round().clamp(0, 255)
        return restored.byte().numpy()  # type: ignore[no-any-return]


def load_pair(pair: Pair) -> TinyAutoencoder:
    """The network of a pair, float32 on the CPU.

    Raises:
        UsageError: if the files are not such a pair.
    """
    try:
        network = filled(*(load(path.read_bytes()) for path in (pair.encoder, pair.decoder)))
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise UsageError(
            f"{pair.encoder} and {pair.decoder.name} are no pair of a tiny autoencoder "
            f"({str(error).splitlines()[0]})"
        ) from error
    return network


def filled(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> TinyAutoencoder:
    """The network of such tensors, float32 on the CPU.

    Raises:
        ValueError: if they are not those of a pair.
        RuntimeError: likewise.
        KeyError: likewise.
    """
    network = TinyAutoencoder(encoder, decoder)
    network.encoder.load_state_dict(dict(encoder))
    network.decoder.load_state_dict(dict(decoder))
    return network.float().eval()


class _Block(nn.Module):
    """Three convolutions with a way past them; a middle block has a normed bypass in front of both."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        after, before = shapes["conv.0.weight"][:2]
        self.conv = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.skip = nn.Conv2d(before, after, 1, bias=False) if before != after else nn.Identity()
        self.pool = None
        if "pool.0.weight" in shapes:
            pool = shapes["pool.0.weight"][0]
            self.pool = nn.Sequential(
                nn.Conv2d(before, pool, 1, bias=False),
                nn.GroupNorm(_GROUPS, pool),
                nn.ReLU(),
                nn.Conv2d(pool, before, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + self.skip(x))


class _Limit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / _LATENT_LIMIT) * _LATENT_LIMIT


def _sequence(state: Mapping[str, Tensor], *, decodes: bool) -> nn.Sequential:
    """Layers with the shapes of the tensors; between them stand those that have no weights."""
    layers: defaultdict[int, dict[str, torch.Size]] = defaultdict(dict)
    for name, tensor in state.items():
        if (found := _LAYER.fullmatch(name)) is None:
            raise ValueError(f"tensor {name} is none of a layer")
        layers[int(found[1])][found[2]] = tensor.shape
    count = max(layers, default=-1) + 1
    if count > _MOST_LAYERS:
        raise ValueError(f"{count} layers are too many")
    gaps = set(range(count)) - layers.keys()
    made: list[nn.Module] = []
    for number in range(count):
        shapes = layers.get(number)
        if shapes is None:
            made.append(_without_weights(number, layers[number + 1], decodes=decodes))
        elif "conv.0.weight" in shapes:
            made.append(_Block(shapes))
        else:
            # an encoder halves the resolution by convolutions without bias, or in its stem
            halves = not decodes and ("bias" not in shapes or number + 1 in gaps)
            after, before = shapes["weight"][:2]
            made.append(nn.Conv2d(before, after, 3, 2 if halves else 1, padding=1, bias="bias" in shapes))
    return nn.Sequential(*made)


def _without_weights(number: int, after: Mapping[str, torch.Size], *, decodes: bool) -> nn.Module:
    """The layer without weights that stands in front of one with these shapes."""
    if not decodes:
        return nn.ReLU()
    if number == 0:
        return _Limit()
    doubles = "weight" in after and "bias" not in after
    return nn.Upsample(scale_factor=2) if doubles else nn.ReLU()


def _channels(layers: nn.Sequential) -> tuple[int, int]:
    """Channels that go in and come out."""
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    if not convolutions:
        raise ValueError("there is no convolution")
    return convolutions[0].in_channels, convolutions[-1].out_channels
