from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import texture
from torchvision.transforms.functional import normalize, to_tensor

from aigdetect.errors import UsageError
from aigdetect.methods.cnnspot import CnnSpot, CnnSpotSettings
from aigdetect.training.recipe import make_recipe


def test_the_network_sees_what_torchvision_makes_of_an_image() -> None:
    view = texture(np.random.default_rng(0))[:32, :32]
    network = CnnSpot(CnnSpotSettings(size=32, network="test_resnet")).eval()
    expected = normalize(to_tensor(view), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])[None]
    views = torch.from_numpy(view)[None]
    torch.testing.assert_close(network.preprocess(views), expected, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        logits = network.head(network.body(expected))
        torch.testing.assert_close(network(views), logits, atol=1e-5, rtol=1e-4)


def test_half_of_the_images_are_blurred_and_half_re_encoded() -> None:
    recipe = make_recipe({"method": "cnnspot"})
    augmentation = recipe.augmentation
    assert (augmentation.blur_probability, augmentation.jpeg_probability) == (0.5, 0.5)
    assert (augmentation.blur_sigma, augmentation.jpeg_quality) == ((0, 3), (30, 100))
    assert recipe.hyperparameters == {"size": 224, "network": "resnet50.tv_in1k", "pretrained": True}


def test_a_size_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="size: 16 is below 32"):
        CnnSpotSettings(size=16)
