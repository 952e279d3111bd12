"""The other basis of the channels: the same numbers by another way."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from aigdetect.model.mole import LowRankMixture, MixtureConfig
from aigdetect.model.precision.basis import bare, read_turned, rewrite, turn


def norm(width: int) -> nn.LayerNorm:
    layer = nn.LayerNorm(width)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer.requires_grad_(False)


def outstanding(width: int, count: int = 5) -> Tensor:
    """Tokens with one channel far above the others, and a mean."""
    tokens = torch.randn(count, width) + 3
    tokens[:, 0] += 60
    return tokens


@pytest.mark.parametrize("width", [1, 2, 7, 768])
def test_the_basis_is_orthonormal_its_own_inverse_and_leaves_the_mean(width: int) -> None:
    basis = turn(torch.eye(width))
    for product in (basis @ basis.T, basis @ basis, turn(basis), turn(basis, dim=1)):
        torch.testing.assert_close(product, torch.eye(width), atol=1e-5, rtol=0)
    torch.testing.assert_close(turn(torch.ones(width)), torch.ones(width), atol=1e-5, rtol=0)
    assert basis.dtype == torch.float32


@given(width=st.sampled_from([1, 2, 7, 32, 48]), seed=st.integers(0, 2**31))
def test_channels_are_turned_where_they_lie(width: int, seed: int) -> None:
    torch.manual_seed(seed)
    tokens, basis = outstanding(width), turn(torch.eye(width))
    torch.testing.assert_close(turn(tokens, dim=1), tokens @ basis, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turn(tokens.T), basis @ tokens.T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turn(tokens[0]), basis @ tokens[0], atol=1e-4, rtol=1e-4)


@given(width=st.sampled_from([7, 32, 48]), seed=st.integers(0, 2**31))
def test_a_rewritten_layer_calculates_the_same(width: int, seed: int) -> None:
    torch.manual_seed(seed)
    before, layer, tokens = norm(width), nn.Linear(width, 5), outstanding(width)
    there = turn(tokens, dim=1)
    with torch.no_grad():
        reader = rewrite(layer, read=partial(read_turned, norm=before))
        torch.testing.assert_close(reader(bare(before)(there)), layer(before(tokens)), atol=1e-3, rtol=1e-3)
        writer = nn.Linear(5, width)
        x = torch.randn(3, 5)
        torch.testing.assert_close(
            rewrite(writer, write=turn)(x), turn(writer(x), dim=1), atol=1e-4, rtol=1e-4
        )
    assert not any(parameter.requires_grad for parameter in reader.parameters())


@pytest.mark.parametrize("outputs", [1, 128, 300])
def test_a_matrix_of_any_height_is_turned(outputs: int) -> None:
    layer, weight = norm(48), torch.randn(outputs, 48)
    turned, offset = read_turned(weight, layer)
    assert torch.equal(turned, turn(weight * layer.weight, dim=1))
    torch.testing.assert_close(offset, weight @ layer.bias)


def test_no_channel_stands_out_there() -> None:
    tokens = outstanding(768, 50)
    flat = nn.LayerNorm(768)
    assert flat(tokens).abs().max() > 25
    assert bare(flat)(turn(tokens, dim=1)).abs().max() < 5


@pytest.mark.parametrize("ranks", [(4, 8, 16), ()])
def test_a_rewritten_bypass_routes_and_adds_the_same(ranks: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    bypass = LowRankMixture(in_width=48, out_width=48, config=MixtureConfig(expert_ranks=ranks))
    nn.init.normal_(bypass.up)
    before, tokens = norm(48), torch.randn(40, 48) + 3
    with torch.no_grad():
        expected = bypass(before(tokens))
        routing = bypass.route(before(tokens)) if ranks else None
        bypass.rewrite(read=partial(read_turned, norm=before), write=turn)
        x = bare(before)(turn(tokens, dim=1))
        torch.testing.assert_close(bypass(x), turn(expected, dim=1), atol=1e-3, rtol=1e-3)
        if routing is not None:
            assert len(routing.chosen.unique()) > 1
            assert torch.equal(bypass.route(x).chosen, routing.chosen)
            torch.testing.assert_close(bypass.route(x).gates, routing.gates, atol=1e-4, rtol=1e-3)
