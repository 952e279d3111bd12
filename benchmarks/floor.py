"""What the matrix products of a tower take by themselves: the floor under the time of the whole tower."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from aigdetect.model.detector import Detector
from aigdetect.model.network import MoleNetwork
from aigdetect.model.precision.int8 import NormedInt8, TokenInt8
from aigdetect.model.precision.linear import PackedLinear


def products(detector: Detector) -> Callable[[], None]:
    """A function that does the frozen linear layers of one view, with their own weights, and nothing else.

    Left out are attention, norms, activations, the patches, bypasses and the head. The last block
    is counted as it is run: for the class token alone, but for its keys and values.

    Args:
        detector: on a CPU that packs its layers.

    Raises:
        SystemExit: if nothing is packed.
    """
    network = detector.network
    assert isinstance(network, MoleNetwork)
    tower = network.tower
    with torch.inference_mode():
        tokens = tower.stem(torch.zeros(1, 3, tower.image_size, tower.image_size)).shape[1]
    calls: list[Callable[[], torch.Tensor]] = []
    last = len(tower.blocks) - 1
    for index, (attention, mlp) in enumerate(zip(tower.attentions, tower.mlps, strict=True)):
        modules = [module for part in (attention, mlp) for module in part.modules()]
        layers = [m for m in modules if isinstance(m, PackedLinear | NormedInt8 | TokenInt8)]
        for place, layer in enumerate(layers):
            calls.append(_product(layer, rows=1 if index == last and place else tokens))
    if not calls:
        raise SystemExit("no floor: this torch or this machine packs no layers")

    def work() -> None:
        with torch.inference_mode():
            for call in calls:
                call()

    return work


def _product(layer: PackedLinear | NormedInt8 | TokenInt8, *, rows: int) -> Callable[[], torch.Tensor]:
    """The product of one layer with something of so many rows."""
    if isinstance(layer, PackedLinear):
        return partial(layer, torch.randn(rows, layer.in_features, dtype=layer.dtype))
    x = torch.randint(256, (rows, layer.product.in_features), dtype=torch.uint8)
    return partial(layer.product, x, 1.0, 128)
