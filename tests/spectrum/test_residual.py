from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data as photographs
from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma

from aigdetect.errors import ImageError, UsageError
from aigdetect.spectrum.residual import RESIDUALS, luminance, residual, residual_tiles, strength, tile_size

PHOTO = photographs.astronaut()[60:190, 150:301]
GREY = luminance(PHOTO)


def test_luminance_weighs_the_channels() -> None:
    assert GREY.dtype == np.float32
    assert np.abs(GREY - PHOTO @ np.array([0.299, 0.587, 0.114])).max() < 1e-4


def test_median_equals_scipys_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    for image in (GREY, rng.integers(0, 4, (7, 5)), rng.normal(size=(1, 9)), rng.normal(size=(40, 41))):
        image = image.astype(np.float32)
        assert np.array_equal(residual(image), image - ndimage.median_filter(image, 3))


def test_gaussian_equals_scipys() -> None:
    assert np.array_equal(residual(GREY, "gaussian"), GREY - ndimage.gaussian_filter(GREY, 1.0))


def test_wavelet_and_nlm_equal_scikit_images() -> None:
    wavelet = GREY - 255 * denoise_wavelet(GREY / 255, estimate_sigma(GREY / 255), rescale_sigma=True)
    assert np.abs(residual(GREY, "wavelet") - wavelet).max() < 1e-3
    sigma = estimate_sigma(GREY)
    means = denoise_nl_means(GREY, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma)
    assert np.abs(residual(GREY, "nlm") - (GREY - means)).max() < 1e-3


@pytest.mark.parametrize("kind", RESIDUALS)
def test_a_residual_is_signed_and_holds_noise_but_little_content(kind: str) -> None:
    noise = np.random.default_rng(1).normal(0, 5, (128, 128))
    content = 128 + 100 * np.sin(np.arange(128) / 20)[:, None]
    left = residual(content + noise, kind)
    assert left.dtype == np.float32
    assert left.min() < -1 < 1 < left.max()
    assert np.corrcoef(left.ravel(), noise.ravel())[0, 1] > 0.8
    assert np.abs(residual(content * np.ones((128, 128)), kind)).mean() < 0.5


@pytest.mark.parametrize("kind", RESIDUALS)
def test_nothing_is_left_of_a_uniform_image(kind: str) -> None:
    assert not residual(np.full((64, 64), 77), kind).any()


@pytest.mark.parametrize("kind", RESIDUALS)
def test_channels_are_treated_one_by_one(kind: str) -> None:
    together = residual(PHOTO[:70, :70], kind)
    assert np.array_equal(together[..., 1], residual(PHOTO[:70, :70, 1], kind))


def test_unknown_residual() -> None:
    with pytest.raises(UsageError, match="'dncnn': take one of median, gaussian, wavelet, nlm"):
        residual(GREY, "dncnn")


@pytest.mark.parametrize(
    ("height", "width", "size"), [(512, 512, 512), (511, 4000, 256), (64, 99, 64), (9999, 9999, 512)]
)
def test_tile_is_the_largest_power_of_two_that_fits(height: int, width: int, size: int) -> None:
    assert tile_size(height, width) == size
    assert tile_size(height, width, largest=128) == min(size, 128)


def test_too_small_or_no_power_of_two() -> None:
    with pytest.raises(ImageError, match=r"too small for a spectrum: 63x700 pixels, 64 are needed") as error:
        tile_size(700, 63)
    assert (error.value.width, error.value.height) == (63, 700)
    for largest in (32, 300, 0):
        with pytest.raises(UsageError, match=f"not {largest}"):
            tile_size(700, 700, largest)


def test_center_tile_is_the_middle_of_the_whole_residual() -> None:
    (tile,) = residual_tiles(PHOTO, 64)
    top, left = (130 - 64) // 2, (151 - 64) // 2
    assert np.array_equal(tile, residual(GREY)[top : top + 64, left : left + 64])


def test_tiles_lie_side_by_side_and_show_no_edges() -> None:
    tiles = list(residual_tiles(PHOTO, 64, tiles="average"))
    assert len(tiles) == 2 * 2
    whole = residual(GREY)[1:129, 11:139]
    assert np.array_equal(np.block([tiles[:2], tiles[2:]]), whole)


def test_tiles_of_an_image_no_larger_than_one() -> None:
    grey = GREY[:64, :64]
    for tiling in ("center", "average"):
        (tile,) = residual_tiles(grey, 64, tiles=tiling)
        assert np.array_equal(tile, residual(grey))
    with pytest.raises(ImageError, match="too small for a tile of 128 pixels: 64x64"):
        next(residual_tiles(grey, 128))


def test_tiles_of_three_channels() -> None:
    (tile,) = residual_tiles(PHOTO, 128, channel="rgb")
    assert np.array_equal(tile[..., 2], next(residual_tiles(PHOTO[..., 2], 128)))


def test_strength_has_the_period_of_the_variance_and_no_mean() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(64, 64)) * np.where(np.arange(64) % 4, 1, 3)
    assert abs(strength(noise).mean()) < 1e-6
    columns = strength(noise).mean(axis=0)
    assert columns[::4].min() > np.delete(columns, np.s_[::4]).max()
