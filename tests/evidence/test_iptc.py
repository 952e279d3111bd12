"""IPTC-IIM out of records that may be anything."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from metadata_files import iptc_record, jpeg_with, photoshop
from PIL import Image, IptcImagePlugin

from aigdetect.evidence.iptc import IptcFacts, read_iptc

RECORDS = b"".join(
    iptc_record(number, value)
    for number, value in {
        55: b"20240506",
        65: b"A Program",
        70: b"1.2",
        80: b"Jane Doe",
        110: b"A Credit",
        115: b"A Source",
    }.items()
)
FACTS = IptcFacts("A Credit", "A Source", "A Program", "1.2", "Jane Doe", "20240506")


def test_the_same_as_pillow_reads() -> None:
    with Image.open(io.BytesIO(jpeg_with(photoshop(RECORDS)))) as image:
        theirs = IptcImagePlugin.getiptcinfo(image)
    assert theirs is not None
    found = read_iptc(RECORDS)
    assert found == FACTS
    assert set(found.as_dict().values()) == {value.decode() for value in theirs.values()}


def test_utf8_declared_or_not_and_the_old_code_page() -> None:
    declared = iptc_record(90, b"\x1b%G", part=1)
    text = "Jürgen 漢"
    assert read_iptc(declared + iptc_record(80, text.encode())) == IptcFacts(byline=text)
    assert read_iptc(iptc_record(80, text.encode())) == IptcFacts(byline=text)
    assert read_iptc(iptc_record(80, b"J\xfcrgen")) == IptcFacts(byline="Jürgen")


def test_the_first_of_a_repeated_record_counts_and_damage_ends_the_reading() -> None:
    assert read_iptc(iptc_record(80, b"A") + iptc_record(80, b"B")) == IptcFacts(byline="A")
    assert read_iptc(iptc_record(80, b"A") + b"\0" + iptc_record(110, b"B")) == IptcFacts(byline="A")
    assert read_iptc(b"\x1c\x02\x50\xff\xff" + b"x" * 70_000) is None
    assert read_iptc(b"") is None


def test_text_is_clipped() -> None:
    assert read_iptc(iptc_record(80, b"x" * 30_000)) == IptcFacts(byline="x" * 200)


@given(st.binary(max_size=200))
def test_any_records_are_harmless(noise: bytes) -> None:
    read_iptc(noise)
    read_iptc(RECORDS[:40] + noise)
    read_iptc(RECORDS + b"\x1c\x02\x6e" + noise)
