"""Camera facts out of the bytes of any file, hostile ones included."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aigdetect.evidence import exif
from aigdetect.evidence.exif import MAX_TEXT, ExifFacts, read_exif
from aigdetect.evidence.provenance import Provenance, read_provenance

FACTS = ExifFacts("Canon", "Canon EOS R5", "RF50mm F1.2 L USM", "Darktable 4.6", "2024:05:06 07:08:09")


def tags(**changes: str) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = changes.get("make", FACTS.make)
    made[0x0110] = changes.get("model", FACTS.model)
    made[0x0131] = changes.get("software", FACTS.software)
    made.get_ifd(0x8769).update({0xA434: FACTS.lens, 0x9003: FACTS.taken})
    return made


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(out, kind, **options)
    return out.getvalue()


def jpeg(**changes: str) -> bytes:
    return saved("JPEG", exif=tags(**changes))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_facts_from_every_container(kind: str) -> None:
    assert read_exif(saved(kind, exif=tags())) == FACTS


def test_facts_from_tiff() -> None:
    assert read_exif(tags().tobytes().removeprefix(b"Exif\0\0")) == FACTS


def test_facts_from_heic() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    assert read_exif(saved("HEIF", exif=tags().tobytes())) == FACTS


def test_facts_of_a_webp_with_an_odd_chunk_before_and_no_prefix() -> None:
    data = saved("WEBP", exif=tags())
    block = tags().tobytes().removeprefix(b"Exif\0\0")
    body = b"WEBP" + data[12:30] + b"ODD \x03\0\0\0abc\0" + b"EXIF" + struct.pack("<I", len(block)) + block
    assert read_exif(b"RIFF" + struct.pack("<I", len(body)) + body) == FACTS


def test_facts_of_a_jpeg_behind_a_large_segment() -> None:
    data = jpeg()
    big = b"\xff\xe2" + struct.pack(">H", 60_000) + bytes(59_998)
    assert read_exif(data[:2] + big * 3 + data[2:]) == FACTS


def test_facts_where_the_pixels_are_missing() -> None:
    data = jpeg()
    assert read_exif(data[: data.index(b"\xff\xda")]) == FACTS


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_nothing_from_a_file_without_exif(kind: str) -> None:
    assert read_exif(saved(kind)) is None


def test_text_is_clipped_and_need_not_be_utf8() -> None:
    assert read_exif(jpeg(make="x" * 5000)) == ExifFacts("x" * MAX_TEXT, *list(FACTS.as_dict().values())[1:])
    data = jpeg(software="ABCDEFGH").replace(b"ABCDEFGH", b"AB\xff\xfeEFGH")
    facts = read_exif(data)
    assert facts is not None
    assert facts.software == r"AB\xff\xfeEFGH"


@given(st.binary(max_size=300))
def test_any_bytes_are_harmless(data: bytes) -> None:
    read_exif(data)
    read_exif(b"II*\0" + data)
    read_exif(b"\xff\xd8\xff\xe1" + data)
    read_exif(b"\x89PNG\r\n\x1a\n" + data)
    read_exif(b"RIFF\0\0\0\0WEBP" + data)
    read_exif(b"\0\0\0\x18ftypheic" + data)


@given(st.data())
def test_damaged_files_are_harmless(draw: st.DataObject) -> None:
    data = bytearray(jpeg())
    for _ in range(draw.draw(st.integers(1, 10))):
        data[draw.draw(st.integers(0, 400))] = draw.draw(st.integers(0, 255))
    read_exif(bytes(data))


def endless_directories() -> bytes:
    """TIFF directories, full of entries, each naming the next."""
    count, size = 200, 2 + 12 * 5000 + 4
    entry = struct.pack("<HHII", 0x010E, 3, 999, 8)
    parts = [
        struct.pack("<H", 5000) + entry * 5000 + struct.pack("<I", 8 + (i + 1) * size) for i in range(count)
    ]
    return b"II*\0\x08\0\0\0" + b"".join(parts)


def endless_text() -> bytes:
    """Entries that each claim all of a large file for their text."""
    entry = struct.pack("<HHII", 0x010E, 2, 0xFFFFFFFF, 8)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + entry * 60_000 + b"\0" * 4 + b"x" * (64 << 20)


def endless_maker_note() -> bytes:
    entry = struct.pack("<HHII", 0x927C, 7, 0xFFFFFFFF, 8)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0" * 4


def endless_chunks() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0abcd\0\0\0\0" * 1_000_000


def endless_boxes() -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x08free" * 1_000_000


@pytest.mark.parametrize(
    "make", [endless_directories, endless_text, endless_maker_note, endless_chunks, endless_boxes]
)
def test_hostile_files_cost_little_time(make: Callable[[], bytes]) -> None:
    data = make()
    start = time.perf_counter()
    read_exif(data)
    assert time.perf_counter() - start < 3


def test_the_parser_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for data in (b"", b"II*\0", saved("BMP"), jpeg()[:60], jpeg()):
        read_exif(data)
    assert capfd.readouterr() == ("", "")


def test_a_failing_parser_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(exif.exifread, "process_file", fail)
    assert read_exif(jpeg()) is None


def test_provenance_as_object_and_as_text() -> None:
    found = read_provenance(jpeg())
    assert found == Provenance(exif=FACTS)
    assert found.as_dict() == {"exif": FACTS.as_dict()}
    assert found.summary() == (
        "EXIF: Canon EOS R5, lens RF50mm F1.2 L USM, software Darktable 4.6, taken 2024:05:06 07:08:09"
    )


def test_no_provenance_is_an_empty_object_and_no_text() -> None:
    found = read_provenance(saved("PNG"))
    assert (found.as_dict(), found.summary()) == ({}, "")


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (ExifFacts(make="Apple", model="iPhone 15"), "Apple iPhone 15"),
        (ExifFacts(make="Apple"), "Apple"),
        (ExifFacts(model="X\n100"), "X 100"),
        (ExifFacts(software="GIMP"), "software GIMP"),
    ],
)
def test_summary_is_one_line(facts: ExifFacts, text: str) -> None:
    assert facts.summary() == text
