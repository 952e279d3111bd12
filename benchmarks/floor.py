"""What the matrix products of a tower take by themselves: the floor under the time of the whole tower."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from aigdetect.model.detector import Detector
from aigdetect.model.int8 import NormedInt8, TokenInt8
from aigdetect.model.linear import PackedLinear


def products(detector: Detector) -> Callable[[], None]:
    """A function that does the frozen linear layers of one view, with their own weights, and nothing else.

    Left out are attention, norms, activations, the patches, bypasses and the head. The last block
    is counted as it is run: for the class token alone, but for its keys and values.

    Args:
        detector: on a CPU that packs its layers.

    Raises:
        SystemExit: if nothing is packed.
    """
    tower = detector.network.tower
    with torch.inference_mode():
        tokens = tower.stem(torch.zeros(1, 3, tower.image_size, tower.image_size)).shape[1]
    calls: list[Callable[[], torch.Tensor]] = []
    last = len(tower.blocks) - 1
    for index, (attention, mlp) in enumerate(zip(tower.attentions, tower.mlps, strict=True)):
        products = [call for part in (attention, mlp) for call in map(_product, part.modules()) if call]
        for place, product in enumerate(products):
            calls.append(product(1 if index == last and place else tokens))
    if not calls:
        raise SystemExit("no floor: this torch or this machine packs no layers")

    def work() -> None:
        with torch.inference_mode():
            for call in calls:
                call()

    return work


def _product(layer: nn.Module) -> Callable[[int], Callable[[], torch.Tensor]] | None:
    """For a packed layer, what makes its product of so many rows; None for another."""
    if isinstance(layer, PackedLinear):
        return lambda rows: partial(layer, torch.randn(rows, layer.in_features, dtype=layer.dtype))
    if isinstance(layer, NormedInt8 | TokenInt8):
        product = layer.product
        return lambda rows: partial(
            product, torch.randint(256, (rows, product.in_features), dtype=torch.uint8), 1.0, 128
        )
    return None
