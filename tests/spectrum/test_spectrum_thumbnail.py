from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from aigdetect.spectrum.small_picture import spectrum_webp


def levels(pixels: np.ndarray) -> np.ndarray:
    """How bright each point is, 0..255."""
    data = spectrum_webp(pixels)
    assert data is not None
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return np.asarray(image.convert("L"))


def test_a_periodic_trace_is_a_bright_point_where_it_belongs() -> None:
    rng = np.random.default_rng(0)
    grey = 128 + rng.normal(0, 3, (300, 300)) + 6 * np.cos(2 * np.pi * 3 * np.arange(300) / 8)
    shown = levels(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    assert shown.shape == (128, 128)
    y, x = np.unravel_index(shown.argmax(), shown.shape)
    assert abs(y - 64) <= 1
    assert abs(abs(x - 64) - 48) <= 1  # 3/8 of a cycle per pixel


def test_it_is_small() -> None:
    data = spectrum_webp(photographs.astronaut())
    assert data is not None
    assert len(data) < 7_000


@pytest.mark.parametrize("shape", [(63, 500), (200, 200)])
def test_there_is_none_of_what_is_too_small_or_flat(shape: tuple[int, int]) -> None:
    assert spectrum_webp(np.zeros((*shape, 3), np.uint8)) is None


def test_an_image_of_64_pixels_gives_one_of_64() -> None:
    assert levels(photographs.astronaut()[:64, :80]).shape == (64, 64)
