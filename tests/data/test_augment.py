from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

from aigdetect.data.augment import Augmentation, training_views
from aigdetect.errors import UsageError
from aigdetect.images import perturb

PHOTO = photographs.astronaut()
NOTHING = Augmentation(blur_probability=0, jpeg_probability=0, flip_probability=0)


def view(
    augmentation: Augmentation, seed: int = 0, pixels: np.ndarray = PHOTO, size: int = 224
) -> np.ndarray:
    return training_views(pixels, size, augmentation, ["center_crop"], [seed])[0]


def test_without_operations_a_view_is_a_random_native_crop() -> None:
    for seed in range(5):
        crop = view(NOTHING, seed)
        windows = np.lib.stride_tricks.sliding_window_view(PHOTO[..., 0], (224, 224))
        places = np.argwhere((windows[:, :, ::37, ::41] == crop[::37, ::41, 0]).all(axis=(2, 3)))
        assert any(np.array_equal(PHOTO[y : y + 224, x : x + 224], crop) for y, x in places)
    assert len({view(NOTHING, seed).tobytes() for seed in range(8)}) == 8


def test_the_seed_decides_everything() -> None:
    wild = Augmentation(symmetric=True, blur_probability=0.5, jpeg_probability=0.5)
    assert np.array_equal(view(wild, 3), view(wild, 3))
    assert not np.array_equal(view(wild, 3), view(wild, 4))


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(blur_probability=1, blur_sigma=(1, 3), jpeg_probability=0, flip_probability=0),
        Augmentation(blur_probability=0, jpeg_probability=1, flip_probability=0),
        Augmentation(blur_probability=0, jpeg_probability=0, flip_probability=1),
    ],
)
def test_each_operation_can_be_certain(augmentation: Augmentation) -> None:
    pixels = PHOTO[:224, :224]  # the only crop there is
    for seed in range(5):
        assert not np.array_equal(view(augmentation, seed, pixels), pixels)


def test_symmetric_operations_run_with_their_probabilities() -> None:
    pixels = PHOTO[:224, :224]
    encoded = Augmentation(True, 0, 0.5, (50, 60), blur_probability=0, jpeg_probability=0, flip_probability=0)
    changed = sum(not np.array_equal(view(encoded, seed, pixels), pixels) for seed in range(200))
    assert 70 < changed < 130
    resized = Augmentation(True, 1, 0, blur_probability=0, jpeg_probability=0, flip_probability=0)
    assert all(view(resized, seed, pixels).shape == (224, 224, 3) for seed in range(10))


@settings(max_examples=60, deadline=None)
@given(st.integers(32, 400), st.integers(32, 400), st.integers(0, 2**32))
def test_any_image_gives_a_full_view(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    wild = Augmentation(symmetric=True, blur_probability=0.5, jpeg_probability=0.5)
    result = view(wild, seed, pixels, size=64)
    assert result.shape == (64, 64, 3)
    assert result.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "certain"),
    [
        ((16_400, 40, 3), Augmentation(True, 0, 1, blur_probability=0, jpeg_probability=0)),
        ((40, 66_000, 3), Augmentation(blur_probability=0, jpeg_probability=1)),
    ],
    ids=["WebP", "JPEG"],
)
@pytest.mark.parametrize("name", ["center_crop", "whole"])
def test_an_image_longer_than_a_file_may_be_gives_a_full_view(
    shape: tuple[int, int, int], certain: Augmentation, name: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for seed in range(6):  # three in ten are encoded as WebP
        assert training_views(pixels, 64, certain, [name], [seed]).shape == (1, 64, 64, 3)


def test_a_strip_is_not_enlarged_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []
    resize = perturb.resize

    def noted(pixels: np.ndarray, *, height: int, width: int) -> np.ndarray:
        sides.append(width)
        return resize(pixels, height=height, width=width)

    monkeypatch.setattr(perturb, "resize", noted)
    enlarged = Augmentation(True, 1, 0, blur_probability=0, jpeg_probability=0)
    for seed in range(4):
        views = training_views(np.zeros((32, 60_000, 3), np.uint8), 224, enlarged, ["whole"], [seed])
        assert views.shape == (1, 224, 224, 3)
    assert max(sides) <= perturb.LONGEST_SIDE


@pytest.mark.parametrize(
    ("settings_", "named"),
    [
        ({"flip_probability": 1.5}, "flip_probability: 1.5"),
        ({"resize_probability": -0.1}, "resize_probability: -0.1"),
        ({"encode_quality": (0, 50)}, "encode_quality: 0..50"),
        ({"blur_sigma": (2, 1)}, "blur_sigma: 2..1"),
    ],
)
def test_impossible_values_are_named(settings_: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        Augmentation(**settings_)  # type: ignore[arg-type]
    assert named in str(caught.value)


def test_a_whole_view_shows_nearly_all_of_the_image() -> None:
    for seed in range(5):
        chosen = training_views(PHOTO, 224, NOTHING, ["whole"], [seed])[0]
        assert chosen.shape == (224, 224, 3)
        # at most 15 per cent larger than the reduced image, so its mean is near the image's
        assert np.abs(chosen.mean(axis=(0, 1)) - PHOTO.mean(axis=(0, 1))).max() < 12


@given(
    st.integers(32, 700), st.integers(32, 700), st.integers(0, 99), st.sampled_from(["whole", "center_crop"])
)
@settings(max_examples=30, deadline=None)
def test_any_size_gives_a_view(height: int, width: int, seed: int, name: str) -> None:
    pixels = np.full((height, width, 3), 90, dtype=np.uint8)
    wild = Augmentation(symmetric=True, blur_probability=0.5, jpeg_probability=0.5)
    assert training_views(pixels, 64, wild, [name], [seed]).shape == (1, 64, 64, 3)


def test_a_view_is_the_same_whichever_others_are_asked_for() -> None:
    wild = Augmentation(symmetric=True, blur_probability=0.5, jpeg_probability=0.5)
    for seed in range(6):
        crop, whole = training_views(PHOTO, 96, wild, ["center_crop", "whole"], [seed])
        assert np.array_equal(training_views(PHOTO, 96, wild, ["whole"], [seed])[0], whole)
        assert np.array_equal(training_views(PHOTO, 96, wild, ["center_crop"], [seed])[0], crop)


def test_all_views_show_the_same_copy() -> None:
    """A mirrored image is mirrored in all of them."""
    half = np.zeros((300, 300, 3), dtype=np.uint8)
    half[:, 150:] = 255
    options = Augmentation(blur_probability=0, jpeg_probability=0, flip_probability=0.5)
    mirrored = set()
    for seed in range(12):
        crop, whole = training_views(half, 224, options, ["center_crop", "whole"], [seed])
        sides = [float(view[:, -40:].mean()) < float(view[:, :40].mean()) for view in (crop, whole)]
        assert sides[0] == sides[1]
        mirrored.add(sides[0])
    assert mirrored == {True, False}
