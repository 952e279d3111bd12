from __future__ import annotations

import numpy as np
import pytest
import torch

from aigdetect.errors import UsageError
from aigdetect.methods.gramnet import GramNet, GramNetSettings, gram_matrices


def test_a_gram_matrix_holds_the_mean_products_of_channels() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    found = gram_matrices(features)
    assert found.shape == (2, 1, 3, 3)
    for image in range(2):
        for one in range(3):
            for other in range(3):
                product = sum(
                    float(features[image, one, row, column] * features[image, other, row, column])
                    for row in range(4)
                    for column in range(5)
                )
                assert found[image, 0, one, other].item() == pytest.approx(product / 60)


def test_the_head_reads_704_numbers_as_published() -> None:
    network = GramNet(GramNetSettings(size=64, pretrained=False))
    assert network.head.in_features == 512 + 6 * 32
    views = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    assert network.eval().read(network.trunk(views)).shape == (1, 704)


def test_a_network_that_is_no_resnet_is_refused() -> None:
    with pytest.raises(UsageError, match="no part"):
        GramNet(GramNetSettings(network="test_vit", pretrained=False))
