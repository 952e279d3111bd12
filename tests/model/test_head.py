from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tiny import clip_base, clip_tower, timm_tower

from aigdetect.errors import UsageError
from aigdetect.model.mole import collect_routing
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import AdapterConfig


def network(make=clip_tower, **options: int) -> MoleNetwork:
    torch.manual_seed(2)
    made = MoleNetwork(make(), AdapterConfig(blocks=options.pop("blocks", 2)), **options)
    for parameter in made.trainable().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


def views(size: int, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def test_class_tokens_are_those_of_open_clip_itself() -> None:
    base = clip_base()
    tower = clip_tower()
    made = MoleNetwork(tower, AdapterConfig(blocks=0), head_blocks=3).eval()
    x = views(32)
    tokens: list[torch.Tensor] = []
    for block in base.transformer.resblocks:
        block.register_forward_hook(lambda _m, _i, output: tokens.append(output[:, 0]))
    with torch.inference_mode():
        base(made.normalise(x))
        read = made.trunk(x)
        logit = made(x)
    torch.testing.assert_close(read, torch.stack(tokens[1:], dim=1), rtol=1e-5, atol=1e-5)
    normed = torch.cat([F.layer_norm(token, (token.shape[-1],)) for token in tokens[1:]], dim=1)
    torch.testing.assert_close(logit, F.linear(normed, made.head.weight, made.head.bias)[:, 0])


@pytest.mark.parametrize("make", [clip_tower, timm_tower])
@pytest.mark.parametrize(("blocks", "head_blocks"), [(0, 0), (0, 2), (2, 0), (2, 1), (2, 2), (2, 4), (4, 4)])
def test_trunk_and_tail_are_the_whole_however_it_is_cut(make, blocks: int, head_blocks: int) -> None:
    made = network(make, blocks=blocks, head_blocks=head_blocks)
    x = views(made.tower.image_size)
    with torch.inference_mode():
        logits = made(x)
        with collect_routing() as routings:  # every token goes through the last block
            torch.testing.assert_close(made(x), logits, rtol=1e-4, atol=1e-4)
        assert len(routings) == blocks
        alone = torch.cat([made.tail(made.trunk(view[None])[None]) for view in x])
    torch.testing.assert_close(alone, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head_blocks", [0, 3])
def test_views_with_weights_of_their_own_are_one_linear_layer_over_all_of_them(head_blocks: int) -> None:
    made = network(head_blocks=head_blocks, head_sets=2)
    x = views(32, 6)
    with torch.inference_mode():
        trunk = made.trunk(x)
        whole = made.tail(trunk.view(3, 2, *trunk.shape[1:]))
        features = made.head.normalised(made.read(trunk)).view(3, -1)
        single = made(x, torch.tensor([0, 1] * 3))
        expected = F.linear(features, made.head.weight.view(1, -1) / 2, made.head.bias.mean()[None])[:, 0]
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.view(3, 2).mean(dim=1), whole, rtol=1e-4, atol=1e-5)


def test_scales_count_alike_however_many_views_each_has() -> None:
    made = network(head_blocks=3, head_sets=2)
    x = views(32, 8)
    with torch.inference_mode():
        trunk = made.trunk(x)
        whole = made.tail(trunk.view(2, 4, *trunk.shape[1:]), (0, 0, 1, 0))
        single = made(x, torch.tensor([0, 0, 1, 0] * 2)).view(2, 4)
    crops = single[:, [0, 1, 3]].mean(dim=1)
    torch.testing.assert_close(whole, (crops + single[:, 2]) / 2, rtol=1e-5, atol=1e-6)
    assert (crops - single[:, 2]).abs().min() > 1e-3


def test_gradients_reach_bypasses_and_head_alone() -> None:
    made = network(head_blocks=4).train()
    for parameter in made.trainable().values():  # bypasses begin with factors of 0, which stop gradients
        torch.nn.init.normal_(parameter, std=0.3)
    made(views(32)).sum().backward()
    for parameter in made.trainable().values():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    frozen = [parameter for parameter in made.parameters() if not parameter.requires_grad]
    assert frozen
    assert all(parameter.grad is None for parameter in frozen)


def test_a_state_of_another_head_is_refused() -> None:
    state = network(head_blocks=2).adapter_state()
    assert network(head_blocks=2).load_adapter_state(copy.deepcopy(state)) is None
    with pytest.raises(Exception, match=r"tensor 'head.weight' has shape \(1, 64\), expected \(1, 128\)"):
        network(head_blocks=4).load_adapter_state(state)


@pytest.mark.parametrize("head_blocks", [-1, 5])
def test_a_head_that_does_not_fit_the_tower(head_blocks: int) -> None:
    with pytest.raises(UsageError, match=f"head_blocks: {head_blocks} is not in 0..4"):
        MoleNetwork(clip_tower(), AdapterConfig(), head_blocks=head_blocks)
