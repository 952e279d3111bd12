from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from aigdetect.model.mole import MixtureConfig, collect_routing, load_balancing_loss
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.training.engine import Batch, compute_gradients


def network(weights: Path, experts: tuple[int, ...] = (1, 2, 3)) -> MoleNetwork:
    tower, _ = load_tower("timm/test_vit", file=weights)
    torch.manual_seed(0)
    config = AdapterConfig(blocks=2, modules=("mlp",), mixture=MixtureConfig(2, experts))
    made = MoleNetwork(tower, config)
    for parameter in made.trainable().values():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.train()


def a_batch(made: MoleNetwork, count: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    size = made.tower.image_size
    views = torch.randint(0, 256, (count, size, size, 3), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 2, (count,), generator=generator).float()
    return Batch(made.trunk(views)[:, None], labels, torch.rand(count, generator=generator) + 0.5)


def gradients(made: MoleNetwork) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in made.trainable().items()}


@pytest.mark.parametrize("experts", [(1, 2, 3), ()])
def test_the_loss_is_that_of_the_paper(tiny_weights: Path, experts: tuple[int, ...]) -> None:
    made = network(tiny_weights, experts)
    batch = a_batch(made, 5)
    losses = compute_gradients(made, batch, balance_weight=0.7)
    ours = gradients(made)
    made.zero_grad()
    with collect_routing() as routings:
        logits = made.tail(batch.trunk)
    bce = (batch.weights * F.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none")).mean()
    balance = torch.stack([torch.zeros(()), *map(load_balancing_loss, routings)]).sum()
    (bce + 0.7 * balance).backward()
    assert losses is not None
    expected = [value.item() for value in (bce + 0.7 * balance, bce, balance)]
    assert [losses.loss, losses.bce, losses.balance] == pytest.approx(expected, rel=1e-6)
    for name, parameter in made.trainable().items():
        torch.testing.assert_close(ours[name], parameter.grad)


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_parts_are_one_step(tiny_weights: Path, accumulate: int) -> None:
    """Seven images in parts of unlike size; the load-balancing loss counts a lot."""
    made = network(tiny_weights)
    batch = a_batch(made, 7)
    whole = compute_gradients(made, batch, balance_weight=5.0)
    expected = gradients(made)
    parts = compute_gradients(made, batch, balance_weight=5.0, accumulate=accumulate)
    assert whole is not None
    assert parts is not None
    assert parts.load == whole.load
    assert [parts.loss, parts.bce, parts.balance] == pytest.approx(
        [whole.loss, whole.bce, whole.balance], rel=1e-5
    )
    for name, gradient in gradients(made).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_each_part_with_its_own_shares_would_be_another_step(tiny_weights: Path) -> None:
    made = network(tiny_weights)
    batch = a_batch(made, 6)
    whole = compute_gradients(made, batch, balance_weight=1.0)
    balances = []
    for part in batch.split(6):
        alone = compute_gradients(made, part, balance_weight=1.0)
        assert alone is not None
        balances.append(alone.balance)
    assert whole is not None
    assert abs(sum(balances) / 6 - whole.balance) > 1e-4


def test_no_image_is_no_step(tiny_weights: Path) -> None:
    made = network(tiny_weights)
    batch = a_batch(made, 2)
    empty = Batch(batch.trunk[:0], batch.labels[:0], batch.weights[:0])
    assert compute_gradients(made, empty, balance_weight=1.0) is None
    assert all(parameter.grad is None for parameter in made.trainable().values())
