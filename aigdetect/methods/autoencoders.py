"""What the methods share that give an image back through autoencoders of diffusion models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.instrument import Instrument, InstrumentKind
from aigdetect.model.decoders import TinyAutoencoder, filled, find_pairs, load_pair


def read_autoencoders(place: Path) -> Instrument:
    """The pairs in a folder, or the one whose encoder is named.

    Raises:
        UsageError: if there is none, or a file is no such network.
    """
    pairs = find_pairs(place)
    state = {
        f"{number}.{name}": tensor
        for number, pair in enumerate(pairs)
        for name, tensor in load_pair(pair).state_dict().items()
    }
    digests = [pair.digest for pair in pairs]
    digest = digests[0] if len(pairs) == 1 else hashlib.sha256("".join(digests).encode("ascii")).hexdigest()
    return Instrument(", ".join(pair.name for pair in pairs), digest, state)


#: tiny autoencoders, of which a method takes one or several
AUTOENCODERS = InstrumentKind(
    "an autoencoder of a diffusion model, as NAME_encoder.safetensors and NAME_decoder.safetensors of the "
    "TAESD family (madebyollin/taesd on the model hub has taesd_encoder.safetensors and its decoder)",
    read_autoencoders,
)


def build_autoencoders(state: Mapping[str, Tensor], *, size: int) -> list[TinyAutoencoder]:
    """The networks of :func:`read_autoencoders`' tensors, which do not train.

    Args:
        state: by name: the number of a pair, ``encoder`` or ``decoder``, layer and tensor.
        size: side of the views in pixels.

    Raises:
        UsageError: if they are not those of such networks, or cannot take views of this size.
    """
    parts: dict[tuple[int, str], dict[str, Tensor]] = {}
    try:
        for name, tensor in state.items():
            number, part, rest = name.split(".", 2)
            parts.setdefault((int(number), part), {})[rest] = tensor
        count = 1 + max(number for number, _ in parts)
        networks = [filled(parts[number, "encoder"], parts[number, "decoder"]) for number in range(count)]
    except (ValueError, RuntimeError, KeyError) as error:
        raise UsageError(f"no tiny autoencoder ({str(error).splitlines()[0]})") from error
    for network in networks:
        network.requires_grad_(requires_grad=False)
        if size % network.stride:
            raise UsageError(
                f"size: {size} is no multiple of {network.stride}, by which an autoencoder reduces"
            )
    return networks


def reconstructed(autoencoder: nn.Module, images: Tensor) -> Tensor:
    """What comes back of images ``(B, 3, S, S)`` float32, 0..1, in the same form."""
    back: Tensor = autoencoder(images)
    return back.clamp(0, 1)
