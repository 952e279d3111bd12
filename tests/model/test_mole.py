from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.model.mole import LowRankMixture, MixtureConfig, Routing, collect_routing, load_balancing_loss

CONFIGS = [
    MixtureConfig(),
    MixtureConfig(shared_rank=0),
    MixtureConfig(expert_ranks=()),
    MixtureConfig(shared_rank=2, expert_ranks=(1, 3, 5, 7), alpha=4.0),
    MixtureConfig(shared_rank=3, expert_ranks=(6,)),
]


def trained(config: MixtureConfig, width: int = 12, out: int | None = None, seed: int = 0) -> LowRankMixture:
    """A bypass as it might be after training: nothing is zero."""
    torch.manual_seed(seed)
    bypass = LowRankMixture(in_width=width, out_width=out or width, config=config)
    torch.nn.init.normal_(bypass.up)
    if bypass.router is not None:
        torch.nn.init.normal_(bypass.router)
    return bypass


def slow_reference(bypass: LowRankMixture, x: Tensor) -> Tensor:
    """The paper's sum, token by token and expert by expert, in float64."""
    config = bypass.config
    down, up = bypass.down.double(), bypass.up.double()
    experts = []
    first = 0
    for rank in config.ranks:
        scale = 1.0 if config.alpha is None else config.alpha / rank
        experts.append((down[first : first + rank], up[:, first : first + rank], scale))
        first += rank
    separate = experts[1:] if config.shared_rank else experts
    output = torch.zeros(*x.shape[:-1], up.shape[0], dtype=torch.float64)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in x.shape[:-1])).reshape(-1, x.dim() - 1):
        place = tuple(index.tolist())
        token = x[place].double()
        if config.shared_rank:
            a, b, scale = experts[0]
            output[place] += scale * (b @ (a @ token))
        if separate:
            assert bypass.router is not None
            gates = torch.softmax(bypass.router.double() @ token, dim=0)
            chosen = int(gates.argmax())
            a, b, scale = separate[chosen]
            output[place] += gates[chosen] * scale * (b @ (a @ token))
    return output


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("out", [12, 36])
def test_equals_the_sum_over_experts_per_token(config: MixtureConfig, out: int) -> None:
    bypass = trained(config, out=out)
    x = torch.randn(3, 7, 12)
    torch.testing.assert_close(bypass(x).double(), slow_reference(bypass, x), rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 5),
    st.lists(st.integers(1, 6), max_size=4).map(tuple),
    st.integers(0, 10_000),
)
def test_equals_the_sum_over_experts_for_any_shape(shared: int, ranks: tuple[int, ...], seed: int) -> None:
    if not shared and not ranks:
        return
    bypass = trained(MixtureConfig(shared_rank=shared, expert_ranks=ranks), seed=seed)
    x = torch.randn(5, 12)
    torch.testing.assert_close(bypass(x).double(), slow_reference(bypass, x), rtol=1e-4, atol=1e-5)


def test_bfloat16_input_is_near_float32_and_keeps_its_dtype() -> None:
    bypass = trained(MixtureConfig())
    x = torch.randn(4, 9, 12).bfloat16()
    exact = slow_reference(bypass, x)
    output = bypass(x)
    assert output.dtype == torch.bfloat16
    assert float((output.double() - exact).abs().max() / exact.abs().max()) < 0.03


def test_routes_in_float32_whatever_the_precision() -> None:
    bypass = trained(MixtureConfig())
    x = torch.randn(50, 12).bfloat16()
    reference = torch.softmax(x.float() @ bypass.router.T, dim=-1)  # type: ignore[union-attr]
    for routing in (bypass.route(x), _under_autocast(bypass, x.float())):
        assert routing.gates.dtype == torch.float32
        torch.testing.assert_close(routing.gates, reference)
        assert torch.equal(routing.chosen, reference.argmax(-1))


def _under_autocast(bypass: LowRankMixture, x: Tensor) -> Routing:
    with torch.autocast("cpu", torch.bfloat16):
        return bypass.route(x)


def test_runs_under_autocast() -> None:
    bypass = trained(MixtureConfig())
    x = torch.randn(4, 9, 12)
    with torch.autocast("cpu", torch.bfloat16):
        output = bypass(x)
    assert output.dtype == torch.bfloat16
    exact = slow_reference(bypass, x)
    assert float((output.double() - exact).abs().max() / exact.abs().max()) < 0.03


def test_whole_module_in_bfloat16() -> None:
    bypass = trained(MixtureConfig()).bfloat16()
    x = torch.randn(4, 9, 12).bfloat16()
    exact = slow_reference(bypass, x)
    assert float((bypass(x).double() - exact).abs().max() / exact.abs().max()) < 0.03


@pytest.mark.parametrize("config", CONFIGS)
def test_fresh_bypass_adds_exactly_nothing(config: MixtureConfig) -> None:
    bypass = LowRankMixture(in_width=12, out_width=12, config=config)
    assert torch.count_nonzero(bypass(torch.randn(2, 5, 12))) == 0


