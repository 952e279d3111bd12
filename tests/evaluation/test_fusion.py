from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from aigdetect.errors import DataError
from aigdetect.evaluation.fusion import fuse_left_out


def images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two detectors that know half of the truth each, and one that knows nothing; eight origins."""
    labels = np.tile([0, 1], 200)
    origins = np.arange(400) % 8
    signs = 2.0 * labels - 1
    logits = np.stack([signs, signs, np.zeros(400)], axis=1) + rng.normal(size=(400, 3)) * [1.5, 1.5, 5]
    return logits, labels, origins


def test_two_half_truths_are_more_than_one() -> None:
    logits, labels, origins = images(np.random.default_rng(0))
    fused = fuse_left_out(logits, labels, origins.tolist())
    alone = [roc_auc_score(labels, logits[:, detector]) for detector in range(3)]
    assert roc_auc_score(labels, fused) > max(alone) + 0.03


def test_an_image_is_scored_without_the_labels_of_its_origin() -> None:
    logits, labels, origins = images(np.random.default_rng(0))
    fused = fuse_left_out(logits, labels, origins.tolist())
    changed = labels.copy()
    changed[origins == 3] = 1 - changed[origins == 3]
    again = fuse_left_out(logits, changed, origins.tolist())
    np.testing.assert_array_equal(fused[origins == 3], again[origins == 3])
    assert not np.array_equal(fused[origins != 3], again[origins != 3])


def test_a_large_origin_counts_like_a_small_one() -> None:
    logits, labels, origins = images(np.random.default_rng(0))
    largest = np.flatnonzero(origins == 0)
    more = np.concatenate([np.arange(400), np.tile(largest, 5)])
    fused = fuse_left_out(logits, labels, origins.tolist())
    again = fuse_left_out(logits[more], labels[more], origins[more].tolist())[:400]
    # the means and scales of the logits move a little; the weights do not
    assert np.corrcoef(fused, again)[0, 1] > 0.999


def test_one_origin_of_a_class_is_too_few() -> None:
    with pytest.raises(DataError, match="two generators"):
        fuse_left_out(np.zeros((4, 2)), np.array([0, 0, 1, 1]), [0, 1, 2, 2])
