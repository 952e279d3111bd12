from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from aigdetect.images.overlay import Scale, overlay
from aigdetect.images.thumbnail import reduced, thumbnail


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((512, 512), (128, 128)), ((300, 451), (128, 85)), ((20, 30), (30, 20)), ((1, 1), (1, 1))],
)
def test_the_longest_side_is_128_and_nothing_is_enlarged(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    image = Image.open(io.BytesIO(thumbnail(np.zeros((*shape, 3), np.uint8))))
    assert image.size == expected
    assert image.format == "WEBP"


def test_it_is_small_and_looks_like_the_image() -> None:
    pixels = photographs.astronaut()
    data = thumbnail(pixels)
    assert 1000 < len(data) < 5000
    exact = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BOX)
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
    assert np.abs(shown - np.asarray(exact, float)).mean() < 8


@pytest.mark.parametrize("shape", [(4, 9000), (9000, 4), (1, 20_000)])
def test_a_strip_is_cut_to_its_middle(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[..., 0] = 200
    image = Image.open(io.BytesIO(thumbnail(pixels)))
    assert max(image.size) == 8 * min(shape)
    assert np.asarray(image.convert("RGB"))[..., 0].mean() > 180


def test_a_view_of_a_larger_array_will_do() -> None:
    pixels = photographs.astronaut()[::2, ::-1]
    np.testing.assert_array_equal(reduced(pixels, 64), reduced(np.array(pixels), 64))


def test_texts_of_a_scale_never_lie_on_each_other() -> None:
    scale = Scale(0.0, 1.0, ((0.0, "nothing at all"), (0.5, "in the middle"), (1.0, "everything")))
    wide = overlay(np.zeros((50, 400, 3), np.uint8), np.zeros((5, 5), np.float32), scale, side=400)
    narrow = overlay(np.zeros((50, 20, 3), np.uint8), np.zeros((5, 5), np.float32), scale, side=400)
    assert wide.shape[0] == narrow.shape[0]
    assert (narrow[65:] == 255).all()
    assert (wide[65:] < 100).any(axis=(0, 2)).reshape(8, -1).any(axis=1).sum() >= 6
