"""The detector written out once more, on a library's own tower: what tests compare the program with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def add_bypasses(mlps: Mapping[str, nn.Module], adapter: Mapping[str, Tensor], ranks: Sequence[int]) -> None:
    """Add the bypass of every place to its MLP's output by hooks; the first rank is the shared expert's."""
    owner = torch.tensor([expert - 1 for expert, rank in enumerate(ranks) for _ in range(rank)])

    def hook_of(place: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            (x,) = inputs
            gate, chosen = F.linear(x, adapter[f"{place}.router"]).softmax(-1).max(-1, keepdim=True)
            factor = torch.where(owner < 0, 1.0, torch.where(owner == chosen, gate, 0.0))
            return output + (F.linear(x, adapter[f"{place}.down"]) * factor) @ adapter[f"{place}.up"].T

        return hook

    for place, mlp in mlps.items():
        mlp.register_forward_hook(hook_of(place))


def plain_logit(
    tower: nn.Module,
    adapter: Mapping[str, Tensor],
    view: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    head_blocks: int = 0,
    place: int = 0,
) -> float:
    """Logit of one view, unbatched, in its place; of a head on class tokens, those of an open_clip tower."""
    tokens: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output: tokens.append(output[:, 0]))
        for block in (tower.transformer.resblocks[-head_blocks:] if head_blocks else [])  # type: ignore
    ]
    with torch.inference_mode():
        image = ((torch.from_numpy(view) / 255 - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)
        features = tower(image[None])
        if head_blocks:
            features = torch.cat([F.layer_norm(token, token.shape[-1:]) for token in tokens], dim=1)
    for hook in hooks:
        hook.remove()
    place = place if len(adapter["head.bias"]) > 1 else 0
    weight, bias = adapter["head.weight"][place], adapter["head.bias"][place]
    if "head.quadratic.components" not in adapter:
        return float(features[0] @ weight + bias)
    centre, scale, components = (
        adapter[f"head.quadratic.{name}"][place].double() for name in ("centre", "scale", "components")
    )
    x = (features[0].double() - centre) / scale
    x /= x.norm()
    linear, products = weight.double().split([len(x), len(weight) - len(x)])
    z = components @ x
    return float(linear @ x + z @ products.view(len(z), -1) @ z / math.sqrt(2) + bias)
