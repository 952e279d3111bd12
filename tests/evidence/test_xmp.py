"""XMP: what it says of the image itself, out of packets that may be anything."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_files import TRAINED, block, saved, xmp
from PIL import Image

from aigdetect.evidence.fields import Unread
from aigdetect.evidence.findings import MAX_ITEMS
from aigdetect.evidence.xmp import Xmp, XmpFacts, read_xmp


def read(*packets: bytes) -> Xmp:
    return read_xmp([block(packet) for packet in packets])


ATTRIBUTES = f'Iptc4xmpExt:DigitalSourceType="{TRAINED}" photoshop:Credit="Made with Google AI"'
EVENT = '<rdf:li stEvt:action="saved" stEvt:softwareAgent="{}"/>'


def facts(attributes: str = "", elements: str = "") -> XmpFacts | None:
    return read(xmp(attributes, elements)).facts


def test_properties_as_attributes_as_elements_and_as_addresses() -> None:
    wanted = XmpFacts(source_type=TRAINED, credit="Made with Google AI")
    credit = "<photoshop:Credit>Made with Google AI</photoshop:Credit>"
    name = "Iptc4xmpExt:DigitalSourceType"
    assert facts(ATTRIBUTES) == wanted
    assert facts("", f"{credit}<{name}>{TRAINED}</{name}>") == wanted
    assert facts("", f'{credit}<{name} rdf:resource="{TRAINED}"/>') == wanted
    assert facts("", f"{credit}<{name}><rdf:Bag><rdf:li>{TRAINED}</rdf:li></rdf:Bag></{name}>") == wanted
    bag = f'<rdf:Bag><rdf:li rdf:resource="{TRAINED}"/></rdf:Bag>'
    assert facts("", f"{credit}<{name}>{bag}</{name}>") == wanted


def test_a_value_beside_its_qualifiers() -> None:
    name, value = "Iptc4xmpExt:DigitalSourceType", f"<rdf:value>{TRAINED}</rdf:value><xmp:Label>a</xmp:Label>"
    wanted = XmpFacts(source_type=TRAINED)
    assert facts("", f"<{name}><rdf:Description>{value}</rdf:Description></{name}>") == wanted
    assert facts("", f'<{name} rdf:parseType="Resource">{value}</{name}>') == wanted
    assert facts("", f'<{name} rdf:value="{TRAINED}" xmp:Label="a"/>') == wanted


def test_the_same_as_pillow_reads() -> None:
    data = saved("JPEG", xmp=xmp('xmp:CreatorTool="Adobe Firefly" xmp:CreateDate="2024-05-06"'))
    with Image.open(io.BytesIO(data)) as image:
        theirs = image.getxmp()["xmpmeta"]["RDF"]["Description"]
        ours = read(image.info["xmp"]).facts
    assert ours == XmpFacts(creator_tool=theirs["CreatorTool"], created=theirs["CreateDate"])


def test_source_type_of_an_ingredient_is_not_that_of_the_image() -> None:
    part = f'<rdf:li Iptc4xmpExt:DigitalSourceType="{TRAINED}"/>'
    assert facts("", f"<xmpMM:Ingredients><rdf:Bag>{part}</rdf:Bag></xmpMM:Ingredients>") is None


def test_programs_of_the_history_once_each_and_not_for_ever() -> None:
    events = [EVENT.format(name) for name in ("A", "B", "A", *map(str, range(100)))]
    found = facts("", f"<xmpMM:History><rdf:Seq>{''.join(events)}</rdf:Seq></xmpMM:History>")
    assert found is not None
    assert found.history[:3] == ("A", "B", "0")
    assert len(found.history) == MAX_ITEMS


def test_comment_and_description_are_texts() -> None:
    alt = "<rdf:Alt><rdf:li xml:lang='x-default'>{}</rdf:li></rdf:Alt>"
    elements = f"<dc:description>{alt.format('a cat')}</dc:description>"
    elements += f"<exif:UserComment>{alt.format('Steps: 5')}</exif:UserComment>"
    found = read(xmp("", elements))
    assert found.facts is None
    assert {(field.name, field.value, field.where) for field in found.fields} == {
        ("dc:description", "a cat", "XMP"),
        ("exif:UserComment", "Steps: 5", "XMP"),
    }


def test_the_first_of_two_packets_counts() -> None:
    packets = [xmp('xmp:CreatorTool="A"'), xmp('xmp:CreatorTool="B" photoshop:Credit="C"')]
    assert read(*packets).facts == XmpFacts(creator_tool="A", credit="C")


def test_text_is_clipped() -> None:
    found = facts(f'xmp:CreatorTool="{"x" * 5000}"')
    assert found is not None
    assert found.creator_tool == "x" * 200


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY f SYSTEM "file:///etc/passwd">]>"""


@pytest.mark.parametrize("entity", ["a", "b", "f"])
def test_entities_are_refused(entity: str) -> None:
    packet = ENTITIES + xmp("", f"<xmp:CreatorTool>&{entity};</xmp:CreatorTool>")
    found = read(packet)
    assert found.facts == XmpFacts(creator_tool=f"&{entity};")  # as it is written, not what it stands for
    assert found.unread == (Unread("XMP", "mended to be read: it declares entities"),)
    assert read(packet.split(b"]>")[1].replace(f"&{entity};".encode(), b"text")).unread == ()


def deep() -> bytes:
    return xmp("", "<a:b xmlns:a='u:'>" * 40_000 + "</a:b>" * 9_000)


def wide() -> bytes:
    return xmp("", "<xmp:Label/>" * 300_000)


def long() -> bytes:
    return xmp(f'xmp:Label="{"x" * (64 << 20)}"')


def many_attributes() -> bytes:
    return xmp(" ".join(f'xmp:a{i}=""' for i in range(300_000)))


def many_spaces() -> bytes:
    return b"".join(b'<a%d:b xmlns:a%d="u%d">' % (n, n, n) for n in range(24_000))


def many_ampersands() -> bytes:
    return b"<a>" + b"&" * 4_000_000


def endless_doctype() -> bytes:
    return b"<!DOCTYPE a [" + b"] " * 1_900_000


@pytest.mark.parametrize(
    "make", [deep, wide, long, many_attributes, many_spaces, many_ampersands, endless_doctype]
)
def test_hostile_packets_cost_little_time(make: object) -> None:
    packet = make()  # type: ignore[operator]
    start = time.process_time()
    found = read(packet)
    assert (found.facts, found.fields, len(found.unread)) == (None, (), 1)
    assert time.process_time() - start < 4


def test_a_deep_packet_that_is_well_formed_does_not_exhaust_the_stack() -> None:
    nested = "<a:b xmlns:a='u:'>" + "<a:b>" * 20_000 + "</a:b>" * 20_000 + "</a:b>"
    assert read(xmp('xmp:CreatorTool="A"', nested)).facts == XmpFacts(creator_tool="A")


@given(st.binary(max_size=200), st.integers(0, 600), st.booleans())
def test_any_packet_is_harmless(noise: bytes, at: int, instead: bool) -> None:
    packet = xmp(ATTRIBUTES, EVENT.format("A"))
    read(noise)
    read(packet[:at] + noise + packet[at + (len(noise) if instead else 0) :])


@pytest.mark.parametrize("ends", [b"", b"]" * 19_000])
def test_many_document_types_cost_little_time(ends: bytes) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">&' + b"<!DOCTYPE[" * 19_000 + ends
    start = time.process_time()
    found = read(packet)
    assert time.process_time() - start < 3
    assert [each.reason[:21] for each in found.unread] == ["present, unreadable: "]
