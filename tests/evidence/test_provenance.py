"""Everything that a file says, together: what is claimed, how strongly, and where it cannot be true."""

from __future__ import annotations

import json
import pickle
import random
import time
from dataclasses import FrozenInstanceError, replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_files import (
    TRAINED,
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
from signed_images import CAPTURED, GENERATED, created, make_authority, sign

from aigdetect.evidence import provenance
from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.findings import Finding, Kind, Says, Strength
from aigdetect.evidence.iptc import IptcFacts
from aigdetect.evidence.provenance import MAX_SUMMARY, Provenance, read_provenance
from aigdetect.evidence.xmp import XmpFacts

PARAMETERS = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234, Model: dreamer"


def says(data: bytes) -> set[Says]:
    return {finding.says for finding in read_provenance(data).findings}


def test_a_camera() -> None:
    found = read_provenance(saved("JPEG", exif=exif({**camera(), 0x0131: "Darktable 4.6"})))
    facts = ExifFacts(make="Canon", model="Canon EOS R5", software="Darktable 4.6")
    findings = (
        Finding(Kind.CAMERA, "EXIF", "Canon EOS R5", Says.CAPTURED, Strength.TEXT),
        Finding(Kind.SOFTWARE, "EXIF", "Darktable 4.6", Says.NOTHING, Strength.TEXT),
    )
    assert replace(found, jpeg=None) == Provenance(exif=facts, findings=findings)
    assert replace(found, jpeg=None).as_dict() == {
        "exif": facts.as_dict(),
        "findings": [
            {
                "kind": "camera",
                "where": "EXIF",
                "claim": "Canon EOS R5",
                "says": "captured",
                "strength": "plain text that anyone can write",
            },
            {
                "kind": "software",
                "where": "EXIF",
                "claim": "Darktable 4.6",
                "says": "nothing",
                "strength": "plain text that anyone can write",
            },
        ],
    }
    assert found.summary() == "EXIF: Canon EOS R5, software Darktable 4.6"


def test_nothing_is_an_empty_object_and_no_text() -> None:
    found = read_provenance(saved("PNG"))
    assert found == Provenance()
    assert (found.as_dict(), found.summary()) == ({}, "")


def test_every_kind_has_its_key() -> None:
    data = jpeg_with(
        jpeg_segment(0xE1, exif(camera(), {0x9286: user_comment(PARAMETERS)}).tobytes()),
        jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp('photoshop:Credit="Jane"')),
        photoshop(iptc_record(65, b"A Program")),
    )
    data = sign(data, "image/jpeg", make_authority(), created(GENERATED))
    found = read_provenance(data)
    assert list(found.as_dict()) == [
        "exif",
        "xmp",
        "iptc",
        "c2pa",
        "generation",
        "findings",
        "contradictions",
        "jpeg",
    ]
    assert found.xmp is not None
    assert found.xmp.credit == "Jane"
    assert found.iptc == IptcFacts(program="A Program")
    json.dumps(found.as_dict())
    assert pickle.loads(pickle.dumps(found)) == found
    hash(found)
    with pytest.raises(FrozenInstanceError):
        found.exif = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("properties", "wanted"),
    [
        (f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"', Says.GENERATED),
        ('photoshop:Credit="Made with Google AI"', Says.GENERATED),
        ('photoshop:Credit="Edited with Google AI"', Says.EDITED),
        ('xmp:CreatorTool="Adobe Firefly"', Says.GENERATED),
        ('tiff:Software="Midjourney"', Says.GENERATED),
        ('Iptc4xmpExt:AISystemUsed="Some System"', Says.EDITED),
        ('Iptc4xmpExt:AIPromptInformation="a cat"', Says.GENERATED),
        ('TC260:AIGC=\'{"Label":"1","ContentProducer":"A"}\'', Says.GENERATED),
        ('TC260:AIGC=\'{"Label":"2"}\'', Says.POSSIBLY),
        ("TC260:AIGC='{\"Label\":3}'", Says.POSSIBLY),
        ('TC260:AIGC=\'{"Label":"4"}\'', None),
        ('xmp:CreatorTool="Adobe Photoshop 25.0"', Says.NOTHING),
        ('photoshop:Credit="OpenAI"', Says.NOTHING),
        (f'Iptc4xmpExt:DigitalSourceType="{CAPTURED}"', Says.CAPTURED),
    ],
)
def test_what_xmp_says(properties: str, wanted: Says | None) -> None:
    found = read_provenance(saved("JPEG", xmp=xmp(properties)))
    if wanted is None:
        assert found.findings == ()
        return
    [finding] = found.findings
    assert (finding.says, finding.where, finding.strength) == (wanted, "XMP", Strength.TEXT)


