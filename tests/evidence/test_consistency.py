"""What EXIF says that cannot be true of its file, and what only looks like it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from jpeg_files import PHOTOSHOP, with_tables
from metadata_files import (
    camera,
    exif,
    iptc_record,
    jpeg_segment,
    jpeg_with,
    photoshop,
    png,
    saved,
    user_comment,
    xmp,
)

from aigdetect.evidence.consistency import date_contradictions, read_date, table_contradictions
from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.jpeg_structure import read_structure
from aigdetect.evidence.provenance import read_provenance

NOW = datetime(2026, 5, 1, 12)
SHOT = "2024:05:06 07:08:09"
ORIGINAL = ExifFacts(make="Canon", model="Canon EOS R5", taken=SHOT, modified=SHOT)


@pytest.mark.parametrize(
    ("taken", "modified", "wanted"),
    [
        ("2031:01:01 00:00:00", "", ["EXIF says taken in the future (2031:01:01 00:00:00)"]),
        (SHOT, "1999:01:01 00:00:00", [f"EXIF says changed (1999:01:01 00:00:00) before taken ({SHOT})"]),
        ("2026:05:02 23:00:00", "", []),  # a clock in another time zone
        (SHOT, "2024:05:05 07:08:09", []),
        (SHOT, SHOT, []),
        (SHOT, "2025:01:01 00:00:00", []),
        (SHOT, "1970:01:01 00:03:27", []),  # a clock that was never set
        (SHOT, "0000:00:00 00:00:00", []),
        ("    :  :     :  :  ", "1999:01:01 00:00:00", []),
        ("9999:99:99 99:99:99", "", []),
        ("0001:01:01 00:00:00", "9999:12:31 23:59:59", []),
        ("", "", []),
    ],
)
def test_dates(taken: str, modified: str, wanted: list[str]) -> None:
    assert list(date_contradictions(ExifFacts(taken=taken, modified=modified), NOW)) == wanted


def test_a_computer_whose_clock_was_never_set_accuses_nobody() -> None:
    assert list(date_contradictions(ExifFacts(taken=SHOT), datetime(1970, 1, 2))) == []


def test_dates_are_read_as_programs_write_them() -> None:
    assert read_date("2024-05-06T07:08:09Z") == read_date(SHOT) == datetime(2024, 5, 6, 7, 8, 9)
    assert read_date("2024") is None


def test_dates_of_a_file() -> None:
    made = exif({**camera(), 0x0132: "1999:01:01 00:00:00"}, {0x9003: SHOT})
    [said] = read_provenance(saved("JPEG", exif=made)).contradictions
    assert said.startswith("EXIF says changed (1999:01:01")


def test_an_untouched_original_with_the_tables_of_photoshop() -> None:
    structure = read_structure(with_tables(PHOTOSHOP))
    assert structure is not None
    [said] = table_contradictions(ORIGINAL, structure, xmp=False)
    assert said == "EXIF says unchanged out of a camera (Canon EOS R5), but the tables are Photoshop's"
    honest = [
        (replace(ORIGINAL, software="Adobe Photoshop 25.0"), structure, False),
        (replace(ORIGINAL, modified="2025:01:01 00:00:00"), structure, False),
        (ORIGINAL, structure, True),
        (ORIGINAL, replace(structure, segments=("SOI", "APP14 Adobe", "EOI")), False),
        (ORIGINAL, replace(structure, segments=("SOI", *("APP9", "COM") * 20, "...")), False),
        (replace(ORIGINAL, make="", model=""), structure, False),
        (replace(ORIGINAL, taken=""), structure, False),
        (ORIGINAL, read_structure(saved("JPEG")), False),  # libjpeg's are cameras' tables, too
    ]
    for facts, built, has_xmp in honest:
        assert list(table_contradictions(facts, built, xmp=has_xmp)) == []


def test_the_same_of_a_file() -> None:
    made = exif({**camera(), 0x0132: SHOT}, {0x9003: SHOT})
    found = read_provenance(with_tables(PHOTOSHOP, exif=made))
    assert [each for each in found.contradictions if "Photoshop" in each]
    assert found.as_dict()["jpeg"]["tables"] == "Photoshop"


def test_a_screenshot_says_so() -> None:
    comment = exif(camera(), {0x9286: b"ASCII\0\0\0Screenshot"})
    [note] = read_provenance(saved("PNG", exif=comment)).notes
    assert note.startswith("a screenshot, says the file (EXIF comment)")
    assert read_provenance(png(Software="gnome-screenshot")).notes
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/screenCapture"
    assert read_provenance(saved("JPEG", xmp=xmp(f'Iptc4xmpExt:DigitalSourceType="{source}"'))).notes
    for other in (user_comment("Screenshot of a cat"), b"ASCII\0\0\0my Screenshot"):
        assert read_provenance(saved("PNG", exif=exif(camera(), {0x9286: other}))).notes == ()
    assert read_provenance(png(Comment="Screenshot")).notes == ()


def test_a_service_that_passed_it_on() -> None:
    data = jpeg_with(photoshop(iptc_record(40, b"FBMD01000ac60300004a1d00002d4b0000")))
    [note] = read_provenance(data).notes
    assert note.startswith("passed on by Facebook or Instagram")
    for text in (b"FBMD", b"send to FBMD01000ac60300004a1d", b"no FBMD01000ac60300004a1d"):
        assert read_provenance(jpeg_with(photoshop(iptc_record(40, text)))).notes == ()
    assert read_provenance(jpeg_with(photoshop(iptc_record(120, b"FBMD01000ac6030000")))).notes == ()
    assert read_provenance(jpeg_with(jpeg_segment(0xFE, b"FBMD01000ac6030000"))).notes == ()
