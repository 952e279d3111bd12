"""Texts hidden in the lowest bits of pixels, written here as those who hide them do."""

from __future__ import annotations

import gzip
import io
import json
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_files import png_chunk
from PIL import Image

from aigdetect.evidence import stealth
from aigdetect.evidence.provenance import read_provenance
from aigdetect.evidence.stealth import read_stealth

INFOTEXT = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234, Size: 9x9"


def hide(
    text: str, *, packed: bool, alpha: bool, size: tuple[int, int] = (160, 130), seed: int = 0
) -> Image.Image:
    """Bit by bit, down the columns."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    body = gzip.compress(text.encode()) if packed else text.encode()
    name = f"stealth_{'png' if alpha else 'rgb'}{'comp' if packed else 'info'}".encode()
    message = name + struct.pack(">I", 8 * len(body)) + body
    bits = [byte >> shift & 1 for byte in message for shift in range(7, -1, -1)]
    places = [
        (x, y, channel)
        for x in range(width)
        for y in range(height)
        for channel in ((3,) if alpha else (0, 1, 2))
    ]
    for bit, (x, y, channel) in zip(bits, places, strict=False):
        pixels[y, x, channel] = pixels[y, x, channel] & 0xFE | bit
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_a_text_of_a_web_ui(alpha: bool, packed: bool) -> None:
    data = saved(hide(INFOTEXT, packed=packed, alpha=alpha))
    [text] = read_stealth(data)
    assert (text.name, text.value) == ("parameters", INFOTEXT)
    [found] = read_provenance(data).generation
    assert (found.tool, found.seed, found.where) == ("AUTOMATIC1111", "1234", text.where)


def test_the_texts_of_novelai() -> None:
    inner = {"prompt": "a cat", "seed": 7, "steps": 28, "sampler": "k_euler", "uncond_scale": 1.0}
    texts = {"Software": "NovelAI", "Comment": json.dumps(inner), "Description": "a cat"}
    [found] = read_provenance(saved(hide(json.dumps(texts), packed=True, alpha=True))).generation
    assert (found.tool, found.prompt, found.seed, found.where) == ("NovelAI", "a cat", "7", "alpha channel")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:sd_parsers")
def test_the_same_as_the_library_reads() -> None:
    from sd_parsers import Eagerness, ParserManager

    data = saved(hide(INFOTEXT, packed=True, alpha=True))
    theirs = ParserManager(eagerness=Eagerness.EAGER).parse(io.BytesIO(data))
    assert theirs is not None
    [ours] = read_provenance(data).generation
    assert (ours.prompt, ours.negative_prompt) == (theirs.full_prompt, theirs.full_negative_prompt)


def test_the_colours_of_an_image_without_alpha() -> None:
    image = hide(INFOTEXT, packed=True, alpha=False).convert("RGB")
    assert [text.value for text in read_stealth(saved(image))] == [INFOTEXT]


def test_a_lossless_webp_with_alpha_and_no_other() -> None:
    image = hide(INFOTEXT, packed=True, alpha=True)
    assert [text.value for text in read_stealth(saved(image, "WEBP", lossless=True, exact=True))] == [
        INFOTEXT
    ]
    assert read_stealth(saved(image, "WEBP", quality=95)) == ()


@pytest.mark.parametrize("size", [(2000, 5), (5, 2000), (3000, 1)])
@pytest.mark.parametrize("alpha", [True, False])
def test_few_rows_or_columns(size: tuple[int, int], alpha: bool) -> None:
    image = hide("a" * 60, packed=True, alpha=alpha, size=size)
    assert [text.value for text in read_stealth(saved(image))] == ["a" * 60]


@pytest.mark.parametrize("filter_type", range(5))
def test_every_filter_of_png(filter_type: int) -> None:
    image = np.asarray(hide(INFOTEXT, packed=True, alpha=True)).astype(int)
    rows = [filtered(image, y, filter_type) for y in range(len(image))]
    height, width = image.shape[:2]
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    data += png_chunk(b"IDAT", zlib.compress(b"".join(rows))) + png_chunk(b"IEND", b"")
    assert (np.asarray(Image.open(io.BytesIO(data))) == image).all()
    assert [text.value for text in read_stealth(data)] == [INFOTEXT]


def filtered(image: np.ndarray, y: int, filter_type: int) -> bytes:
    """A row as the PNG specification filters it."""
    row = image[y].reshape(-1)
    up = image[y - 1].reshape(-1) if y else np.zeros_like(row)
    left = np.concatenate([np.zeros(4, int), row[:-4]])
    corner = np.concatenate([np.zeros(4, int), up[:-4]])
    estimate = left + up - corner
    distances = [abs(estimate - each) for each in (left, up, corner)]
    a, b, c = distances
    paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
    base = [np.zeros_like(row), left, up, (left + up) // 2, paeth][filter_type]
    return bytes([filter_type]) + ((row - base) % 256).astype(np.uint8).tobytes()


def test_ordinary_pixels_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stealth, "_texts", lambda *_: pytest.fail("decoded"))
    for mode in ("RGBA", "RGB", "L", "P", "LA", "I;16"):
        assert read_stealth(saved(Image.new(mode, (200, 200)))) == ()
    assert read_stealth(saved(Image.new("RGB", (200, 200)), "WEBP", lossless=True)) == ()
    assert read_stealth(saved(Image.new("RGB", (200, 200)), "JPEG")) == ()


def test_a_false_beginning_a_false_length_and_false_packing() -> None:
    good = saved(hide(INFOTEXT, packed=True, alpha=True))
    assert read_stealth(good) != ()
    for change in (("stealth_pngcomp", "stealth_nothing"),):
        image = hide(INFOTEXT, packed=True, alpha=True)
        pixels = np.asarray(image).copy()
        pixels[5 * 8 : 15 * 8, 0, 3] &= 0xFE
        assert read_stealth(saved(Image.fromarray(pixels))) == (), change
    pixels = np.asarray(hide(INFOTEXT, packed=True, alpha=True)).copy()
    pixels[15 * 8 : 130, 0, 3] |= 1  # a length of nearly 2^32
    assert read_stealth(saved(Image.fromarray(pixels))) == ()
    pixels = np.asarray(hide(INFOTEXT, packed=True, alpha=True)).copy()
    pixels[60:, 1, 3] &= 0xFE
    found = read_provenance(saved(Image.fromarray(pixels)))
    assert found.generation == ()


def test_a_bomb_in_the_alpha_channel_costs_little() -> None:
    data = saved(hide("a" * (40 << 20), packed=True, alpha=True, size=(700, 700)))
    start = time.process_time()
    [text] = read_stealth(data)
    assert len(text.value) == 1 << 20
    assert time.process_time() - start < 2


def test_a_bomb_of_pixels_is_not_decoded() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    start = time.process_time()
    assert read_stealth(b"\x89PNG\r\n\x1a\n" + body) == ()
    assert time.process_time() - start < 0.5


GOOD = saved(hide("a cat", packed=True, alpha=True, size=(20, 130)))


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_files_are_harmless(at: int, noise: bytes) -> None:
    read_stealth(GOOD[:at] + noise + GOOD[at + len(noise) :])
    read_stealth(GOOD[:at])
