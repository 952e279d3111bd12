from __future__ import annotations

import copy

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard as scipys_matrix
from sklearn.metrics.pairwise import rbf_kernel

from aigdetect.model.fourier import FourierFeatures, hadamard


@given(power=st.integers(0, 7), rows=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_transform_is_scipys_matrix(power: int, rows: int, seed: int) -> None:
    width = 1 << power
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    expected = x.numpy() @ scipys_matrix(width) / np.sqrt(width)
    np.testing.assert_allclose(hadamard(x), expected, atol=1e-5)


def test_inner_products_are_nearly_scikit_learns_kernel() -> None:
    torch.manual_seed(0)
    channels = 1500
    features = FourierFeatures(channels)
    assert features.width == 2048
    deviations = torch.rand(channels) * 9 + 0.1
    features.scale.copy_(deviations)
    # from near to as far as unrelated inputs are
    x = torch.randn(1, channels) + torch.linspace(0, 1, 40)[:, None] * torch.randn(40, channels)
    made = features(x * deviations).numpy()
    kernel = rbf_kernel(x.numpy(), gamma=1 / (4 * channels))
    assert kernel.min() < 0.65
    # of so many directions the error has a standard deviation of at most sqrt(1 / 2048)
    assert np.abs(made @ made.T - kernel).max() < 4 / np.sqrt(2048)
    assert np.corrcoef((made @ made.T).flatten(), kernel.flatten())[0, 1] > 0.95


def test_a_row_is_the_same_whatever_its_neighbours() -> None:
    features = FourierFeatures(100, sets=2)
    features.scale.copy_(torch.rand(2, 100) + 0.5)
    x, kinds = torch.randn(7, 100), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    one_by_one = [features(row[None], kind[None]) for row, kind in zip(x, kinds, strict=True)]
    assert torch.equal(features(x, kinds), torch.cat(one_by_one))
    scaled = features.scale[kinds] * x
    torch.testing.assert_close(features(scaled, kinds), _unscaled(features)(x, kinds))


def _unscaled(features: FourierFeatures) -> FourierFeatures:
    copied = copy.deepcopy(features)
    copied.scale.fill_(1)
    return copied
