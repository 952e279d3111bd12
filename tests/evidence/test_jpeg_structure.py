"""How a JPEG is built: files as Pillow writes them, and broken ones."""

from __future__ import annotations

import io
import itertools
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpeg_files import PHOTOSHOP, jpeg, tiff_with_thumbnail, with_tables
from metadata_files import camera, exif, jpeg_segment, jpeg_with, saved
from PIL import Image

from aigdetect.evidence.jpeg_structure import (
    MAX_SEGMENTS,
    JpegStructure,
    read_segments,
    read_structure,
    thumbnail_of,
)


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_standard_tables_of_every_quality(quality: int) -> None:
    for mode in ("RGB", "L"):
        found = read_structure(jpeg(mode, quality=quality))
        assert (found.tables, found.quality) == ("standard", quality)


def test_other_tables_are_named_own_and_the_nearest_quality_is_told() -> None:
    tables = [[each + 3 for each in range(64)], [each + 5 for each in range(64)]]
    found = read_structure(jpeg(qtables=tables))
    assert found.tables == "own"
    assert 1 <= found.quality <= 100
    mixed = jpeg(qtables=[jpeg_tables(90)[0], jpeg_tables(50)[1]])
    assert read_structure(mixed).tables == "own"


def jpeg_tables(quality: int) -> list[list[int]]:
    with Image.open(io.BytesIO(jpeg(quality=quality))) as image:
        return [list(table) for table in image.quantization.values()]


def test_the_tables_of_photoshop() -> None:
    found = read_structure(with_tables(PHOTOSHOP))
    assert (found.tables, found.photoshop_quality, found.quality) == ("Photoshop", 12, 99)
    parted = with_tables(PHOTOSHOP)
    at = parted.index(b"\xff\xdb")
    segments = b"".join(jpeg_segment(0xDB, bytes((n, *table))) for n, table in enumerate(PHOTOSHOP))
    parted = parted[:at] + segments + parted[parted.index(b"\xff\xc0") :]
    assert read_structure(parted).photoshop_quality == 12


@pytest.mark.parametrize(("option", "wanted"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_subsampling(option: int, wanted: str) -> None:
    assert read_structure(jpeg(subsampling=option)).subsampling == wanted


def test_what_pillow_wrote_is_told() -> None:
    data = jpeg(progressive=True, restart_marker_blocks=3, comment=b"hello")
    found = read_structure(data + b"behind it")
    assert (found.process, found.width, found.height) == ("progressive", 40, 24)
    assert (found.restart_interval, found.trailing_bytes) == (3, 9)
    assert found.segments[:4] == ("SOI", "APP0 JFIF", "COM", "DQT x 2")
    assert found.segments[-2:] == ("EOI", "trailer")
    assert read_structure(jpeg("L")).subsampling == ""
    assert read_structure(jpeg("CMYK")).segments[1] == "APP14 Adobe"


def test_every_byte_belongs_to_a_segment_or_to_the_pixels() -> None:
    data = jpeg(exif=exif(camera())) + b"trailer"
    places = [(each.offset, each.end) for each in read_segments(data)]
    assert places[0] == (0, 2)
    assert places[-1][1] == len(data)
    for (_, end), (begin, _) in itertools.pairwise(places):
        assert end == begin or data[end:begin].count(b"\xff\x00") == data[end:begin].count(b"\xff")


def test_the_thumbnail_in_exif() -> None:
    small = jpeg(size=(16, 12))
    made = exif(camera())
    made.get_ifd(0x8769)
    data = jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + tiff_with_thumbnail(small)))
    found = read_structure(data)
    assert found.thumbnail == f"16 x 12, {len(small)} bytes"
    assert thumbnail_of(tiff_with_thumbnail(small)) == small
    assert thumbnail_of(tiff_with_thumbnail(small)[:-1]) == b""


@pytest.mark.parametrize(("kind", "place"), [(11, 0x7F800000), (11, 0x7FC00000), (9, 0xFFFFFFF0), (2, 65)])
def test_a_thumbnail_at_no_place(kind: int, place: int) -> None:
    entry = struct.pack("<HHII", 0x0201, 4, 1, 44)
    made = tiff_with_thumbnail(jpeg(size=(16, 12)))
    assert entry in made
    spoilt = made.replace(entry, struct.pack("<HHII", 0x0201, kind, 1, place))
    found = read_structure(jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + spoilt)))
    assert found is not None
    assert found.thumbnail == ""


def test_a_file_that_ends_too_early_has_no_end() -> None:
    data = jpeg()
    assert read_structure(data[:-2]).trailing_bytes is None
    assert read_structure(data[:30]).quality is None
    assert read_structure(b"\xff\xd8").segments == ("SOI",)


def test_no_jpeg() -> None:
    assert read_structure(saved("PNG")) is None
    assert read_structure(b"") is None


def test_endless_segments_cost_little() -> None:
    data = b"\xff\xd8" + jpeg_segment(0xDB, b"\0" * 65) * 60_000
    start = time.process_time()
    found = read_structure(data)
    assert time.process_time() - start < 2
    assert found.segments == ("SOI", f"DQT x {MAX_SEGMENTS - 1}")


@given(st.binary(max_size=300))
def test_any_bytes(tail: bytes) -> None:
    assert isinstance(read_structure(b"\xff\xd8" + tail), JpegStructure)


@given(st.integers(0, 5000), st.binary(max_size=40))
def test_a_file_that_is_damaged_anywhere(at: int, damage: bytes) -> None:
    data = bytearray(jpeg(exif=exif(camera())))
    data[at : at + len(damage)] = damage
    found = read_structure(bytes(data))
    assert found is None or isinstance(found.as_dict(), dict)
