from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from aigdetect.data.layouts import Sample
from aigdetect.model.head import Head
from aigdetect.training.fit import fit_head
from aigdetect.training.image_weights import image_weights
from aigdetect.training.material import choose_material
from aigdetect.training.sampler import balanced_batches as balanced_sampler
from aigdetect.training.sampler import shuffled_batches
from aigdetect.training.source import Source


@pytest.mark.parametrize("penalty", [0.01, 0.3])
def test_equals_scikit_learns_logistic_regression(penalty: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    x = (rng.normal(size=(400, 12)) + 0.7 * labels[:, None]) * rng.uniform(0.1, 9, 12) + 3
    weights = rng.uniform(0.2, 2, 400)
    head = Head(blocks=0, width=12)
    tensors = (torch.tensor(values, dtype=torch.float32) for values in (x[:, None], labels, weights))
    fit_head(head, *tensors, penalty=penalty)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    oracle = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000)
    oracle.fit(scaled, labels, sample_weight=weights / weights.sum())
    with torch.inference_mode():
        logits = head(torch.tensor(x, dtype=torch.float32))
    np.testing.assert_allclose(logits, oracle.decision_function(scaled), atol=2e-3)


@pytest.mark.parametrize("sets", [1, 2])
def test_several_views_are_fitted_one_by_one_or_side_by_side(sets: int) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 300)
    x = rng.normal(size=(300, 2, 5)) + labels[:, None, None] * rng.uniform(0, 1, (2, 5)) + 2
    weights = rng.uniform(0.2, 2, 300)
    head = Head(blocks=0, width=5, sets=sets)
    tensors = (torch.tensor(values, dtype=torch.float32) for values in (x, labels, weights))
    fit_head(head, *tensors, penalty=0.1)
    rows = x.reshape(300, 10) if sets == 2 else x.reshape(600, 5)
    times = 1 if sets == 2 else 2
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    oracle = LogisticRegression(C=10, tol=1e-8, max_iter=1000)
    oracle.fit(scaled, labels.repeat(times), sample_weight=weights.repeat(times) / weights.sum() / times)
    places = torch.tensor([0, 1] * 300)
    with torch.inference_mode():
        logits = head(torch.tensor(x.reshape(600, 5), dtype=torch.float32), places).view(300, 2).mean(dim=1)
    expected = oracle.decision_function(scaled).reshape(300, -1).mean(axis=1)
    np.testing.assert_allclose(logits, expected, atol=2e-3)


def test_the_source_penalty_equals_scipys_minimum() -> None:
    rng = np.random.default_rng(1)
    labels, sources = rng.integers(0, 2, 300), rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 6)) + 0.6 * labels[:, None]
    # one source of real images looks generated in one channel
    x[:, 0] += 2 * np.where(labels == 1, 1, sources == 2)
    head = Head(blocks=0, width=6)
    tensors = (torch.tensor(values, dtype=torch.float32) for values in (x[:, None], labels, np.ones(300)))
    fit_head(head, *tensors, penalty=0.1, sources=torch.tensor(sources), source_penalty=2.0)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)

    def spread(logits: np.ndarray) -> float:
        return float(np.var([logits[(labels == 0) & (sources == source)].mean() for source in range(3)]))

    def objective(parameters: np.ndarray) -> float:
        logits = scaled @ parameters[:-1] + parameters[-1]
        bce = np.logaddexp(0, logits) - labels * logits
        return bce.mean() + 0.1 / 2 * (parameters[:-1] ** 2).sum() + 2.0 / 2 * spread(logits)

    oracle = minimize(objective, np.zeros(7)).x
    with torch.inference_mode():
        logits = head(torch.tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(logits, scaled @ oracle[:-1] + oracle[-1], atol=2e-3)
    without = Head(blocks=0, width=6)
    tensors = (torch.tensor(values, dtype=torch.float32) for values in (x[:, None], labels, np.ones(300)))
    fit_head(without, *tensors, penalty=0.1)
    with torch.inference_mode():
        free = without(torch.tensor(x, dtype=torch.float32)).numpy()
    assert spread(logits) < 0.3 * spread(free)


def test_a_constant_channel_does_no_harm() -> None:
    x = torch.cat([torch.linspace(-1, 1, 20)[:, None], torch.full((20, 1), 5.0)], dim=1)
    head = Head(blocks=0, width=2)
    fit_head(head, x[:, None], (x[:, 0] > 0).float(), torch.ones(20), penalty=0.01)
    assert torch.isfinite(head.weight).all()
    assert (head(x).sign() == x[:, 0].sign()).all()


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
@pytest.mark.parametrize("balanced_batches", [True, False])
def test_classes_weigh_alike_in_an_epoch_however_they_are_balanced(
    balanced: bool, balanced_batches: bool
) -> None:
    """Weights and batches that balance the classes both would turn the imbalance round."""
    samples = [Sample(f"r{i}", 0, "camera") for i in range(100)]
    samples += [Sample(f"g{i}", 1, "one" if i % 9 else "two") for i in range(900)]
    source = cast("Source", SimpleNamespace(indices=torch.arange(1000)))
    material = choose_material(
        *(samples, range(1000), source),
        balanced=balanced,
        balanced_batches=balanced_batches,
        device=torch.device("cpu"),
    )
    labels, among_all, in_batches = material.targets
    batches = (
        balanced_sampler(source.indices, labels, batch_size=50, seed=0, epoch=1)
        if balanced_batches
        else shuffled_batches(source.indices, batch_size=50, seed=0, epoch=1)
    )
    shown = torch.cat(list(batches))
    seen = [float(in_batches[shown][labels[shown] == label].sum()) for label in (0, 1)]
    assert seen == pytest.approx([500, 500] if balanced or balanced_batches else [100, 900], rel=0.05)
    # a head is fitted to all images at once: there, no batch balances anything
    fitted = [float(among_all[labels == label].sum()) for label in (0, 1)]
    assert fitted == pytest.approx([500, 500] if balanced else [100, 900])
