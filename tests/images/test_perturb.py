from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio

from aigdetect.errors import ImageError
from aigdetect.images import perturb

PHOTO = photographs.astronaut()[100:260, 150:330]
NOISE = np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("image", [PHOTO, NOISE], ids=["photo", "noise"])
def test_blur_equals_scipys_filter_of_each_channel(image: np.ndarray, sigma: float) -> None:
    exact = np.stack([ndimage.gaussian_filter(image[..., c].astype(float), sigma) for c in range(3)], axis=-1)
    # as the field's benchmarks do it
    in_place = image.copy()
    for channel in range(3):
        ndimage.gaussian_filter(in_place[..., channel], output=in_place[..., channel], sigma=sigma)
    blurred = perturb.gaussian_blur(image, sigma)
    assert np.abs(blurred - exact).max() <= 1
    assert np.abs(blurred.astype(int) - in_place).max() <= 1


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 3, 4])
def test_blur_leaves_an_even_surface_as_it_is(sigma: float) -> None:
    for level in range(256):
        even = np.full((20, 30, 3), level, np.uint8)
        assert np.array_equal(perturb.gaussian_blur(even, sigma), even), level


def test_no_blur_changes_nothing() -> None:
    assert np.array_equal(perturb.gaussian_blur(PHOTO, 0), PHOTO)


def test_jpeg_equals_pillow_and_differs_between_every_two_qualities() -> None:
    results = {quality: perturb.jpeg(PHOTO, quality) for quality in range(30, 101, 10)}
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG", quality=50)
    assert np.array_equal(results[50], np.asarray(Image.open(buffer)))
    contents = {result.tobytes() for result in results.values()}
    assert len(contents) == len(results)
    psnr = [peak_signal_noise_ratio(PHOTO, results[quality]) for quality in sorted(results)]
    assert psnr == sorted(psnr)


@pytest.mark.parametrize(("encode", "longest"), [(perturb.jpeg, 65_500), (perturb.webp, 16_383)])
def test_an_image_longer_than_a_file_may_be_is_refused(encode, longest: int) -> None:
    assert encode(np.zeros((1, longest, 3), np.uint8), 50).shape == (1, longest, 3)
    with pytest.raises(ImageError, match=f"too long for .*: 1x{longest + 1} pixels, {longest} on a side"):
        encode(np.zeros((longest + 1, 1, 3), np.uint8), 50)


@pytest.mark.parametrize("encode", [perturb.jpeg, perturb.webp])
def test_higher_quality_is_nearer(encode) -> None:
    near, far = encode(PHOTO, 95), encode(PHOTO, 30)
    assert near.shape == far.shape == PHOTO.shape
    assert near.dtype == np.uint8
    assert peak_signal_noise_ratio(PHOTO, near) > peak_signal_noise_ratio(PHOTO, far) + 3


def test_chroma_subsampling_is_heard() -> None:
    assert not np.array_equal(perturb.jpeg(PHOTO, 90, "4:4:4"), perturb.jpeg(PHOTO, 90, "4:2:0"))


@pytest.mark.parametrize(("factor", "shape"), [(0.5, (80, 90)), (2.0, (320, 360)), (0.001, (1, 1))])
def test_rescale(factor: float, shape: tuple[int, int]) -> None:
    assert perturb.rescale(PHOTO, factor).shape == (*shape, 3)


def test_flip_is_its_own_inverse() -> None:
    assert np.array_equal(perturb.flip(PHOTO)[:, 0], PHOTO[:, -1])
    assert np.array_equal(perturb.flip(perturb.flip(PHOTO)), PHOTO)


@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize(
    ("encode", "change", "format"),
    [(perturb.encode_jpeg, perturb.jpeg, "JPEG"), (perturb.encode_webp, perturb.webp, "WEBP")],
)
def test_encoded_bytes_are_what_is_decoded(encode, change, format: str, quality: int) -> None:
    with Image.open(io.BytesIO(encode(PHOTO, quality))) as image:
        assert image.format == format
        assert np.array_equal(np.asarray(image.convert("RGB")), change(PHOTO, quality))


