from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard as scipys_matrix
from sklearn.metrics.pairwise import rbf_kernel

from aigdetect.model.fourier_features import FourierFeatures, hadamard, hadamard_factors


@given(power=st.integers(0, 7), rows=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_transform_is_scipys_matrix(power: int, rows: int, seed: int) -> None:
    width = 1 << power
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    expected = x.numpy() @ scipys_matrix(width) / np.sqrt(width)
    np.testing.assert_allclose(hadamard(x, *hadamard_factors(width)), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1500, 100])
def test_inner_products_are_nearly_scikit_learns_kernel(channels: int) -> None:
    features = FourierFeatures(channels, directions=8000)
    assert 8000 <= features.width < 8000 + 2048
    generator = torch.Generator().manual_seed(0)
    deviations = torch.rand(channels, generator=generator) * 9 + 0.1
    features.scale.copy_(deviations)
    # from near to as far as unrelated inputs are
    x = torch.randn(41, channels, generator=generator)
    x = x[0] + torch.linspace(0, 1, 40)[:, None] * x[1:]
    made = features(x * deviations).numpy()
    kernel = rbf_kernel(x.numpy(), gamma=1 / (2 * channels))
    assert kernel.min() < 0.45
    # of so many directions the error has a standard deviation of at most sqrt(1 / 8000)
    assert np.abs(made @ made.T - kernel).max() < 4 / np.sqrt(8000)
    assert np.corrcoef((made @ made.T).flatten(), kernel.flatten())[0, 1] > 0.98


def test_directions_are_the_same_in_every_model() -> None:
    first, second = (FourierFeatures(70, sets).state_dict() for sets in (1, 2))
    for name in ("signs", "phases"):
        assert torch.equal(first[name], second[name])
    assert set(first["signs"].flatten().tolist()) == {-1.0, 1.0}


def test_a_row_is_the_same_whatever_its_neighbours() -> None:
    features = FourierFeatures(100, sets=2)
    generator = torch.Generator().manual_seed(1)
    features.scale.copy_(torch.rand(2, 100, generator=generator) + 0.5)
    x, kinds = torch.randn(7, 100, generator=generator), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    one_by_one = [features(row[None], kind[None]) for row, kind in zip(x, kinds, strict=True)]
    assert torch.equal(features(x, kinds), torch.cat(one_by_one))
    unscaled = FourierFeatures(100)
    torch.testing.assert_close(features(features.scale[kinds] * x, kinds), unscaled(x))
