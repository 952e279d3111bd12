from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from aigdetect.model.nearest import fill_banks, normalised


def embeddings(seed: int, count: int, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@given(st.integers(0, 1000))
def test_the_sign_is_the_vote_of_scikit_learns_nearest_neighbour(seed: int) -> None:
    known, asked = embeddings(seed, 40), embeddings(seed + 5000, 25)
    labels = np.random.default_rng(seed).permutation([0] * 17 + [1] * 23)
    logits = fill_banks(known, labels).logits(asked)
    theirs = KNeighborsClassifier(n_neighbors=1, metric="cosine", algorithm="brute").fit(known, labels)
    assert np.array_equal(logits > 0, theirs.predict(asked) == 1)


@pytest.mark.parametrize("neighbours", [1, 3, 9])
def test_values_are_differences_of_mean_similarities(neighbours: int) -> None:
    known, asked = embeddings(0, 40), embeddings(1, 3000)  # more than are taken at a time
    labels = np.array([0] * 20 + [1] * 20)
    similarity = []
    for label in (1, 0):
        search = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute")
        distances, _ = search.fit(known[labels == label]).kneighbors(asked)
        similarity.append(1 - distances.mean(axis=1))
    logits = fill_banks(known, labels).logits(asked, neighbours=neighbours)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, similarity[0] - similarity[1], atol=1e-5)


def test_only_the_direction_of_an_embedding_counts() -> None:
    known, asked = embeddings(0, 10), embeddings(1, 5)
    labels = np.arange(10) % 2
    banks = fill_banks(known, labels)
    np.testing.assert_allclose(banks.logits(asked), banks.logits(7 * asked), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(banks.real, axis=1), 1, atol=1e-6)
    assert banks.logits(asked[:0]).shape == (0,)


def test_a_known_image_is_its_own_nearest() -> None:
    known = embeddings(0, 10)
    labels = np.arange(10) % 2
    assert np.array_equal(fill_banks(known, labels).logits(known) > 0, labels == 1)


def test_what_cannot_be_done_is_named() -> None:
    known = embeddings(0, 6)
    with pytest.raises(ValueError, match="both classes"):
        fill_banks(known, np.ones(6, dtype=np.int64))
    banks = fill_banks(known, np.array([0, 0, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"neighbours: 3 is not in 1\.\.2"):
        banks.logits(known, neighbours=3)
    with pytest.raises(ValueError, match="embedding 1 has no direction"):
        normalised(np.array([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32))
    with pytest.raises(ValueError, match="embedding 0 has no direction"):
        normalised(np.array([[np.nan, 0.0]], dtype=np.float32))
