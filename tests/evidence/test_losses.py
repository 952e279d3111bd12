"""Nothing of the metadata is lost in silence: it is read, or it is said that it could not be."""

from __future__ import annotations

import io
import json
import struct
import zlib

import pytest
from metadata_files import (
    TRAINED,
    camera,
    exif,
    jpeg_segment,
    jpeg_with,
    png,
    png_chunk,
    png_with,
    saved,
    xmp,
)
from PIL import Image

from aigdetect.evidence.containers import MAX_BYTES
from aigdetect.evidence.findings import Finding, Kind, Says
from aigdetect.evidence.provenance import Provenance, read_provenance

MARKED = xmp(f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"')
DECOY = xmp('xmp:CreatorTool="A Program"')
PARAMETERS = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234, Model: dreamer"


def with_packets(*packets: bytes) -> bytes:
    return jpeg_with(*[jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) for packet in packets])


def says_generated(found: Provenance) -> bool:
    return Says.GENERATED in {each.says for each in found.findings}


def unread(found: Provenance) -> list[str]:
    return [f"{each.where} {each.claim}" for each in found.findings if each.kind is Kind.METADATA]


@pytest.mark.parametrize(
    "packet",
    [
        MARKED + b"\0\0junk behind <it",
        b"junk before" + MARKED,
        b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>' + MARKED + b'<?xpacket end="w"?>' + b" " * 2000,
        b"<!DOCTYPE x:xmpmeta>" + MARKED,
        b'<!DOCTYPE x SYSTEM "http://elsewhere.example/x.dtd">' + MARKED,
        MARKED.decode().encode("utf-16"),
        MARKED.decode().encode("utf-16-be"),
        MARKED.decode().encode("utf-16-le"),
        b"\xef\xbb\xbf" + MARKED,
        MARKED.decode().encode("utf-32"),
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + MARKED.replace(b'rdf:about=""', b'rdf:about="\xe9"'),
        DECOY + MARKED,
    ],
    ids=lambda packet: repr(packet[:24]),
)
def test_xmp_with_what_strict_readers_refuse_is_read(packet: bytes) -> None:
    found = read_provenance(with_packets(packet))
    assert found.findings[-1] == Finding(Kind.SOURCE_TYPE, "XMP", "trainedAlgorithmicMedia", Says.GENERATED)
    assert found.notes == ()


@pytest.mark.parametrize(
    "packet",
    [
        MARKED.replace(b'rdf:about=""', b'rdf:about="a&b"'),
        MARKED.replace(b'rdf:about=""', b'rdf:about="&amp; &nbsp; &"'),
        MARKED.replace(b'rdf:about=""', b'rdf:about="\x01"'),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + MARKED,
        MARKED.replace(b"</rdf:RDF></x:xmpmeta>", b""),
        MARKED.replace(b"</rdf:Description>", b"<xmp:Label>cut"),
        MARKED.replace(b"></rdf:Description></rdf:RDF></x:xmpmeta>", b' xmp:Label="cut'),
        MARKED.replace(b"</rdf:Description>", b"</b>"),
    ],
    ids=lambda packet: repr(packet[-30:]),
)
def test_malformed_xmp_is_read_as_far_as_it_goes_and_that_is_said(packet: bytes) -> None:
    found = read_provenance(with_packets(packet))
    assert says_generated(found)
    if b"\x01" not in packet:  # a character that XML does not know is left out, without a word
        [note] = found.notes
        assert note.startswith(("XMP mended to be read: ", "XMP read in part: "))


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (b"no XML at all", "XMP present, unreadable: no XML"),
        (b"<a/>", "XMP present, unreadable: no RDF in it"),
        (MARKED[:200], "XMP present, unreadable: truncated"),
        (
            b"<b>trainedAlgorithmicMedia</a>",
            "XMP present, unreadable: mismatched tag; it names trainedAlgorithmicMedia",
        ),
        (b"<" * 60_000, "XMP present, not read: too large"),
    ],
)
def test_xmp_that_cannot_be_read_is_a_finding(packet: bytes, said: str) -> None:
    found = read_provenance(with_packets(packet))
    assert unread(found) == [said]
    assert found.notes == (said,)
    assert said.partition(" ")[2] in found.summary()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_mark_in_the_second_packet_is_found(kind: str) -> None:
    chunks = {
        "JPEG": lambda: with_packets(DECOY, MARKED),
        "PNG": lambda: png_with(
            *(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) for packet in (DECOY, MARKED))
        ),
        "WEBP": lambda: saved("WEBP", xmp=DECOY) + b"XMP " + struct.pack("<I", len(MARKED)) + MARKED,
        "GIF": lambda: (
            saved("GIF")[:-1]
            + b"".join(
                b"!\xff\x0bXMP DataXMP" + packet + bytes([1, *range(255, -1, -1), 0])
                for packet in (DECOY, MARKED)
            )
            + b";"
        ),
    }
    found = read_provenance(chunks[kind]())
    assert says_generated(found)
    assert found.xmp is not None
    assert (found.xmp.creator_tool, found.xmp.source_type) == ("A Program", TRAINED)
    assert found.notes == ()


def test_packets_that_disagree_are_a_finding() -> None:
    captured = TRAINED.replace("trainedAlgorithmicMedia", "digitalCapture")
    found = read_provenance(with_packets(xmp(f'Iptc4xmpExt:DigitalSourceType="{captured}"'), MARKED))
    assert unread(found) == ["XMP two packets that disagree on source type"]
    assert found.contradictions == (
        "XMP says captured (digital source type: digitalCapture), "
        "but XMP says AI-generated (digital source type: trainedAlgorithmicMedia)",
    )


