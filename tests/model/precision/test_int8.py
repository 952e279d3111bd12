"""Layers and towers in 8-bit integers beside those in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import clip_base, clip_tower, plain_tower, timm_tower
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.mole import collect_routing
from aigdetect.model.network import MoleNetwork
from aigdetect.model.precision.int8 import REACH, NormedInt8, TokenInt8, can_multiply, to_integers
from aigdetect.model.towers import quantise
from aigdetect.model.towers.arithmetic import choose_precision, precisions_of, prepare_tower
from aigdetect.model.towers.tower import AdapterConfig, ImageTower
from aigdetect.model.towers.wrap import wrap_tower

CPU = torch.device("cpu")
needs_int8 = pytest.mark.skipif(
    "int8" not in precisions_of(CPU), reason="INT8 NOT TESTED: not on this processor, or this torch"
)


def whole_layer(inputs: int = 64, outputs: int = 32) -> nn.Linear:
    """A layer whose weights are whole numbers, and so lose nothing: each row reaches 127."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-127, 128, layer.weight.shape))
        layer.weight[:, 0] = 127
    return layer


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@given(seed=st.integers(0, 2**31), outputs=st.sampled_from([1, 127, 300]))
def test_every_row_of_a_matrix_has_a_step_of_its_own(seed: int, outputs: int) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(outputs, 20) * torch.rand(outputs, 1).exp()
    weight[outputs // 2] = 0
    whole, step = to_integers(weight)
    assert whole.dtype == torch.int8
    reach = weight.abs().amax(dim=1)
    torch.testing.assert_close(step, (reach / 127).clamp(min=torch.finfo(torch.float32).tiny))
    assert (whole.abs().amax(dim=1) == 127).eq(reach > 0).all()
    assert ((whole * step[:, None] - weight).abs() <= step[:, None] * 0.5001).all()


@needs_int8
@given(seed=st.integers(0, 2**31), rows=st.sampled_from([1, 2, 197]), inputs=st.sampled_from([5, 64, 300]))
def test_products_of_whole_numbers_are_exact(seed: int, rows: int, inputs: int) -> None:
    torch.manual_seed(seed)
    layer = whole_layer(inputs)
    step = REACH / 127
    # all at the ends, too: older instructions would overflow there
    levels = torch.randint(-128, 128, (rows, inputs)) if seed % 2 else torch.full((rows, inputs), 127)
    with torch.no_grad():
        found = NormedInt8(layer, torch.float32)(levels * step)
        expected = (levels.double() @ layer.weight.double().T) * step + layer.bias.double()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-2)


@needs_int8
@pytest.mark.parametrize("shape", [(64,), (1, 64), (2, 197, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("activation", "function"), [("", nn.Identity()), ("swish", F.silu), ("gelu", F.gelu)]
)
def test_a_layer_for_normed_tokens(
    shape: tuple[int, ...], dtype: torch.dtype, activation: str, function: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 32), torch.randn(shape)
    with torch.no_grad():
        found, expected = NormedInt8(layer, dtype, activation)(x), function(layer(x))
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert relative_error(found.float(), expected) < 0.025


@needs_int8
def test_what_reaches_too_far_is_cut_and_does_not_wrap() -> None:
    layer = whole_layer()
    with torch.no_grad():
        far, ends = (NormedInt8(layer, torch.float32)(torch.full((1, 64), x)) for x in (1e6, REACH))
        assert torch.equal(far, ends)
        low = NormedInt8(layer, torch.float32)(torch.full((1, 64), -1e6))
    torch.testing.assert_close(low - layer.bias, -(ends - layer.bias) * 128 / 127, rtol=1e-4, atol=1e-2)


@needs_int8
@pytest.mark.parametrize(("follows", "function"), [("", nn.Identity()), ("swish", F.silu), ("gelu", F.gelu)])
@given(magnitudes=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), seed=st.integers(0, 2**31))
def test_every_token_has_a_step_of_its_own(
    follows: str, function: Callable[[Tensor], Tensor], magnitudes: list[float], seed: int
) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(64, 32)
    x = function(torch.randn(len(magnitudes), 64) * torch.tensor(magnitudes)[:, None])
    with torch.no_grad():
        int8 = TokenInt8(layer, follows)
        found = int8(x.clone())
        step = x.abs().amax(1) / (231 if follows else 127)
        if follows:
            step = step.clamp(min=(0.2785 if follows == "swish" else 0.17) / 24)
        # half a step for each of the input's values, and half a step of the weight's for each of them
        rows = layer.weight.abs().sum(1)
        bound = step[:, None] / 2 * rows + x.abs().sum(1, keepdim=True) * layer.weight.abs().amax(1) / 127
        assert ((found - layer(x)).abs() <= bound + 1e-5).all()
        for index, token in enumerate(x):
            torch.testing.assert_close(int8(token.clone()), found[index], rtol=1e-5, atol=1e-6)


@needs_int8
def test_a_token_and_a_matrix_of_zeros() -> None:
    layer = nn.Linear(64, 32)
    nn.init.zeros_(layer.weight[3])
    with torch.no_grad():
        for int8 in (TokenInt8(layer), TokenInt8(layer, "swish"), NormedInt8(layer, torch.float32)):
            torch.testing.assert_close(int8(torch.zeros(2, 64)), layer.bias.expand(2, -1))
            torch.testing.assert_close(int8(torch.ones(64))[3], layer.bias[3])


# --- towers ------------------------------------------------------------------------------------------------


def make_network(tower: ImageTower, modules: tuple[Any, ...] = ("mlp",), head_blocks: int = 0) -> MoleNetwork:
    network = MoleNetwork(tower, AdapterConfig(blocks=2, modules=modules), head_blocks=head_blocks).eval()
    for norm in (module for module in tower.base.modules() if isinstance(module, nn.LayerNorm)):
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0, 0.3)
    for bypass in network.bypasses.values():
        nn.init.normal_(bypass.up, std=0.1)  # type: ignore[arg-type]
    nn.init.normal_(network.head.weight, std=0.3)
    return network