def test_gradients_reach_shared_chosen_and_router_and_nothing_else() -> None:
    bypass = trained(MixtureConfig(shared_rank=2, expert_ranks=(3, 4)))
    assert bypass.router is not None
    with torch.no_grad():
        # every token prefers the second expert
        bypass.router.copy_(torch.stack([-torch.ones(12), torch.ones(12)]))
    bypass(torch.rand(6, 12)).square().sum().backward()
    down, up, router = bypass.down.grad, bypass.up.grad, bypass.router.grad
    assert down is not None
    assert up is not None
    assert router is not None
    shared, idle, chosen = slice(0, 2), slice(2, 5), slice(5, 9)
    for used in (shared, chosen):
        assert (down[used].abs().sum(1) > 0).all()
        assert (up[:, used].abs().sum(0) > 0).all()
    assert torch.count_nonzero(down[idle]) == 0
    assert torch.count_nonzero(up[:, idle]) == 0
    assert (router.abs().sum(1) > 0).all()


def test_gradient_equals_that_of_the_reference() -> None:
    bypass = trained(MixtureConfig()).double()
    x = torch.randn(4, 12, dtype=torch.float64)
    grads = torch.autograd.grad(bypass(x).square().sum(), list(bypass.parameters()))
    expected = torch.autograd.grad(slow_reference(bypass, x).square().sum(), list(bypass.parameters()))
    for ours, theirs in zip(grads, expected, strict=True):
        # the router runs in float32 by design
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_balance_loss_is_one_for_uniform_and_n_for_collapsed_routing() -> None:
    experts, tokens = 3, 12
    uniform = Routing(torch.full((tokens, experts), 1 / experts), torch.arange(tokens) % experts)
    assert float(load_balancing_loss(uniform)) == pytest.approx(1.0)
    collapsed = Routing(torch.eye(experts)[torch.zeros(tokens, dtype=torch.long)], torch.zeros(tokens).long())
    assert float(load_balancing_loss(collapsed)) == pytest.approx(experts)


def test_balance_loss_by_hand() -> None:
    gates = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])
    routing = Routing(gates, gates.argmax(-1))
    # shares 3/4, 1/4, 0; mean gates 0.4, 0.4375, 0.1625
    assert float(load_balancing_loss(routing)) == pytest.approx(3 * (0.75 * 0.4 + 0.25 * 0.4375))


def test_balance_loss_has_a_gradient_through_the_gates_only() -> None:
    gates = torch.rand(2, 5, 3).softmax(-1).requires_grad_()
    load_balancing_loss(Routing(gates, gates.argmax(-1))).backward()
    share = torch.bincount(gates.argmax(-1).flatten(), minlength=3) / 10
    assert gates.grad is not None
    torch.testing.assert_close(gates.grad, (3 * share / 10).expand(2, 5, 3))


def test_collects_the_routing_of_this_context_only_and_keeps_no_state() -> None:
    bypass = trained(MixtureConfig())
    x = torch.randn(2, 5, 12)
    before = set(vars(bypass))
    with collect_routing() as outer:
        bypass(x)
        with collect_routing() as inner:
            bypass(x)
            bypass(x)
    bypass(x)
    assert (len(outer), len(inner)) == (1, 2)
    assert outer[0].gates.shape == (2, 5, 3)
    assert set(vars(bypass)) == before


def test_parameters_per_block_are_75_widths() -> None:
    bypass = LowRankMixture(in_width=768, out_width=768, config=MixtureConfig())
    assert sum(parameter.numel() for parameter in bypass.parameters()) == 75 * 768


def test_initial_values_follow_lora() -> None:
    torch.manual_seed(0)
    bypass = LowRankMixture(in_width=1024, out_width=8, config=MixtureConfig())
    bound = 1 / math.sqrt(1024)  # Kaiming-uniform with a = sqrt(5)
    assert 0.99 * bound < float(bypass.down.abs().max()) <= bound
    assert torch.count_nonzero(bypass.up) == 0


@pytest.mark.parametrize(
    ("settings_", "named"),
    [
        ({"shared_rank": -1}, "shared_rank: -1"),
        ({"expert_ranks": (4, 0)}, "expert_ranks: [4, 0]"),
        ({"shared_rank": 0, "expert_ranks": ()}, "shared_rank"),
        ({"alpha": 0.0}, "alpha: 0.0"),
        ({"alpha": math.nan}, "alpha: nan"),
    ],
)
def test_impossible_values_are_named(settings_: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        MixtureConfig(**settings_)  # type: ignore[arg-type]
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_to_route_without_separate_experts() -> None:
    bypass = LowRankMixture(in_width=4, out_width=4, config=MixtureConfig(expert_ranks=()))
    with pytest.raises(ValueError, match="no separate experts"):
        bypass.route(torch.randn(2, 4))
