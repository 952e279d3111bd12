from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aigdetect.images.views import (
    VIEWS,
    center_view,
    enlarge,
    first_of_scales,
    scales_of,
    shares_of,
    take_views,
    whole_view,
)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_larger_image_is_cropped_at_the_centre_and_never_resized() -> None:
    pixels = noise(300, 501)
    view = center_view(pixels, 224)
    assert np.array_equal(view, pixels[38:262, 138:362])
    assert view.flags["C_CONTIGUOUS"]


def test_an_image_of_the_right_size_is_the_view() -> None:
    pixels = noise(224, 224)
    assert np.array_equal(center_view(pixels, 224), pixels)


def test_a_smaller_image_is_enlarged_as_pillow_does() -> None:
    pixels = noise(64, 96)
    expected = np.asarray(Image.fromarray(pixels).resize((336, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(center_view(pixels, 224), expected[:, 56:280])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([32, 64]), st.sampled_from(list(VIEWS)))
def test_any_shape_gives_a_full_view(height: int, width: int, size: int, name: str) -> None:
    view = VIEWS[name](noise(height, width), size)
    assert view.shape == (size, size, 3)
    assert view.dtype == np.uint8
    assert view.flags["C_CONTIGUOUS"]


QUARTERS = ("top_left", "top_right", "bottom_left", "bottom_right")


def test_crops_of_quarters_lie_at_their_centres() -> None:
    pixels = noise(400, 800)
    taken = take_views(pixels, QUARTERS, 100)
    for view, (top, left) in zip(taken, [(50, 150), (50, 550), (250, 150), (250, 550)], strict=True):
        assert np.array_equal(view, pixels[top : top + 100, left : left + 100])


@settings(max_examples=30, deadline=None)
@given(st.integers(64, 128), st.integers(64, 128))
def test_crops_of_quarters_cover_an_image_of_twice_their_side(height: int, width: int) -> None:
    places = np.stack(np.divmod(np.arange(height * width), width), axis=-1).reshape(height, width, 2)
    pixels = np.concatenate([places, np.zeros_like(places[..., :1])], axis=-1).astype(np.uint8)
    seen = np.zeros((height, width), dtype=bool)
    for view in take_views(pixels, QUARTERS, 64):
        seen[view[..., 0], view[..., 1]] = True
    assert seen.all()


def test_crops_are_of_one_scale_and_the_whole_image_of_another() -> None:
    names = ("center_crop", "top_left", "whole", "bottom_right")
    assert scales_of(names) == (0, 0, 1, 0)
    assert first_of_scales(names) == ("center_crop", "whole")
    assert shares_of(scales_of(names)) == pytest.approx((1 / 6, 1 / 6, 1 / 2, 1 / 6))
    assert (scales_of(("whole", "center_crop")), shares_of((0, 1))) == ((0, 1), (0.5, 0.5))
    assert (scales_of(("whole",)), shares_of((0,))) == ((0,), (1.0,))


@pytest.mark.parametrize("shape", [(32, 20_000), (20_000, 32)])
def test_an_extreme_aspect_ratio_costs_little(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    enlarged = enlarge(pixels, 224)
    assert min(enlarged.shape[:2]) == 224
    assert max(enlarged.shape[:2]) <= 4 * 224


@pytest.mark.parametrize(("height", "width"), [(224, 224), (300, 500), (900, 240), (64, 100)])
def test_the_whole_view_is_pillows_reduction_and_then_the_centre(height: int, width: int) -> None:
    pixels = noise(height, width)
    scale = 224 / min(height, width)
    size = (max(224, round(width * scale)), max(224, round(height * scale)))
    expected = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    top, left = (expected.shape[0] - 224) // 2, (expected.shape[1] - 224) // 2
    assert np.array_equal(whole_view(pixels, 224), expected[top : top + 224, left : left + 224])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([32, 64]))
def test_pillows_image_and_its_array_give_the_same_views(height: int, width: int, size: int) -> None:
    pixels = noise(height, width)
    assert np.array_equal(
        take_views(Image.fromarray(pixels), list(VIEWS), size), take_views(pixels, list(VIEWS), size)
    )


def test_views_are_taken_by_name_in_order() -> None:
    pixels = noise(300, 400)
    taken = take_views(pixels, ["whole", "center_crop"], 224)
    assert taken.shape == (2, 224, 224, 3)
    assert np.array_equal(taken[0], VIEWS["whole"](pixels, 224))
    assert np.array_equal(taken[1], center_view(pixels, 224))
