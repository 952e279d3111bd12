from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity, polynomial_kernel
from sklearn.preprocessing import StandardScaler, normalize

from aigdetect.model.quadratic_features import QuadraticFeatures

ROWS, CHANNELS = 200, 40


def rows(sets: int = 1, seed: int = 0) -> torch.Tensor:
    """Correlated channels of different scales, away from 0, ``(200, sets, 40)``."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(ROWS, sets, CHANNELS, generator=generator) * torch.arange(1.0, CHANNELS + 1).pow(-1.5)
    return mixed @ torch.randn(CHANNELS, CHANNELS, generator=generator) + torch.arange(CHANNELS) / 3


def made_alike(x: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(normalize(StandardScaler().fit_transform(x.double().numpy())))


def test_inner_products_are_those_of_first_and_second_order() -> None:
    x = rows()
    features = QuadraticFeatures(CHANNELS, components=CHANNELS)
    features.fit(x)
    assert features.width == CHANNELS + CHANNELS**2
    made = features(x[:, 0]).numpy().astype(np.float64)
    unit = made_alike(x[:, 0])
    expected = cosine_similarity(unit) + polynomial_kernel(unit, degree=2, gamma=1, coef0=0) / 2
    np.testing.assert_allclose(made @ made.T, expected, atol=2e-3)


@pytest.mark.parametrize("count", [1, 7])
def test_products_are_of_the_principal_components(count: int) -> None:
    x = rows()
    features = QuadraticFeatures(CHANNELS, components=count)
    features.fit(x)
    unit = made_alike(x[:, 0])
    # about the origin, as inner products are
    found = np.linalg.svd(unit, full_matrices=False)[2][:count]
    made = features.components[0].double().numpy()
    np.testing.assert_allclose(np.abs(made @ found.T), np.eye(count), atol=5e-3)
    along = unit @ made.T
    expected = (along[:, :, None] * along[:, None]).reshape(ROWS, -1) / np.sqrt(2)
    np.testing.assert_allclose(features(x[:, 0])[:, CHANNELS:], expected, atol=2e-3)
    np.testing.assert_allclose(features(x[:, 0])[:, :CHANNELS], unit, atol=1e-5)


def test_each_kind_of_input_has_its_own_and_a_row_is_the_same_whatever_its_neighbours() -> None:
    x = rows(sets=2)
    both = QuadraticFeatures(CHANNELS, sets=2, components=5)
    both.fit(x)
    kinds = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    chosen = x[torch.arange(7), kinds]
    one_by_one = [both(row[None], kind[None]) for row, kind in zip(chosen, kinds, strict=True)]
    assert torch.equal(both(chosen, kinds), torch.cat(one_by_one))
    for kind in (0, 1):
        alone = QuadraticFeatures(CHANNELS, components=5)
        alone.fit(x[:, kind : kind + 1])
        of_kind = chosen[kinds == kind]
        torch.testing.assert_close(both(of_kind, torch.full((len(of_kind),), kind)), alone(of_kind))
        coordinates, made = both.coordinates(of_kind, kind), alone(of_kind)
        torch.testing.assert_close(coordinates.features(), made)
        inner = torch.zeros(len(made), len(made))
        coordinates.add_inner_products(inner, 0.5)
        torch.testing.assert_close(inner, made @ made.T / 2)
        weights = torch.softmax(torch.arange(float(len(made))), dim=0)
        torch.testing.assert_close(coordinates.sum_of_features(weights), weights @ made)


def test_components_depend_on_the_rows_alone() -> None:
    first, second = QuadraticFeatures(CHANNELS), QuadraticFeatures(CHANNELS)
    first.fit(rows())
    torch.manual_seed(99)
    before = torch.get_rng_state()
    second.fit(rows())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(own, other) for own, other in zip(first.buffers(), second.buffers(), strict=True))


def test_fewer_rows_than_components_leave_the_rest_at_nothing() -> None:
    features = QuadraticFeatures(CHANNELS, components=9)
    features.fit(rows()[:4])
    lengths = features.components[0].float().norm(dim=1)
    torch.testing.assert_close(lengths[:3], torch.ones(3), rtol=2e-3, atol=0)
    assert not lengths[4:].any()
    assert features(rows()[:, 0]).isfinite().all()
