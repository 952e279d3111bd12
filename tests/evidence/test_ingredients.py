"""Thumbnails of what an image was made from, out of credentials that the C2PA library writes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from signed_images import created, make_authority, sign

from aigdetect.evidence import ingredients
from aigdetect.evidence.ingredients import read_ingredient_thumbnails
from aigdetect.images.find import Found
from aigdetect.scanning.pictures import draw
from aigdetect.scanning.preparation import Preparation


def jpeg(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (320, 240), colour).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def edited() -> bytes:
    """A blue image made from a red one."""
    return sign(jpeg("blue"), "image/jpeg", make_authority(), created(), parent=jpeg("red"))


def colour_of(file: bytes) -> list[int]:
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    return [round(value / 255) for value in pixels.reshape(-1, 3).mean(axis=0)]


def test_the_parent_has_a_thumbnail(edited: bytes) -> None:
    [thumbnail] = read_ingredient_thumbnails(edited)
    assert colour_of(thumbnail) == [1, 0, 0]


def test_a_row_with_pictures_keeps_it(edited: bytes, tmp_path: Path) -> None:
    path = tmp_path / "edited.jpg"
    path.write_bytes(edited)
    pictures = Preparation(np.asarray, pictures=True)(Found(str(path), "image")).pictures
    assert pictures is not None
    assert pictures.before is not None
    assert pictures.before[:4] == b"RIFF"
    assert colour_of(pictures.before) == [1, 0, 0]
    assert colour_of(pictures.thumbnail) == [0, 0, 1]
    path.write_bytes(jpeg("blue"))
    assert Preparation(np.asarray, pictures=True)(Found(str(path), "image")).pictures.before is None


def test_several_stand_side_by_side_and_what_is_no_picture_is_left_out() -> None:
    files = [jpeg("red"), b"<svg onload='x'/>", jpeg("lime")]
    drawn = draw(np.zeros((64, 64, 3), np.uint8), files).before
    assert drawn is not None
    with Image.open(io.BytesIO(drawn)) as image:
        assert (image.format, image.size) == ("WEBP", (260, 96))
    assert draw(np.zeros((64, 64, 3), np.uint8), [b"nothing"]).before is None


def test_what_is_too_large_or_no_credentials_gives_none(
    edited: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_ingredient_thumbnails(jpeg("red")) == ()
    assert read_ingredient_thumbnails(b"") == ()
    monkeypatch.setattr(ingredients, "_MAX_BYTES", 100)
    assert read_ingredient_thumbnails(edited) == ()