def gelu_tower() -> ImageTower:
    base = clip_base()
    for block in base.transformer.resblocks:
        block.mlp.gelu = nn.GELU()
    return wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="gelu")


def some_views() -> Tensor:
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8)
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8)[:, None, None].expand(32, 32, 3)
    return torch.stack([noise, ramp, torch.zeros_like(noise)])


VIEWS = some_views()


class FloatLayer(nn.Module):
    """What a layer in integers stands for, without the integers."""

    def __init__(self, base: nn.Linear, dtype: torch.dtype | None = None, activation: str = "", **_: str):
        super().__init__()
        self.layer, self.function = base, {"": nn.Identity(), "swish": F.silu, "gelu": F.gelu}[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))  # type: ignore[no-any-return, operator]


TOWERS = pytest.mark.parametrize("make", [plain_tower, clip_tower, gelu_tower])
MODULES = pytest.mark.parametrize("modules", [("mlp",), ("attention", "mlp")])
HEADS = pytest.mark.parametrize("head_blocks", [0, 3])


def before_and_after(network: MoleNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Logits and normalised class tokens, in float32 and then quantised."""
    found = []
    for prepare in (False, True):
        if prepare:
            prepare_tower(network.tower, "int8", CPU)
        with torch.inference_mode():
            tokens = network.tower.run_blocks(network.tower.stem(network.normalise(VIEWS)))
            token = network.tower.turn_back(network.tower.class_token(tokens))
            found.append([network(VIEWS), F.layer_norm(token, token.shape[-1:])])
    assert float(found[0][0].std()) > 0.05
    return found[0], found[1]


@needs_int8
@TOWERS
@MODULES
@HEADS
def test_turned_tokens_alone_change_nothing(
    make: Any, modules: tuple[str, ...], head_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NormedInt8", "TokenInt8"):
        monkeypatch.setattr(quantise, name, FloatLayer)
    for exact, near in zip(*before_and_after(make_network(make(), modules, head_blocks)), strict=True):
        torch.testing.assert_close(near, exact, atol=1e-3, rtol=0)


@needs_int8
@TOWERS
@MODULES
@HEADS
def test_a_tower_in_integers_is_near(make: Any, modules: tuple[str, ...], head_blocks: int) -> None:
    network = make_network(make(), modules, head_blocks)
    for exact, near in zip(*before_and_after(network), strict=True):
        assert 0 < float((near - exact).abs().max()) < 0.1
    layers = [layer for part in (*network.tower.attentions, *network.tower.mlps) for layer in part.modules()]
    assert not any(isinstance(layer, nn.Linear) for layer in layers)


@needs_int8
def test_routing_of_a_tower_in_integers_is_seen_as_ever() -> None:
    network = make_network(plain_tower())
    with torch.inference_mode(), collect_routing() as exact:
        network(VIEWS)
    prepare_tower(network.tower, "int8", CPU)
    with torch.inference_mode(), collect_routing() as near:
        network(VIEWS)
    assert len(near) == len(exact) == 2
    for one, other in zip(near, exact, strict=True):
        assert one.chosen.shape == other.chosen.shape
        torch.testing.assert_close(one.gates, other.gates, atol=0.05, rtol=0)


def scaled_tower() -> ImageTower:
    base = clip_base()
    base.transformer.resblocks[1].ls_2 = nn.Linear(32, 32)
    return wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="scaled")


def approximate_tower() -> ImageTower:
    base = clip_base()
    base.transformer.resblocks[0].mlp.gelu = nn.GELU("tanh")
    return wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="approximate")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (timm_tower, "not for VisionTransformer"),
        (scaled_tower, "blocks with Linear"),
        (approximate_tower, "blocks with GELU"),
    ],
)
def test_a_tower_that_cannot_is_refused_and_left_as_it_was(make: Any, named: str) -> None:
    tower = make()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    with pytest.raises(UsageError, match=f"^precision int8: .*{named}.*; use bfloat16"):
        prepare_tower(tower, "int8", CPU)
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())


def test_training_in_integers_is_refused() -> None:
    with pytest.raises(UsageError, match="precision int8: for scoring only; train in bfloat16"):
        prepare_tower(plain_tower(), "int8", CPU, trained_from=2)


def test_machines_without_the_instructions_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="precision int8: not on cuda; use auto, float32 or bfloat16"):
        choose_precision("int8", torch.device("cuda"))
    monkeypatch.setattr("aigdetect.model.towers.arithmetic.can_multiply", lambda: False)
    with pytest.raises(UsageError, match="precision int8: this processor multiplies no int8; use auto"):
        choose_precision("int8", CPU)


def broken_product(*arguments: Any) -> Tensor:
    raise RuntimeError("no kernel")


def overflowing_product(x: Tensor, *arguments: Any) -> Tensor:
    return torch.full((len(x), 16), 32767.0)


@pytest.mark.parametrize("product", [broken_product, overflowing_product])
def test_a_product_that_fails_or_overflows_is_noticed(
    product: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.onednn, "qlinear_pointwise", product, raising=False)
    monkeypatch.setattr(torch.ops.onednn, "qlinear_prepack", lambda *_: None, raising=False)
    assert not can_multiply.__wrapped__()
