"""Open watermarks: written by the benchmark's encoder, whose output is that of invisible-watermark itself."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from aigdetect.evidence.findings import Kind, Says, Strength
from aigdetect.evidence.watermarks import (
    MAX_CHANCE,
    MAX_PIXELS,
    MESSAGES,
    MIN_SIDE,
    can_be_marked,
    compare,
    read_watermarks,
)
from aigdetect.images.find import Found
from aigdetect.scanning.inspection import inspect_file
from aigdetect.scanning.preparation import Preparation

REPOSITORY = Path(__file__).parents[2]

# SHA-256 of the pixels that EmbedMaxDct of invisible-watermark 0.2.0 (with OpenCV 5.0.0 and PyWavelets) makes
# of picture(260, 301), for each of MESSAGES
BY_THE_PACKAGE = (
    "fe6692cfdd21c5de584cbb4de05dd1dcd8c22256f95ad9725e07525bdba7c37d",
    "c4f33bb54b6bf41988ffa38c4a556b43c79981b0cdd22583d3f754bf080c85fb",
    "1a7b39f61d38534a207096554d64c62f82b0be32cc8f1458d55dcd5e22a5a1b8",
)


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("watermarks", REPOSITORY / "benchmarks" / "watermarks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mark = load_benchmark().mark


def picture(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    channels = (x * 3 + y * y // 31, x * x // 57 + 2 * y, x + y * 5 + x * y // 97)
    return np.stack([channel % 256 for channel in channels], -1).astype(np.uint8)


def png(pixels: NDArray[np.uint8], **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


@pytest.mark.parametrize(("message", "digest"), list(zip(MESSAGES, BY_THE_PACKAGE, strict=True)))
def test_every_message_is_read_out_of_what_the_package_writes(message: object, digest: str) -> None:
    marked = mark(picture(260, 301), message.bits)
    assert hashlib.sha256(marked.tobytes()).hexdigest() == digest
    [found] = read_watermarks(marked)
    assert (found.pipeline, found.agree, found.bits) == (
        message.pipeline,
        len(message.bits),
        len(message.bits),
    )
    assert found.chance < 1e-8


def test_the_messages_are_those_of_the_pipelines() -> None:
    flux = 0b001010101111111010000111100111001111010100101110
    assert int(MESSAGES[0].bits, 2) == 0b101100111110110010010000011110111011000110011110
    assert [message.bits for message in MESSAGES[1:]] == [f"{flux:b}", f"{flux:048b}"]


def test_an_image_without_one() -> None:
    assert read_watermarks(picture(260, 301)) == ()
    assert read_watermarks(np.full((300, 300, 3), 128, np.uint8)) == ()  # no bit differs from another
    assert read_watermarks(np.zeros((256, 256, 3), np.uint8)) == ()


def test_another_message_is_none_of_these() -> None:
    other = "".join(reversed(MESSAGES[0].bits))
    assert read_watermarks(mark(picture(260, 301), other)) == ()


def test_the_bound_of_the_chance_holds_for_messages_drawn_at_random() -> None:
    """Of an image whose bits are far from fair coins, and as many messages as time allows."""
    rng = np.random.default_rng(1)
    waves = np.repeat(rng.normal(size=12), 4)  # runs of like bits, as in photographs
    above = waves - waves.mean()
    drawn = rng.choice((-1, 1), (200_000, 48))
    fit = drawn @ above / (np.linalg.norm(above) * 48**0.5)
    for bound in (0.1, 0.01, 0.001):
        least = (2 * np.log(1 / bound) / 48) ** 0.5
        assert 0 < (fit >= least).mean() < bound


def test_what_is_too_small_or_too_large_is_not_read() -> None:
    assert read_watermarks(mark(picture(260, 301), MESSAGES[0].bits)[: MIN_SIDE - 1]) == ()
    assert not can_be_marked(MAX_PIXELS // MIN_SIDE + 1, MIN_SIDE)
    assert can_be_marked(MAX_PIXELS // MIN_SIDE, MIN_SIDE)


def test_the_largest_image_takes_no_long() -> None:
    side = int(MAX_PIXELS**0.5)
    pixels = np.zeros((side, side, 3), np.uint8)
    start = time.process_time()
    assert all(fit.chance > MAX_CHANCE for fit in compare(pixels))
    assert time.process_time() - start < 5


def test_a_row_and_inspect_say_the_same(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS 5D"
    path = tmp_path / "marked.png"
    path.write_bytes(png(mark(picture(260, 301), MESSAGES[0].bits), exif=exif))
    record = Preparation(np.asarray)(Found(str(path), "image")).record
    inspection = inspect_file(str(path))
    assert record.provenance == inspection.provenance
    [finding] = [each for each in record.provenance.findings if each.kind is Kind.WATERMARK]
    assert (finding.says, finding.strength) == (Says.GENERATED, Strength.WATERMARK)
    assert finding.claim == "bits of SDXL's pipelines: 48 of 48 agree, chance under 1e-9"
    [watermark] = record.provenance.as_dict()["watermarks"]
    assert (watermark["pipeline"], watermark["agree"]) == ("SDXL", 48)
    # an edit of a photograph leaves the mark, too
    assert record.provenance.contradictions == ()
    assert record.provenance.summary().startswith("AI-generated: pixels, bits of SDXL's pipelines")


def test_a_damaged_image_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    data = png(mark(picture(600, 301), MESSAGES[1].bits))
    path = tmp_path / "cut.png"
    path.write_bytes(data[: len(data) * 3 // 4])
    inspection = inspect_file(str(path))
    assert inspection.error is None
    assert [each.pipeline for each in inspection.provenance.watermarks] == ["FLUX"]