@pytest.mark.parametrize("term", ["compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"])
@pytest.mark.parametrize(
    "named",
    [
        'Iptc4xmpExt:AIPromptInformation="no lamp post" Iptc4xmpExt:AISystemUsed="A System"',
        'xmp:CreatorTool="Adobe Firefly"',
        'photoshop:Credit="Made with Google AI"',
    ],
)
def test_a_declared_edit_of_a_photograph_is_no_generation(term: str, named: str) -> None:
    declared = f'Iptc4xmpExt:DigitalSourceType="{TRAINED.replace("trainedAlgorithmicMedia", term)}"'
    photograph = exif({0x010F: "Canon", 0x0110: "Canon EOS R5"})
    found = read_provenance(saved("JPEG", exif=photograph, xmp=xmp(f"{declared} {named}")))
    assert {each.says for each in found.findings} == {Says.EDITED, Says.CAPTURED}
    assert found.contradictions == ()
    alone = read_provenance(saved("JPEG", exif=photograph, xmp=xmp(named)))
    assert Says.GENERATED in {each.says for each in alone.findings}
    assert alone.contradictions


def test_programs_and_credits_elsewhere_mean_the_edit_that_xmp_declares() -> None:
    credit = photoshop(iptc_record(110, b"Made with Google AI"))
    firefly = jpeg_segment(0xE1, exif({**camera(), 0x0131: "Adobe Firefly"}).tobytes())
    declared = xmp(f'Iptc4xmpExt:DigitalSourceType="{TRAINED.replace("trained", "compositeWithTrained")}"')
    packet = jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + declared)
    found = read_provenance(jpeg_with(firefly, packet, credit))
    assert {each.says for each in found.findings} == {Says.EDITED, Says.CAPTURED}
    assert found.contradictions == ()
    assert Says.GENERATED in says(jpeg_with(firefly)) & says(jpeg_with(credit))


def test_a_tool_in_the_history_of_edits_says_edited() -> None:
    event = '<rdf:li stEvt:softwareAgent="{}"/>'
    events = event.format("Adobe Photoshop 25.0") + event.format("Adobe Firefly")
    data = saved("JPEG", xmp=xmp("", f"<xmpMM:History><rdf:Seq>{events}</rdf:Seq></xmpMM:History>"))
    assert says(data) == {Says.EDITED}


def test_a_tool_in_the_place_of_the_camera() -> None:
    found = read_provenance(saved("JPEG", exif=exif({0x010F: "OpenAI", 0x0110: "DALL-E 3"})))
    assert found.findings == (Finding(Kind.CAMERA, "EXIF", "OpenAI DALL-E 3", Says.GENERATED),)
    assert found.contradictions == (
        "the camera in EXIF is a program that generates images (OpenAI DALL-E 3)",
    )
    assert found.summary().startswith(
        "AI-generated: EXIF, OpenAI DALL-E 3 (plain text that anyone can write); "
    )


