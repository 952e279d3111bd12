from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import texture
from torch import nn

from aigdetect.errors import UsageError
from aigdetect.methods.method import IMAGENET
from aigdetect.methods.npr import Npr, NprSettings, neighbour_relations


def test_relations_are_those_of_a_loop_over_cells() -> None:
    image = texture(np.random.default_rng(0))[:12, :16].astype(np.float64)
    expected = np.zeros_like(image)
    for row in range(12):
        for column in range(16):
            first = image[row - row % 2, column - column % 2]
            expected[row, column] = image[row, column] - first
    found = neighbour_relations(torch.from_numpy(image).permute(2, 0, 1)[None])
    np.testing.assert_array_equal(found[0].permute(1, 2, 0).numpy(), expected)


def test_an_image_enlarged_by_copying_has_none() -> None:
    small = texture(np.random.default_rng(0))[:16, :16]
    views = torch.from_numpy(small.repeat(2, axis=0).repeat(2, axis=1))[None]
    network = Npr(NprSettings(size=32, network="test_resnet"))
    assert not network.preprocess(views).any()


def test_the_input_is_scaled_as_published() -> None:
    views = torch.from_numpy(texture(np.random.default_rng(0))[None, :32, :32])
    network = Npr(NprSettings(size=32, network="test_resnet"))
    of_pixels = neighbour_relations(views.permute(0, 3, 1, 2).float())
    of_red = of_pixels[:, 0] / 255 / IMAGENET[1][0] * 2 / 3
    torch.testing.assert_close(network.preprocess(views)[:, 0], of_red, atol=1e-5, rtol=1e-4)


def test_the_body_is_two_stages_of_a_resnet_50_with_a_first_convolution_of_3x3() -> None:
    network = Npr(NprSettings())
    stages = network.body[0]
    assert isinstance(stages, nn.Sequential)
    assert [name for name, _ in stages.named_children()] == [
        *("conv1", "bn1", "act1", "maxpool", "layer1", "layer2")
    ]
    assert stages.conv1.weight.shape == (64, 3, 3, 3)
    assert (len(stages.layer1), len(stages.layer2), network.head.in_features) == (3, 4, 512)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="31"):
        NprSettings(size=31)
