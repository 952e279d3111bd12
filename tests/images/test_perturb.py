from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio

from aigdetect.images import perturb

PHOTO = photographs.astronaut()[100:260, 150:330]


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0])
def test_blur_equals_scipys_filter_of_each_channel(sigma: float) -> None:
    expected = np.stack(
        [ndimage.gaussian_filter(PHOTO[..., c].astype(float), sigma) for c in range(3)], axis=-1
    )
    assert np.abs(perturb.gaussian_blur(PHOTO, sigma) - expected).max() <= 0.51


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
