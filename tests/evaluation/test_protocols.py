from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop

from aigdetect.errors import UsageError
from aigdetect.evaluation.protocols import PROTOCOLS, center_crop, find_protocol
from aigdetect.images.views import center_view


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(224, 224), (225, 301), (227, 224), (300, 100), (100, 301), (31, 45), (223, 1)]
)
def test_the_crop_is_that_of_torchvision(height: int, width: int) -> None:
    pixels = noise(height, width)
    theirs = np.asarray(CenterCrop(224)(Image.fromarray(pixels)))
    np.testing.assert_array_equal(center_crop(pixels, 224), theirs)


def test_what_is_smaller_is_not_enlarged() -> None:
    bright = np.full((100, 100, 3), 255, dtype=np.uint8)
    cropped = find_protocol("univfd").apply(bright)
    assert (cropped == 255).sum() == 100 * 100 * 3
    assert (center_view(bright, 224) == 255).all()  # unlike the model's own view


def test_a_model_of_224_pixels_sees_the_crop_as_it_is() -> None:
    cropped = find_protocol("univfd").apply(noise(300, 401))
    np.testing.assert_array_equal(center_view(cropped, 224), cropped)


@pytest.mark.parametrize("name", ["ours", "genimage"])
def test_protocols_that_leave_the_view_to_the_model(name: str) -> None:
    pixels = noise(50, 60)
    assert PROTOCOLS[name].apply(pixels) is pixels


def test_the_crop_of_dif() -> None:
    assert find_protocol("dif").apply(noise(400, 300)).shape == (256, 256, 3)


def test_every_protocol_says_what_it_does() -> None:
    facts = find_protocol("univfd").facts(seed=7)
    told = " ".join(facts.lines)
    assert facts.name == "univfd"
    assert "centre crop of 224 x 224 pixels without resizing" in told
    assert "at most 1000 images of each class per set, drawn with seed 7" in told
    assert "all images of every set" in " ".join(find_protocol("ours").facts(seed=0).lines)
    assert find_protocol("genimage").splits[0] == "val"


def test_unknown_names_are_refused_with_those_known() -> None:
    with pytest.raises(UsageError, match=r"--protocol: 'mine' is not one of ours, univfd, genimage, dif"):
        find_protocol("mine")
