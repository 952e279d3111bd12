from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import texture
from skimage.feature import graycomatrix

from aigdetect.errors import UsageError
from aigdetect.methods.cooccurrence import CoOccurrence, CoOccurrenceSettings, co_occurrences


@pytest.mark.parametrize("levels", [256, 32])
def test_matrices_are_scikit_images(levels: int) -> None:
    rng = np.random.default_rng(0)
    images = np.stack([texture(rng)[:48, :48] for _ in range(2)])
    found = co_occurrences(torch.from_numpy(images), levels).numpy()
    for image, of_image in zip(images, found, strict=True):
        for channel in range(3):
            values = image[..., channel] // (256 // levels)
            expected = graycomatrix(values, distances=[1], angles=[0], levels=levels)[..., 0, 0]
            np.testing.assert_array_equal(of_image[channel], expected)


def test_the_network_sees_them_with_a_mean_of_1() -> None:
    views = torch.from_numpy(texture(np.random.default_rng(0))[None, :64, :64])
    network = CoOccurrence(CoOccurrenceSettings(size=64, levels=32, hidden=8))
    seen = network.preprocess(views)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen.mean(), torch.tensor(1.0))


def test_levels_that_do_not_divide_256_are_refused() -> None:
    with pytest.raises(UsageError, match="levels: 100"):
        CoOccurrenceSettings(levels=100)