def test_the_label_of_generated_content_in_exif_and_png() -> None:
    label = {"Label": "1", "ContentProducer": "A Maker"}
    texts = [
        json.dumps({"AIGC": label}),
        json.dumps({"AIGC": label}, indent=2),
        json.dumps({"title": "a cat", "AIGC": label}),
        json.dumps({"AIGC": json.dumps(label)}),
        json.dumps({"AIGC": json.dumps(label, indent=4)}, indent=4),
    ]
    for data in (
        *(saved("JPEG", exif=exif({0x0112: 1}, {0x9286: user_comment(text)})) for text in texts),
        *(saved("JPEG", exif=exif({0x010E: text})) for text in texts),
        png(AIGC=json.dumps(label)),
        png(AIGC=json.dumps(label, indent=2)),
        jpeg_with(jpeg_segment(0xE9, b"AIGC" + json.dumps(label).encode())),
        saved("JPEG", xmp=xmp("", f"<TC260:AIGC>{json.dumps(label, indent=1)}</TC260:AIGC>")),
    ):
        [finding] = read_provenance(data).findings
        assert (finding.kind, finding.says) == (Kind.LABEL, Says.GENERATED)
        assert finding.claim == "AIGC label: AI-generated, by A Maker"


@pytest.mark.parametrize(
    ("label", "says", "words"),
    [
        ("1", Says.GENERATED, "AI-generated"),
        ("2", Says.POSSIBLY, "possibly AI-generated"),
        ("3", Says.POSSIBLY, "suspected to be AI-generated"),
    ],
)
def test_the_degrees_of_that_label(label: str, says: Says, words: str) -> None:
    found = read_provenance(png(AIGC=json.dumps({"Label": label})))
    assert found.findings == (Finding(Kind.LABEL, "PNG text", f"AIGC label: {words}", says),)
    assert (
        found.summary() == f"{says.value}: PNG text, AIGC label: {words} (plain text that anyone can write)"
    )
    captured = saved(
        "JPEG", exif=exif(camera(), {0x9286: user_comment(json.dumps({"AIGC": {"Label": label}}))})
    )
    assert bool(read_provenance(captured).contradictions) is (label == "1")


def test_what_is_only_called_aigc_is_no_label() -> None:
    for text in ('{"AIGC": "a festival"}', '{"AIGC": {"Label": "first prize"}}', '{"Label": "1"}', "AIGC: 1"):
        assert read_provenance(png(Comment=text)).findings == ()


@pytest.mark.parametrize(
    ("fields", "deeper"),
    [
        ({0x010F: "EPSON", 0x0110: "Perfection V600 Photo"}, {}),
        ({0x010F: "Canon", 0x0110: "CanoScan 9000F Mark II"}, {}),
        ({0x010F: "Hewlett-Packard", 0x0110: "HP Scanjet G4050"}, {}),
        ({0x010F: "Nikon", 0x0110: "SUPER COOLSCAN 5000 ED"}, {}),
        ({0x010F: "NORITSU KOKI", 0x0110: "EZ Controller"}, {}),
        ({0x010F: "HP", 0x0110: "OfficeJet Pro 8720"}, {}),
        ({0x010F: "Brother", 0x0110: "MFC-L2710DW"}, {}),
        ({0x010F: "A Maker", 0x0110: "A Model"}, {0xA300: b"\1"}),
        ({0x010F: "A Maker", 0x0110: "A Model"}, {0xA300: b"\2"}),
    ],
)
def test_a_scanner_is_no_camera(fields: dict[int, str], deeper: dict[int, bytes]) -> None:
    [finding] = read_provenance(saved("JPEG", exif=exif(fields, deeper))).findings
    assert (finding.kind, finding.says) == (Kind.SCANNER, Says.NOTHING)


@pytest.mark.parametrize("model", ["EOS R5", "iPhone 16", "Canon EOS 5D Mark IV", "SM-S911B"])
def test_cameras_are_no_scanners(model: str) -> None:
    [finding] = read_provenance(saved("JPEG", exif=exif({0x0110: model}, {0xA300: b"\3"}))).findings
    assert (finding.kind, finding.says) == (Kind.CAMERA, Says.CAPTURED)


