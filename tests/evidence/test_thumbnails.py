"""Thumbnails beside pictures, made as cameras and programs make them, and of other pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from jpeg_files import tiff_with_thumbnail
from metadata_files import jpeg_segment
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aigdetect.evidence.thumbnails import LEAST_ALIKE, similarity
from aigdetect.scanning.inspection import inspect_file


def scene(seed: int, width: int = 640, height: int = 426) -> Image.Image:
    """Shapes of random place and brightness over a slope of light."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(60, 160, height)[:, None].repeat(width, 1)
    image = Image.fromarray(slope.astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, r = rng.integers(0, width), rng.integers(0, height), rng.integers(20, 110)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def small(image: Image.Image) -> Image.Image:
    """A thumbnail as a camera makes it: 160 x 120, bars above and below, JPEG."""
    made = Image.new("RGB", (160, 120))
    reduced = image.resize((160, round(160 * image.height / image.width)))
    made.paste(reduced, (0, (120 - reduced.height) // 2))
    out = io.BytesIO()
    made.save(out, "JPEG", quality=60)
    return Image.open(io.BytesIO(out.getvalue()))


def alike(one: Image.Image, other: Image.Image) -> float | None:
    return similarity(*(np.asarray(each.convert("RGB")) for each in (one, other)), enough=2)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.rotate(90, expand=True),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: image.resize((333, 222)),
        lambda image: image.crop((100, 60, 520, 400)),
        lambda image: image.crop((180, 0, 460, 426)),
        lambda image: image.point(lambda value: min(255, 30 + value * 3 // 4)),
        lambda image: image.convert("L"),
    ],
    ids=["same", "turned", "mirrored", "reduced", "cropped", "cut to a portrait", "tones", "grey"],
)
def test_the_thumbnail_of_a_picture_that_was_edited(change: object) -> None:
    for seed in range(3):
        image = scene(seed)
        found = alike(small(image), change(image))
        assert found is not None
        assert found > 0.75, seed


def test_what_is_flat_says_nothing() -> None:
    flat = Image.new("RGB", (160, 120), "grey")
    assert alike(flat, scene(0)) is None
    assert alike(small(scene(0)), flat) is None
    assert alike(Image.new("RGB", (1, 1)), scene(0)) is None


def test_what_is_long_says_nothing() -> None:
    strip = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4000, 3), dtype=np.uint8))
    assert alike(small(scene(0)), strip) is None
    assert alike(strip, scene(0)) is None
    panorama = scene(0, 1200, 400)
    assert alike(small(panorama), panorama) is None


def file_with(thumbnail: Image.Image, picture: Image.Image) -> bytes:
    parts: list[bytes] = []
    for image in (thumbnail, picture):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=80)
        parts.append(out.getvalue())
    exif = jpeg_segment(0xE1, b"Exif\0\0" + tiff_with_thumbnail(parts[0]))
    return parts[1][:2] + exif + parts[1][2:]


def test_a_file_whose_thumbnail_shows_another_picture(tmp_path: Path) -> None:
    y, x = np.mgrid[:240, :320]
    chequers: NDArray[np.uint8] = (((x // 20 + y // 20) % 2) * 255).astype(np.uint8)
    path = tmp_path / "other.jpg"
    path.write_bytes(file_with(small(Image.fromarray(chequers)), scene(1)))
    [said] = inspect_file(str(path)).provenance.contradictions
    assert said.startswith("the thumbnail in EXIF shows another picture (similarity 0.")
    assert f"below {LEAST_ALIKE:g}" in said
    path.write_bytes(file_with(small(scene(1)), scene(1)))
    assert inspect_file(str(path)).provenance.contradictions == ()


def test_a_thumbnail_that_is_no_picture_says_nothing(tmp_path: Path) -> None:
    whole = file_with(small(scene(1)), scene(1))
    at = whole.index(b"\xff\xdb")
    path = tmp_path / "broken.jpg"
    path.write_bytes(whole[: at + 4] + b"\xff" * 40 + whole[at + 44 :])
    inspection = inspect_file(str(path))
    assert inspection.error is None
    assert inspection.provenance.contradictions == ()


def test_of_a_picture_of_which_a_part_is_missing_nothing_is_asked(tmp_path: Path) -> None:
    whole = file_with(small(scene(3)), scene(1))
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert inspect_file(str(path)).provenance.contradictions == ()
