"""The paper's variants: each is an option of a recipe, and each low-rank product is that of peft."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny import clip_tower, timm_tower
from torch import Tensor, nn

from aigdetect.model.card import AdapterCard
from aigdetect.model.detector import adapter_config
from aigdetect.model.mole import MixtureConfig
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.attention import SelfAttention
from aigdetect.model.towers.tower import AdapterConfig, ImageTower, adapt

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from whole_update import WithUpdate

peft = pytest.importorskip("peft", reason="NOT COMPARED WITH PEFT: it is not installed")

NAMES = ("query", "key", "value", "out")


class PlainAttention(nn.Module):
    """Self-attention with four linear layers that peft can find by name."""

    def __init__(self, weight: Tensor, bias: Tensor, out: nn.Linear, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name, w, b in zip(NAMES, weight.chunk(3), bias.chunk(3), strict=False):
            layer = nn.Linear(*w.T.shape)
            layer.weight.data, layer.bias.data = w.detach().clone(), b.detach().clone()
            self.add_module(name, layer)
        self.out = copy.deepcopy(out)

    def forward(self, query: Tensor, *_rest: Any, **_options: Any) -> Any:
        q, k, v = (
            getattr(self, name)(query).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in NAMES[:3]
        )
        mixed = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return mixed if self.bare else (mixed, None)

    bare = False


def with_peft(
    tower: ImageTower, blocks: int, modules: tuple[str, ...], rank: int, alpha: float
) -> ImageTower:
    """A copy of the tower whose last blocks hold peft's layers, on attention, MLP or both."""
    tower = copy.deepcopy(tower)
    first = len(tower.blocks) - blocks
    for block in list(tower.blocks)[first:]:
        attention: Any = block.attn
        if isinstance(attention, SelfAttention):
            projections: Any = attention.in_proj
            block.attn = PlainAttention(
                projections.weight, projections.bias, attention.out_proj, attention.heads
            )
        else:
            block.attn = PlainAttention(
                attention.qkv.weight, attention.qkv.bias, attention.proj, attention.num_heads
            )
            block.attn.bare = True
        block.mlp = WithUpdate(block.mlp, tower.width)
    tower.requires_grad_(False)
    places = {"attention": NAMES, "mlp": ("update",)}
    targets = [name for module in modules for name in places[module]]
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0)
    peft.inject_adapter_in_model(config, tower)
    return tower


def matrices(reference: ImageTower) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Peft's ``A`` and ``B`` by our names of places."""
    found = {}
    for index, block in enumerate(reference.blocks):
        for name in NAMES:
            layer = getattr(block.attn, name, None)
            if hasattr(layer, "lora_A"):
                found[f"block{index}_attention_{name}"] = layer
        layer = getattr(block.mlp, "update", None)
        if hasattr(layer, "lora_A"):
            found[f"block{index}_mlp"] = layer
    return {
        place: (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
        for place, layer in found.items()
    }


@pytest.mark.parametrize("make", [clip_tower, timm_tower])
@pytest.mark.parametrize("modules", [("attention",), ("mlp",), ("attention", "mlp")])
def test_low_rank_adaption_is_pefts(make: Any, modules: Any) -> None:
    """Output, gradients and number of parameters, with one shared expert of rank 3 and alpha 6."""
    tower = make()
    reference = with_peft(tower, 2, modules, rank=3, alpha=6)
    config = AdapterConfig(
        blocks=2, modules=modules, mixture=MixtureConfig(shared_rank=3, expert_ranks=(), alpha=6)
    )
    ours = adapt(tower, config)
    theirs = matrices(reference)
    assert ours.keys() == theirs.keys()
    with torch.no_grad():
        for place, bypass in ours.items():
            a, b = theirs[place]
            bypass.up.normal_(std=0.2)  # type: ignore[operator, union-attr]
            a.copy_(bypass.down)  # type: ignore[arg-type]
            b.copy_(bypass.up)  # type: ignore[arg-type]
    torch.manual_seed(3)
    x = torch.randn(2, 3, tower.image_size, tower.image_size)
    mine, expected = tower(x), reference(x)
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(mine)
    (mine * weight).sum().backward()
    (expected * weight).sum().backward()
    for place, bypass in ours.items():
        a, b = theirs[place]
        torch.testing.assert_close(bypass.down.grad, a.grad, rtol=1e-3, atol=1e-4)  # type: ignore[union-attr]
        torch.testing.assert_close(bypass.up.grad, b.grad, rtol=1e-3, atol=1e-4)  # type: ignore[union-attr]
    count = sum(p.numel() for p in reference.parameters() if p.requires_grad)
    assert count == sum(p.numel() for p in ours.parameters())


# settings of a recipe, and the trainable parameters of one block 32 wide
VARIANTS = {
    "linear probe": ({"blocks": 0}, 0),
    "LoRA on attention": ({"modules": ("attention",), "expert_ranks": ()}, 4 * 2 * 8 * 32),
    "LoRA on MLP, shared only": ({"expert_ranks": ()}, 2 * 8 * 32),
    "LoRA on both": ({"modules": ("attention", "mlp"), "expert_ranks": ()}, 5 * 2 * 8 * 32),
    "separate only": ({"shared_rank": 0}, 2 * 28 * 32 + 3 * 32),
    "mixture": ({}, 2 * 36 * 32 + 3 * 32),
    "last block": ({"blocks": 1}, 2 * 36 * 32 + 3 * 32),
    "all blocks": ({"blocks": None}, 2 * 36 * 32 + 3 * 32),
    "other ranks": ({"shared_rank": 1, "expert_ranks": (2, 5, 7, 9)}, 2 * 24 * 32 + 4 * 32),
}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_variant_is_a_matter_of_settings(name: str) -> None:
    from aigdetect.training.recipe import make_recipe

    settings, per_block = VARIANTS[name]
    recipe = make_recipe(settings)
    card = AdapterCard(
        recipe.blocks,
        recipe.modules,
        recipe.shared_rank,
        recipe.expert_ranks,
        recipe.alpha,
        recipe.head_blocks,
    )
    network = MoleNetwork(clip_tower(), adapter_config(card))
    blocks = 4 if recipe.blocks is None else recipe.blocks
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trained == blocks * per_block + network.tower.embed_dim + 1
    network.train()
    for parameter in network.trainable().values():  # bypasses begin with factors of 0, which stop gradients
        torch.nn.init.normal_(parameter, std=0.3)
    views = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    network(views).sum().backward()
    for parameter in network.trainable().values():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