def test_camera_facts_beside_generation_parameters_contradict() -> None:
    found = read_provenance(saved("JPEG", exif=exif(camera(), {0x9286: user_comment(PARAMETERS)})))
    assert found.contradictions == (
        "EXIF says captured (camera: Canon EOS R5), but EXIF says AI-generated "
        "(generation parameters: AUTOMATIC1111, model dreamer)",
    )
    assert "; contradiction: EXIF says captured" in found.summary()


def test_camera_facts_beside_a_source_type_contradict() -> None:
    type_of = f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"'
    assert read_provenance(saved("JPEG", exif=exif(camera()), xmp=xmp(type_of))).contradictions
    composite = type_of.replace("trained", "compositeWithTrained")
    assert not read_provenance(saved("JPEG", exif=exif(camera()), xmp=xmp(composite))).contradictions


def test_credentials_that_say_captured_beside_a_source_type_contradict() -> None:
    data = saved("JPEG", xmp=xmp(f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"'))
    found = read_provenance(sign(data, "image/jpeg", make_authority(), created(CAPTURED)))
    assert len(found.contradictions) == 1
    assert found.contradictions[0].startswith("C2PA says captured")


def test_the_strongest_claim_comes_first() -> None:
    data = saved("JPEG", exif=exif(camera(), {0x9286: user_comment(PARAMETERS)}))
    data = sign(data, "image/jpeg", make_authority(), created(GENERATED, "Image Maker"))
    assert (
        read_provenance(data)
        .summary()
        .startswith(
            "AI-generated: C2PA, Image Maker, trainedAlgorithmicMedia, signed by Test Images Inc "
            "(signed and intact, signer on no trust list); AI-generated: EXIF, AUTOMATIC1111"
        )
    )
    broken = read_provenance(data[:-20] + bytes(20)).summary()
    assert broken.startswith("AI-generated: EXIF, AUTOMATIC1111")  # what is broken may be of another image
    assert "(signed but broken)" in broken


CAPTION = "AI-generated with Midjourney, DALL-E and Stable Diffusion (trainedAlgorithmicMedia)"


def test_a_caption_that_mentions_ai_says_nothing() -> None:
    alt = f"<rdf:Alt><rdf:li>{CAPTION}</rdf:li></rdf:Alt>"
    data = jpeg_with(
        jpeg_segment(0xE1, exif({0x010E: CAPTION, 0x013B: "OpenAI"}).tobytes()),
        jpeg_segment(
            0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp("", f"<dc:description>{alt}</dc:description>")
        ),
        photoshop(iptc_record(120, CAPTION.encode()) + iptc_record(25, b"AI") + iptc_record(80, b"OpenAI")),
        jpeg_segment(0xFE, CAPTION.encode()),
    )
    assert says(data) <= {Says.NOTHING}
    assert says(png(Title=CAPTION, Description=CAPTION, Comment=CAPTION, Author="OpenAI")) <= {Says.NOTHING}


def test_summary_is_one_short_line_whatever_the_file_says() -> None:
    wild = "a\nb\r\x1b[31m\u202e\x00" + "x" * 5000
    data = jpeg_with(
        jpeg_segment(0xE1, exif({0x010F: wild, 0x0110: wild, 0x0131: wild}).tobytes()),
        photoshop(iptc_record(110, wild.encode()) + iptc_record(65, wild.encode())),
    )
    summary = read_provenance(data).summary()
    assert summary.isprintable()
    assert len(summary) <= MAX_SUMMARY


@pytest.mark.parametrize(
    "reader",
    [
        *("read_exif_blocks", "read_xmp", "_read_iptc", "read_credentials", "read_generations"),
        *("read_stealth", "read_labels", "read_marks", "read_structure"),
    ],
)
def test_a_failing_reader_leaves_the_others_alone(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    data = full_files()["signed JPEG"]
    whole = read_provenance(data)
    monkeypatch.setattr(provenance, reader, fail)
    found = read_provenance(data)
    assert found != whole
    assert [note.endswith(" not read: its reader failed") for note in found.notes] == [True]
    assert {each.kind for each in found.findings} != {Kind.METADATA}
    monkeypatch.setattr(provenance, "find_blocks", fail)
    assert [each.where for each in read_provenance(data).findings][:1] == ["file"]


# -- any bytes at all --------------------------------------------------------------------------------------


@cache
def full_files() -> dict[str, bytes]:
    """Files with metadata of every kind."""
    packet = xmp(f'Iptc4xmpExt:DigitalSourceType="{TRAINED}" xmp:CreatorTool="A"')
    fields = exif({**camera(), 0x010E: "a caption"}, {0x9286: user_comment(PARAMETERS), 0x9003: "2024"})
    authority = make_authority()
    files = {kind: saved(kind, exif=fields, xmp=packet) for kind in ("JPEG", "WEBP", "AVIF")}
    files["PNG"] = png(True, parameters=PARAMETERS, Software="NovelAI", Comment='{"seed": 1}')
    files["TIFF"] = saved("TIFF", exif=fields, tiffinfo={700: packet, 33723: iptc_record(110, b"A")})
    files["GIF"] = saved("GIF", comment=PARAMETERS)
    for kind in ("JPEG", "PNG", "WEBP"):
        media = f"image/{kind.lower()}"
        files[f"signed {kind}"] = sign(files[kind], media, authority, created(GENERATED))
    return files


@pytest.mark.parametrize(
    "kind", ["JPEG", "WEBP", "AVIF", "PNG", "TIFF", "GIF", *(f"signed {k}" for k in ("JPEG", "PNG", "WEBP"))]
)
def test_damaged_files_are_harmless_and_cost_little_time(kind: str) -> None:
    whole, chance = full_files()[kind], random.Random(kind)
    assert read_provenance(whole).findings
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 30)):
            at = int(chance.random() ** 2 * len(data))
            change = chance.choice(
                [b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\1", chance.randbytes(3), b""]
            )
            data[at : at + chance.randint(0, 4)] = change
        begun = time.process_time()
        found = read_provenance(bytes(data[: chance.choice([len(data), chance.randrange(len(data) + 1)])]))
        assert time.process_time() - begun < 2
        json.dumps(found.as_dict())
        assert len(found.summary()) <= MAX_SUMMARY
        assert "\n" not in found.summary()


@given(st.binary(max_size=300))
def test_any_bytes_are_harmless(data: bytes) -> None:
    for head in (
        b"",
        b"\xff\xd8\xff\xe1",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
        b"GIF89a",
        b"MM\0*\0\0\0\x08",
    ):
        found = read_provenance(head + data)
        assert found.summary().isprintable()


@pytest.mark.parametrize("filling", [bytes(1 << 20), bytes(range(256)) * (1 << 12)])
@pytest.mark.parametrize("head", [b"BM", b"\0\0\0\x18ftypheic", b"II*\0\x08\0\0\0", b"\xff\xd8\xff\xda"])
def test_a_large_file_without_metadata_costs_little_time(head: bytes, filling: bytes) -> None:
    data = head + filling * 32
    start = time.process_time()
    read_provenance(data)
    assert time.process_time() - start < 1


def test_an_unknown_source_type_is_reported_as_it_is() -> None:
    found = read_provenance(saved("JPEG", xmp=xmp('Iptc4xmpExt:DigitalSourceType="nil"')))
    assert found.xmp == XmpFacts(source_type="nil")
    assert found.findings == (Finding(Kind.SOURCE_TYPE, "XMP", "nil"),)


def test_no_kind_of_metadata_is_begun_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    data = full_files()["signed JPEG"]
    assert not read_provenance(data).in_part
    monkeypatch.setattr(provenance, "read_xmp", lambda _: time.sleep(0.2))
    found = read_provenance(data, seconds=0.15)
    assert found.in_part
    assert found.as_dict()["in_part"] is True
    assert found.exif is not None
    assert (found.xmp, found.c2pa) == (None, None)
