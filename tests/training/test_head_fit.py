from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from aigdetect.data.kinds import KINDS, kind_of
from aigdetect.data.layouts import Sample
from aigdetect.model.head import Head
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.model.towers.vit import PlainVit, VitShape
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.training.distributed import ALONE
from aigdetect.training.head_fit import LEAST_IMAGES, Features, fit_head, fit_kinds, kinds_told


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("penalty", [0.01, 0.3])
def test_equals_scikit_learns_regressions(penalty: float, squares: bool) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    x = (rng.normal(size=(400, 12)) + 0.7 * labels[:, None]) * rng.uniform(0.1, 9, 12) + 3
    weights = rng.uniform(0.2, 2, 400)
    head = Head(blocks=0, width=12)
    tensors = (torch.tensor(values, dtype=torch.float32) for values in (x[:, None], labels, weights))
    fit_head(head, *tensors, penalty=penalty, squares=squares)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    shares = weights / weights.sum()
    if squares:
        expected = Ridge(alpha=penalty).fit(scaled, 2 * labels - 1, sample_weight=shares).predict(scaled)
    else:
        oracle = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000)
        expected = oracle.fit(scaled, labels, sample_weight=shares).decision_function(scaled)
    with torch.inference_mode():
        logits = head(torch.tensor(x, dtype=torch.float32))
    np.testing.assert_allclose(logits, expected, atol=2e-3)


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


def network(*kinds: str) -> MoleNetwork:
    base = PlainVit(VitShape(16, patch_size=8, width=32, layers=4, heads=4, hidden=64, embed_dim=16))
    tower = wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="stand-in")
    return MoleNetwork(tower, AdapterConfig(blocks=2), head_blocks=3, kinds=kinds).eval()


def test_words_of_data_sets() -> None:
    assert [kind_of(word) for word in ("photograph", "Old Photograph", "aerial", "meme", "painting")] == [
        "photograph",
        "photograph",
        "photograph",
        "screenshot",
        "drawing",
    ]
    assert kind_of("mixed") is None
    assert kind_of("") is None


def test_kinds_are_learnt_of_enough_images_and_only_if_there_are_several() -> None:
    faces = [Sample(f"{i}", 0, "a", kind="portrait") for i in range(LEAST_IMAGES)]
    scans = [Sample(f"s{i}", 0, "b", kind="scan") for i in range(LEAST_IMAGES)]
    assert kinds_told(faces) == ()
    assert kinds_told(faces + scans[1:]) == ()
    assert kinds_told(scans + faces) == ("face", "document")
    assert set(kinds_told(scans + faces)) <= set(KINDS)


def test_kinds_are_told_by_tokens_that_training_leaves_alone() -> None:
    made = network("photograph", "drawing", "document")
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, 240)
    words = ("photo", "painting", "scan", "mixed")
    samples = [Sample(f"{i}", 0, f"g{i % 5}", kind=words[kind]) for i, kind in enumerate(kinds)]
    rows = rng.normal(size=(240, 2, made.head.in_features))
    assert made.kinds is not None
    assert made.kinds.in_features == made.frozen_tokens * 32 == 32
    for kind in range(3):
        rows[kinds == kind, :, kind] += 4
    features = Features(torch.tensor(rows, dtype=torch.float32), torch.arange(240))
    fit_kinds(made, features, samples, ALONE)
    with torch.inference_mode():
        logits = made.kinds(features.rows[:, :, :32]).mean(dim=1)
    told = kinds < 3
    assert (logits.argmax(dim=1).numpy()[told] == kinds[told]).mean() > 0.97
    # whatever training does to the adapted blocks, the kind stays
    views = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        before = made.outputs(views)
        for bypass in made.bypasses.parameters():
            torch.nn.init.normal_(bypass, std=1.0)
        after = made.outputs(views)
    torch.testing.assert_close(after[:, 1:], before[:, 1:])
    assert float((after[:, 0] - before[:, 0]).abs().max()) > 1e-3


def test_what_tells_kinds_goes_into_the_file_and_takes_no_steps() -> None:
    made = network("photograph", "drawing")
    assert {"kinds.weight", "kinds.bias"} <= set(made.adapter_state())
    assert not {name for name in made.trainable() if name.startswith("kinds")}
    other = network("photograph", "drawing")
    other.load_adapter_state(made.adapter_state())
    assert made.kinds is not None
    assert other.kinds is not None
    assert torch.equal(other.kinds.weight, made.kinds.weight)
