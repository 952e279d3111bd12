"""Heads over products, against scikit-learn's ridge regression on what the head multiplies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.model.head import Head
from aigdetect.training.kernel_ridge import KernelRidge

PENALTY = 1e-3
IMAGES, VIEWS, CHANNELS = 300, 2, 60
Floats = NDArray[np.float64]


def _images() -> tuple[Floats, NDArray[np.int64], Floats]:
    """Features ``(n, 2, 60)``, labels and weights ``(n,)``."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(IMAGES, VIEWS, CHANNELS)) * rng.uniform(0.1, 9, CHANNELS)
    scaled = x / x.reshape(-1, CHANNELS).std(axis=0)
    # what no linear head can tell: two channels of one sign, or of two
    return x, ((scaled[..., 0] * scaled[..., 1]).mean(axis=1) > 0).astype(int), rng.uniform(0.2, 3, IMAGES)


def _tensors(*arrays: NDArray[np.generic]) -> list[Tensor]:
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


def _logits(head: Head, x: Floats) -> Floats:
    """Mean logit of the views of each image, ``(n,)``."""
    (views,) = _tensors(x.reshape(-1, CHANNELS))
    with torch.inference_mode():
        told = head(views, torch.tensor([0, 1] * len(x))).view(-1, VIEWS).mean(dim=1)
    return np.asarray(told, dtype=np.float64)


def _by_scikit_learn(
    head: Head, x: Floats, labels: NDArray[np.int64], weights: Floats, learnt: NDArray[np.bool_]
) -> Floats:
    """What ridge regression says of all images after it has learnt from some."""
    (views,) = _tensors(x.reshape(-1, CHANNELS))
    with torch.inference_mode():
        of_views = head.features(views, torch.tensor([0, head.sets - 1] * len(x))).numpy().astype(float)
    each = VIEWS // head.sets  # rows of an image
    rows = of_views.reshape(each * len(x), -1) / np.sqrt(head.sets)
    here = learnt.repeat(each)
    oracle = Ridge(alpha=PENALTY * each * weights.sum())
    oracle.fit(rows[here], (2 * labels - 1).repeat(each)[here], sample_weight=weights.repeat(each)[here])
    return np.asarray(oracle.predict(rows)).reshape(len(x), -1).mean(axis=1)


@pytest.mark.parametrize("sets", [1, 2])
def test_is_ridge_regression_on_products(sets: int) -> None:
    x, labels, weights = _images()
    head = Head(blocks=0, width=CHANNELS, sets=sets, kernel="quadratic")
    KernelRidge(head, *_tensors(x, labels, weights), penalty=PENALTY).fit()
    assert head.quadratic is not None
    np.testing.assert_allclose(head.quadratic.scale, x.reshape(-1, sets, CHANNELS).std(axis=0), rtol=1e-4)
    expected = _by_scikit_learn(head, x, labels, weights, np.ones(IMAGES, dtype=bool))
    np.testing.assert_allclose(_logits(head, x), expected, atol=2e-3)
    assert roc_auc_score(labels, expected) > 0.9


def test_a_penalty_too_small_for_the_precision_is_refused() -> None:
    x = torch.ones(400, 1, CHANNELS)
    x[:200] *= -1  # images that are all one or the other leave nothing else to go by
    head = Head(blocks=0, width=CHANNELS, kernel="quadratic")
    with pytest.raises(UsageError, match="head_penalty: 1e-12 is too small"):
        KernelRidge(head, x, torch.arange(400) % 2.0, torch.ones(400), penalty=1e-12)


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("left_out", [slice(7, 8), slice(20, 90), slice(0, None, 2)])
def test_heads_without_some_images_learn_from_the_others_alone(sets: int, left_out: slice) -> None:
    x, labels, weights = _images()
    head = Head(blocks=0, width=CHANNELS, sets=sets, kernel="quadratic")
    ridge = KernelRidge(head, *_tensors(x, labels, weights), penalty=PENALTY)
    out = np.zeros(IMAGES, dtype=bool)
    out[left_out] = True
    ridge.fit_without(torch.from_numpy(out))
    np.testing.assert_allclose(_logits(head, x), _by_scikit_learn(head, x, labels, weights, ~out), atol=3e-3)
    ridge.fit()  # is as it was
    whole = _by_scikit_learn(head, x, labels, weights, np.ones(IMAGES, dtype=bool))
    np.testing.assert_allclose(_logits(head, x), whole, atol=2e-3)