def test_a_second_block_of_exif_is_read() -> None:
    blocks = [
        exif(camera()),
        exif({0x010F: "OpenAI", 0x0110: "DALL-E 3"}, {0x9286: b"ASCII\0\0\0" + PARAMETERS.encode()}),
    ]
    found = read_provenance(jpeg_with(*(jpeg_segment(0xE1, block.tobytes()) for block in blocks)))
    assert {each.claim for each in found.findings if each.kind is Kind.CAMERA} == {
        "Canon EOS R5",
        "OpenAI DALL-E 3",
    }
    assert [each.seed for each in found.generation] == ["1234"]
    assert "EXIF two blocks that disagree on make, model" in unread(found)
    assert found.exif is not None
    assert found.exif.make == "Canon"


def test_exif_without_a_structure_is_a_finding() -> None:
    found = read_provenance(jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + b"no TIFF at all")))
    assert unread(found) == ["EXIF present, unreadable: no TIFF structure"]


def test_a_comment_of_exif_that_is_cut_off_is_a_finding() -> None:
    block = exif({0x0112: 1}, {0x9286: b"ASCII\0\0\0" + PARAMETERS.encode() * 20}).tobytes()
    found = read_provenance(jpeg_with(jpeg_segment(0xE1, block[:-200])))
    assert unread(found) == ["EXIF truncated: UserComment"]


def test_a_text_behind_a_thousand_others() -> None:
    texts = [png_chunk(b"tEXt", b"key%d\0value" % number) for number in range(1000)]
    found = read_provenance(png_with(*texts, png_chunk(b"tEXt", b"parameters\0" + PARAMETERS.encode())))
    assert [each.seed for each in found.generation] == ["1234"]


def test_a_second_text_of_the_same_name() -> None:
    chunks = [png_chunk(b"tEXt", b"parameters\0" + text) for text in (b"a decoy", PARAMETERS.encode())]
    assert [each.seed for each in read_provenance(png_with(*chunks)).generation] == ["1234"]


def test_more_texts_of_one_name_than_are_read_are_a_finding() -> None:
    chunks = [png_chunk(b"tEXt", b"parameters\0a decoy")] * 6
    assert unread(read_provenance(png_with(*chunks))) == ["PNG text parameters more than 5 times"]


def test_more_text_than_is_read_is_a_finding() -> None:
    filling = [png_chunk(b"tEXt", b"key\0" + bytes([65]) * (MAX_BYTES // 2))] * 2
    found = read_provenance(png_with(*filling, png_chunk(b"tEXt", b"parameters\0" + PARAMETERS.encode())))
    assert unread(found) == ["PNG text key too long", "PNG text parameters too long"]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda packed: packed[:-30], "truncated"),
        (lambda packed: packed[:20] + b"\xff" * 9 + packed[29:], "cannot be decompressed"),
    ],
)
def test_a_text_that_cannot_be_decompressed_is_a_finding(change: object, state: str) -> None:
    packed = zlib.compress(PARAMETERS.encode())
    chunk = png_chunk(b"zTXt", b"parameters\0\0" + change(packed))  # type: ignore[operator]
    assert unread(read_provenance(png_with(chunk))) == [f"PNG text parameters {state}"]


def test_a_graph_of_several_megabytes() -> None:
    graph = {
        "1": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 2, "cfg": 7, "sampler_name": "euler"}},
        "2": {"class_type": "Note", "inputs": {"text": "x" * 2_500_000}},
    }
    found = read_provenance(png(prompt=json.dumps(graph)))
    assert [(each.tool, each.seed) for each in found.generation] == [("ComfyUI", "1")]


def test_credentials_that_the_library_does_not_find_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigdetect.evidence.provenance.read_credentials", lambda _: None)
    said = "C2PA present, not read: not where content credentials belong"
    for content, notes in ((b"jumb\0\0\0\x1ejumdc2pa", [said]), (b"jumb\0\0\0\x1ejumdother", [])):
        box = b"JP\0\1\0\0\0\1\0\0\0\x40" + content + bytes(40)
        assert unread(read_provenance(jpeg_with(jpeg_segment(0xEB, box)))) == notes


@pytest.mark.parametrize("offset", [b"\0\0\0\0", b""])
def test_exif_of_jpeg_xl_with_and_without_its_offset(offset: bytes) -> None:
    import pillow_jxl  # noqa: F401 - registers itself

    block = offset + exif(camera()).tobytes().removeprefix(b"Exif\0\0")
    data = saved("JXL", use_container=True) + struct.pack(">I4s", len(block) + 8, b"Exif") + block
    found = read_provenance(data)
    assert found.exif is not None
    assert found.exif.make == "Canon"


def test_compressed_metadata_of_jpeg_xl_is_a_finding() -> None:
    import pillow_jxl  # noqa: F401 - registers itself

    data = saved("JXL", use_container=True) + struct.pack(">I4s", 30, b"brob") + b"Exif" + bytes(18)
    assert unread(read_provenance(data)) == ["EXIF compressed by Brotli"]


def test_a_sound_file_has_no_notes() -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 40)).save(out, "JPEG", exif=exif(camera()), xmp=DECOY, comment=b"hello")
    assert read_provenance(out.getvalue()).notes == ()
