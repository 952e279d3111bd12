from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import clip_tower, plain_tower, timm_tower

from aigdetect.errors import UsageError
from aigdetect.model.mole import collect_routing
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.merging import TokenMerging, merge_alike
from aigdetect.model.towers.tower import AdapterConfig


def slowly(tokens: torch.Tensor, metric: torch.Tensor, count: int) -> torch.Tensor:
    """One image: tokens ``(T, d)``, written out."""
    direction = torch.nn.functional.normalize(metric, dim=-1)
    best = {}
    for even in range(2, len(tokens), 2):
        alike = {odd: float(direction[even] @ direction[odd]) for odd in range(1, len(tokens), 2)}
        best[even] = max(alike.items(), key=lambda pair: pair[1])
    going = sorted(best, key=lambda even: -best[even][1])[:count]
    staying = [tokens[even] for even in range(0, len(tokens), 2) if even not in going]
    joined = [
        torch.stack([tokens[odd], *(tokens[even] for even in going if best[even][0] == odd)]).mean(dim=0)
        for odd in range(1, len(tokens), 2)
    ]
    return torch.stack(staying + joined)


@given(st.integers(2, 20), st.integers(0, 9), st.integers(0, 1000))
def test_equals_the_matching_written_out(tokens: int, count: int, seed: int) -> None:
    count = min(count, (tokens - 1) // 2)
    generator = torch.Generator().manual_seed(seed)
    x, metric = (torch.randn(2, tokens, width, generator=generator) for width in (8, 5))
    expected = torch.stack([slowly(*pair, count) for pair in zip(x, metric, strict=True)])
    merged = merge_alike(x, metric, count)
    torch.testing.assert_close(merged, expected)
    assert torch.equal(merged[:, 0], x[:, 0])


@pytest.mark.parametrize("make", [clip_tower, plain_tower])
def test_each_block_merges_its_share_and_the_class_token_misses_nothing_that_is_alike(make: Any) -> None:
    whole, merging = make(), make()
    merging.merge_tokens(TokenMerging(0.25, after=1))
    for tower in (whole, merging):
        tower.base.positional_embedding.data[1:] = 0
    images = torch.full((2, 3, 32, 32), 0.5)  # all patches are the same
    with torch.inference_mode():
        tokens = merging.stem(images)
        sizes = [merging.run_blocks(tokens, 0, stop).shape[1] for stop in range(5)]
        short = merging.last_block(merging.run_blocks(tokens, 0, 3))
        ran, expected = merging.run_blocks(tokens), whole.run_blocks(tokens)
    assert sizes == [17, 17, 13, 10, 8]
    torch.testing.assert_close(short[:, 0], ran[:, 0])
    # patches outweigh the class token less than before in its attention, so that equality is not exact
    assert float((ran[:, 0] - expected[:, 0]).norm() / expected[:, 0].norm()) < 0.2


def test_gradients_go_through_and_every_token_that_is_left_is_routed() -> None:
    network = MoleNetwork(clip_tower(), AdapterConfig(blocks=2, merging=TokenMerging(0.25, 1)), head_blocks=3)
    for bypass in network.bypasses.values():
        torch.nn.init.normal_(bypass.up, std=0.1)  # type: ignore[arg-type]
    torch.nn.init.normal_(network.head.weight)
    views = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with collect_routing() as routings:
        logits = network.train()(views)
    assert [routing.chosen.shape for routing in routings] == [(2, 10), (2, 8)]
    logits.sum().backward()
    assert all(bypass.up.grad.abs().sum() > 0 for bypass in network.bypasses.values())  # type: ignore[union-attr]
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(views), logits)


def test_what_is_kept_of_the_tower_says_how_it_merged() -> None:
    settings = [
        MoleNetwork(plain_tower(), AdapterConfig(blocks=0, merging=merging), head_blocks=2).frozen_settings()
        for merging in (TokenMerging(), TokenMerging(0.25, 1), TokenMerging(0.5, 1))
    ]
    assert len({str(each) for each in settings}) == 3
    assert "share" not in settings[0]  # what was kept before is found


def test_impossible_shares_and_towers_are_named() -> None:
    for values, named in (((0.6,), "merged_share: 0.6"), ((0.1, -1), "merge_after: -1")):
        with pytest.raises(UsageError, match=named):
            TokenMerging(*values)
    with pytest.raises(UsageError, match="merged_share: made for CLIP's own towers, not for "):
        timm_tower().merge_tokens(TokenMerging(0.1))
    timm_tower().merge_tokens(TokenMerging())
