"""Packed layers beside ``nn.Linear``, and towers made of them."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tiny import clip_tower, plain_tower, timm_tower
from torch import nn

from aigdetect.model.network import MoleNetwork
from aigdetect.model.precision.linear import PackedLinear, can_pack
from aigdetect.model.towers.arithmetic import prepare_tower
from aigdetect.model.towers.tower import AdapterConfig

CPU = torch.device("cpu")
needs_packing = pytest.mark.skipif(not can_pack(), reason="PACKED LAYERS NOT TESTED: torch lacks oneDNN here")
needs_bfloat16 = pytest.mark.skipif(
    not can_pack(torch.bfloat16), reason="PACKED BFLOAT16 NOT TESTED: this processor has no kernels for it"
)
DTYPES = [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)]


def layer(inputs: int = 48, outputs: int = 96, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias)


@needs_packing
@pytest.mark.parametrize("shape", [(48,), (1, 48), (3, 7, 48), (2, 197, 48)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_changes_nothing(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    base = layer(bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        near = PackedLinear(base, dtype)(x)
        exact = copy.deepcopy(base).to(dtype)(x.to(dtype))
    assert near.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(near.float(), exact.float(), rtol=tolerance, atol=tolerance)


@needs_packing
@pytest.mark.parametrize("make", [plain_tower, clip_tower, timm_tower])
@pytest.mark.parametrize("modules", [("mlp",), ("attention", "mlp")])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-4), pytest.param("bfloat16", 0.1, marks=needs_bfloat16)]
)
def test_a_prepared_tower_gives_the_same_logits(make, modules, precision: str, tolerance: float) -> None:
    network = MoleNetwork(make(), AdapterConfig(blocks=2, modules=modules)).eval()
    for bypass in network.bypasses.values():
        nn.init.normal_(bypass.up, std=0.1)  # type: ignore[arg-type]
    trainable = {name: value.clone() for name, value in network.trainable().items()}
    size = network.tower.image_size
    views = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        exact = network(views)
        prepare_tower(network.tower, precision, CPU)
        near = network(views)
    assert near.dtype == torch.float32
    assert float((near - exact).abs().max()) < tolerance
    layers = [layer for part in (*network.tower.attentions, *network.tower.mlps) for layer in part.modules()]
    assert not any(isinstance(layer, nn.Linear) for layer in layers)
    assert sum(isinstance(layer, PackedLinear) for layer in layers) == 4 * len(network.tower.blocks)
    assert all(torch.equal(value, trainable[name]) for name, value in network.trainable().items())


@needs_packing
@pytest.mark.parametrize("shape", [(48,), (3, 7, 48), (2, 197, 48)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_go_back_as_through_a_plain_layer(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    base = layer()
    upstream = torch.randn(*shape[:-1], base.out_features).to(dtype)
    gradients = []
    for each in (base.to(dtype), PackedLinear(base, dtype, gradient=True)):
        x = torch.linspace(-2, 2, math.prod(shape)).view(shape).requires_grad_()
        each(x.to(dtype)).backward(upstream)
        gradients.append(x.grad)
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(gradients[1], gradients[0], rtol=tolerance, atol=tolerance)
    assert gradients[0].abs().max() > 0.1


@needs_packing
def test_a_gradient_that_cannot_go_back_is_an_error_and_no_silent_zero() -> None:
    with pytest.raises(RuntimeError, match="without gradient"):
        PackedLinear(layer(), torch.float32)(torch.ones(2, 48, requires_grad=True))


@needs_packing
@pytest.mark.parametrize("make", [plain_tower, clip_tower, timm_tower])
@pytest.mark.parametrize("modules", [("mlp",), ("attention", "mlp")])
def test_a_prepared_tower_trains_alike(make, modules) -> None:
    gradients = []
    for prepared in (False, True):
        torch.manual_seed(0)
        network = MoleNetwork(make(), AdapterConfig(blocks=2, modules=modules)).train()
        for bypass in network.bypasses.values():
            nn.init.normal_(bypass.up, std=0.1)  # type: ignore[arg-type]
        nn.init.normal_(network.head.weight)
        if prepared:
            prepare_tower(network.tower, "float32", CPU, trained_from=network.first_block)
        size = network.tower.image_size
        views = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
        network(views).square().sum().backward()
        gradients.append({name: value.grad for name, value in network.trainable().items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4, msg=name)
    assert max(float(gradient.abs().max()) for gradient in gradients[0].values()) > 1e-3


@pytest.mark.parametrize("packed", [(), (torch.float32,)])
def test_where_a_precision_cannot_be_packed_the_tower_is_cast(
    monkeypatch: pytest.MonkeyPatch, packed: tuple[torch.dtype, ...]
) -> None:
    """Processors without AVX-512 pack float32 alone: bfloat16 is slow there, and must not fail."""
    monkeypatch.setattr("aigdetect.model.towers.arithmetic.can_pack", packed.__contains__)
    tower = plain_tower()
    prepare_tower(tower, "bfloat16", CPU)
    assert {p.dtype for mlp in tower.mlps for p in mlp.parameters()} == {torch.bfloat16}
