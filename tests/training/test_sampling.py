from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aigdetect.data.layouts import Sample
from aigdetect.training.recipe import make_recipe
from aigdetect.training.sampling import (
    balanced_batches,
    batch_sizes,
    choose_training_set,
    image_weights,
    shuffled_batches,
)
from aigdetect.training.trunk_outputs import TrunkOutputs


@given(st.integers(1, 300), st.integers(1, 50))
def test_batches_are_few_and_equal(count: int, largest: int) -> None:
    sizes = batch_sizes(count, largest)
    assert sum(sizes) == count
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-count // largest)


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    indices = torch.tensor([3, 4, 7, 9, 12])
    orders = []
    for epoch in (1, 2, 3):
        batches = shuffled_batches(indices, batch_size=2, seed=0, epoch=epoch)
        assert sorted(torch.cat(batches).tolist()) == indices.tolist()
        orders.append(torch.cat(batches).tolist())
    assert len({tuple(order) for order in orders}) == 3
    # one generator over all epochs, as if it had never stopped
    generator = torch.Generator().manual_seed(0)
    assert orders == [indices[torch.randperm(5, generator=generator)].tolist() for _ in range(3)]


@given(
    st.lists(st.integers(0, 1), min_size=2, max_size=60).filter(lambda labels: len(set(labels)) == 2),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_balanced_batches_hold_both_classes_alike_and_go_in_rounds(
    labels: list[int], batch_size: int, seed: int
) -> None:
    indices, classes = torch.arange(len(labels)) + 5, torch.tensor(labels)
    seen: list[int] = []
    for epoch in (1, 2, 3):
        batches = balanced_batches(indices, classes, batch_size=batch_size, seed=seed, epoch=epoch)
        assert [len(batch) for batch in batches] == batch_sizes(len(labels), batch_size)
        for batch in batches:
            of_classes = classes[batch - 5]
            assert abs(int((of_classes == 0).sum()) - int((of_classes == 1).sum())) <= 1
        seen += torch.cat(batches).tolist()
        again = balanced_batches(indices, classes, batch_size=batch_size, seed=seed, epoch=epoch)
        assert all(map(torch.equal, batches, again))
    for label in (0, 1):
        members = set(indices[classes == label].tolist())
        order = [index for index in seen if index in members]
        for start in range(0, len(order) - len(members) + 1, len(members)):
            assert set(order[start : start + len(members)]) == members
        counts = Counter(order)
        assert max(counts.values()) - min(counts[member] for member in members) <= 1


def test_another_seed_is_another_order() -> None:
    indices, labels = torch.arange(40), torch.arange(40) % 2
    first, second = (
        torch.cat(balanced_batches(indices, labels, batch_size=8, seed=seed, epoch=1)).tolist()
        for seed in (0, 1)
    )
    assert first != second


def samples(**counts: int) -> list[Sample]:
    return [
        Sample(f"{name}{index}", int(name.startswith("f")), name)
        for name, count in counts.items()
        for index in range(count)
    ]


def test_weights_balance_classes_and_half_way_generators() -> None:
    chosen = samples(real=90, fake_large=16, fake_small=4)
    weights = image_weights(chosen, balanced=True)
    names = np.array([sample.generator for sample in chosen])
    assert weights.mean() == pytest.approx(1)
    assert weights[names == "real"].sum() == pytest.approx(weights[names != "real"].sum())
    large, small = (weights[names == name].sum() for name in ("fake_large", "fake_small"))
    assert large / small == pytest.approx(np.sqrt(16 / 4))
    np.testing.assert_array_equal(image_weights(chosen, balanced=False), np.ones(110))


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("in_batches", [True, False])
def test_classes_weigh_alike_in_an_epoch_however_they_are_balanced(balanced: bool, in_batches: bool) -> None:
    """Weights and batches that balance the classes both would turn the imbalance round."""
    samples = [Sample(f"r{i}", 0, "camera") for i in range(100)]
    samples += [Sample(f"g{i}", 1, "one" if i % 9 else "two") for i in range(900)]
    outputs = cast("TrunkOutputs", SimpleNamespace(indices=torch.arange(1000)))
    recipe = make_recipe({"balanced": balanced, "balanced_batches": in_batches, "batch_size": 50})
    chosen = choose_training_set(samples, outputs, recipe, torch.device("cpu"))
    labels, among_all, in_a_batch = chosen.targets
    batches = chosen.batches(recipe, 1)
    shown = torch.cat(list(batches))
    seen = [float(in_a_batch[shown][labels[shown] == label].sum()) for label in (0, 1)]
    assert seen == pytest.approx([500, 500] if balanced or in_batches else [100, 900], rel=0.05)
    # a head is fitted to all images at once: there, no batch balances anything
    fitted = [float(among_all[labels == label].sum()) for label in (0, 1)]
    assert fitted == pytest.approx([500, 500] if balanced else [100, 900])