def test_double_jpeg_has_two_grids() -> None:
    twice = perturb.double_jpeg(PHOTO, 60, 95)
    assert twice.shape == (156, 176, 3)
    once = perturb.jpeg(PHOTO[4:, 4:], 95)
    # the old grid shows 4 pixels off the new one: steps across its lines are larger than beside them
    assert _step(twice, 4) > 1.1 * _step(twice, 2)
    assert _step(once, 4) == pytest.approx(_step(once, 2), rel=0.05)


def _step(pixels: np.ndarray, phase: int) -> float:
    """Mean step between columns ``8 k + phase - 1`` and ``8 k + phase``."""
    steps = np.abs(np.diff(pixels.astype(int), axis=1)).mean(axis=(0, 2))
    return float(steps[phase - 1 :: 8].mean())


def test_resize_and_back_keeps_the_size_and_loses_detail() -> None:
    psnr = [
        peak_signal_noise_ratio(PHOTO, perturb.resize_back(PHOTO, factor)) for factor in (0.75, 0.5, 0.25)
    ]
    assert perturb.resize_back(PHOTO[:, :-7], 0.3).shape == (160, 173, 3)
    assert psnr == sorted(psnr, reverse=True)
    assert np.array_equal(perturb.resize_back(PHOTO, 1), PHOTO)


def test_screenshot() -> None:
    shown = Image.fromarray(PHOTO).resize((135, 120), Image.Resampling.BILINEAR)
    assert np.array_equal(perturb.screenshot(PHOTO, 0.75), np.asarray(shown))
    assert np.array_equal(perturb.screenshot(PHOTO, 0.75, 85), perturb.jpeg(np.asarray(shown), 85))
    assert perturb.screenshot(PHOTO, 0.001).shape == (1, 1, 3)


def test_noise_is_what_it_says_and_fixed_by_the_pixels() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = perturb.gaussian_noise(grey, 5).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(np.sqrt(25 + 1 / 12), rel=0.02)  # and rounding
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03
    assert np.array_equal(perturb.gaussian_noise(grey.copy(), 5), perturb.gaussian_noise(grey, 5))
    other = grey.copy()
    other[0, 0, 0] = 127
    assert not np.array_equal(perturb.gaussian_noise(other, 5)[1:], perturb.gaussian_noise(grey, 5)[1:])
    assert perturb.gaussian_noise(PHOTO, 50).dtype == np.uint8  # clipped, not wrapped
    assert np.abs(perturb.gaussian_noise(PHOTO, 2).astype(int) - PHOTO).max() < 14


def test_crop_is_somewhere_and_fixed_by_the_pixels() -> None:
    cut = perturb.random_crop(PHOTO, 0.75)
    assert cut.shape == (120, 135, 3)
    windows = np.lib.stride_tricks.sliding_window_view(PHOTO, cut.shape)[:, :, 0]
    assert (windows == cut).all(axis=(2, 3, 4)).sum() == 1
    assert np.array_equal(perturb.random_crop(PHOTO.copy(), 0.75), cut)
    assert np.array_equal(perturb.random_crop(PHOTO, 1), PHOTO)
    corners = set()
    for i in range(20):
        numbered = (np.arange(100).reshape(10, 10, 1).repeat(3, axis=2) + i).astype(np.uint8)
        corners.add(int(perturb.random_crop(numbered, 0.5)[0, 0, 0]) - i)
    assert len(corners) > 8


def test_inputs_are_left_alone() -> None:
    before = PHOTO.copy()
    for operation in (perturb.random_crop, perturb.resize_back, perturb.screenshot, perturb.gaussian_noise):
        operation(PHOTO, 0.5)
    perturb.double_jpeg(PHOTO, 90, 75)
    assert np.array_equal(PHOTO, before)
