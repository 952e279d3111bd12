"""Camera facts out of the bytes of any file, hostile ones included."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from dataclasses import replace

import exifread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_files import block
from PIL import Image

from aigdetect.evidence.exif import ExifFacts, read_exif, read_exif_blocks, user_comment
from aigdetect.evidence.findings import MAX_TEXT

FACTS = ExifFacts(
    make="Canon",
    model="Canon EOS R5",
    lens="RF50mm F1.2 L USM",
    software="Darktable 4.6",
    taken="2024:05:06 07:08:09",
    digitized="2024:05:06 07:08:10",
    modified="2024:06:07 08:09:10",
    gps_date="2024:05:05",
)


def tiff(made: Image.Exif) -> bytes:
    """EXIF as a TIFF structure."""
    return made.tobytes().removeprefix(b"Exif\0\0")


def tags(**changes: str) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = changes.get("make", FACTS.make)
    made[0x0110] = changes.get("model", FACTS.model)
    made[0x0131] = changes.get("software", FACTS.software)
    made[0x0132] = FACTS.modified
    made.get_ifd(0x8769).update({0xA434: FACTS.lens, 0x9003: FACTS.taken, 0x9004: FACTS.digitized})
    made.get_ifd(0x8825)[0x001D] = FACTS.gps_date
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
    assert read_exif(tiff(tags())) == FACTS


def test_facts_from_heic() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    assert read_exif(saved("HEIF", exif=tags().tobytes())) == FACTS


def test_facts_from_a_box_of_jpeg_xl() -> None:
    import pillow_jxl  # noqa: F401 - registers itself

    block = b"\0\0\0\0" + tiff(tags())
    data = saved("JXL", use_container=True) + struct.pack(">I4s", len(block) + 8, b"Exif") + block
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    assert data.startswith(b"\0\0\0\x0cJXL ")
    assert read_exif(data) == FACTS


def test_facts_of_a_webp_with_an_odd_chunk_before_and_no_prefix() -> None:
    data = saved("WEBP", exif=tags())
    block = tiff(tags())
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


def test_the_same_as_pillow_reads() -> None:
    with Image.open(io.BytesIO(jpeg())) as image:
        theirs = image.getexif()
    deeper, place = theirs.get_ifd(0x8769), theirs.get_ifd(0x8825)
    assert read_exif(jpeg()) == ExifFacts(
        *(theirs[0x010F], theirs[0x0110], deeper[0xA434], theirs[0x0131]),
        *(deeper[0x9003], deeper[0x9004], theirs[0x0132], place[0x001D]),
    )


def test_text_is_clipped_and_need_not_be_utf8() -> None:
    assert read_exif(jpeg(make="x" * 5000)) == replace(FACTS, make="x" * MAX_TEXT)
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
    start = time.process_time()
    read_exif(data)
    assert time.process_time() - start < 3


def test_the_parser_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    cut = b"II*\0\x08\0\0\0\x01"  # exifread warns of it
    for data in (b"", b"II*\0", cut, saved("BMP"), jpeg()[:60], jpeg()):
        read_exif(data)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def directory(*entries: bytes) -> bytes:
    """A TIFF structure of one directory, its last 4 bytes the place of the next."""
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


MAKE = struct.pack("<HHI4s", 0x010F, 2, 4, b"Abc\0")


def test_a_text_is_read_as_far_as_it_is_there() -> None:
    model = struct.pack("<HHII", 0x0110, 2, 100, 8 + 2 + 2 * 12 + 4)
    assert read_exif(directory(MAKE, model) + b"EOS R5") == ExifFacts(make="Abc", model="EOS R5")


@pytest.mark.parametrize("entries", [(), (struct.pack("<HHII", 0x9999, 12, 1, 0xFFFFFF),)])
def test_a_text_ends_at_its_first_zero_byte_damage_or_not(entries: tuple[bytes, ...]) -> None:
    model = struct.pack("<HHII", 0x0110, 2, 13, 8 + 2 + 12 * (2 + len(entries)) + 4)
    data = directory(MAKE, model, *entries) + b"EOS R5\0waste\0"
    assert read_exif(data) == ExifFacts(make="Abc", model="EOS R5")


def test_one_damaged_entry_does_not_hide_the_others() -> None:
    data = directory(MAKE, struct.pack("<HHII", 0x9999, 12, 1, 0xFFFFFF))
    with pytest.raises(IndexError):
        exifread.process_file(io.BytesIO(data), details=False)
    assert read_exif(data) == ExifFacts(make="Abc")


def test_more_directories_than_are_read_do_not_hide_the_first() -> None:
    data = directory(MAKE)[:-4]
    places = (len(data) + 4 + 6 * i for i in range(30_000))
    data += b"\0\0".join(struct.pack("<I", place) for place in places) + bytes(6)
    tags = exifread.process_file(io.BytesIO(data), details=False, extract_thumbnail=False)
    assert str(tags["Image Make"]) == "Abc"
    assert read_exif(data) == ExifFacts(make="Abc")


def test_a_long_text_of_the_wrong_type_is_read() -> None:
    model = struct.pack("<HHII", 0x0110, 7, 3000, 8 + 2 + 12 + 4)
    facts = read_exif(directory(model) + b"x" * 3000)
    assert facts == ExifFacts(model="x" * MAX_TEXT)


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le", "utf-16"])
def test_a_comment_in_unicode_of_either_order(order: str) -> None:
    for text in ("Steps: 5, süß 漢", "漢字" * 100 + "\nSteps: 20, Sampler: Euler a"):
        assert user_comment(b"UNICODE\0" + text.encode(order)) == text


def test_a_comment_in_other_codings() -> None:
    assert user_comment(b"ASCII\0\0\0plain") == "plain"
    assert user_comment(bytes(8) + "süß".encode()) == "süß"
    assert user_comment(b'{"prompt": 1}') == '{"prompt": 1}'
    assert user_comment(b"") == ""


def test_texts_as_they_were_written() -> None:
    made = tags()
    made[0x010E] = "a caption"
    made[0x9C9C] = "Ein Wort".encode("utf-16-le") + b"\0\0"
    made.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a comment".encode("utf-16-be")
    fields = read_exif_blocks([block(tiff(made))]).fields
    assert {field.name: field.value for field in fields} == {
        "UserComment": "a comment",
        "ImageDescription": "a caption",
        "XPComment": "Ein Wort",
        "Make": FACTS.make,
        "Model": FACTS.model,
        "Software": FACTS.software,
    }


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (ExifFacts(make="Apple", model="iPhone 15"), "Apple iPhone 15"),
        (ExifFacts(make="Apple"), "Apple"),
        (ExifFacts(model="X\n100"), "X 100"),
        (ExifFacts(software="GIMP"), "software GIMP"),
        (ExifFacts(make='prompt:{"3": {}}', model="x"), ""),
    ],
)
def test_summary_is_one_line(facts: ExifFacts, text: str) -> None:
    assert facts.summary() == text
