"""What names say: of programs that generate images, and of those that only sound like it."""

from __future__ import annotations

import time

import pytest
from mark_fixtures import CREDITED, MARKED, NAMED, UUID, samsung_trailer
from metadata_files import exif, iptc_record, jpeg_with, photoshop, png, saved, xmp

from aigdetect.evidence.apply_rules import author_says, credit_says, tool_says
from aigdetect.evidence.findings import Finding, Kind, Says
from aigdetect.evidence.provenance import read_provenance
from aigdetect.evidence.rule_kinds import Credit, Mark, Name
from aigdetect.evidence.rules import CREDITS, MARKS, NAMES
from aigdetect.evidence.vocabulary import source_type

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@pytest.mark.parametrize("rule", NAMES, ids=lambda rule: rule.tool)
def test_what_every_program_writes_where_it_names_itself(rule: Name) -> None:
    for text in NAMED[rule.tool]:
        assert tool_says(text) is rule.says
        found = read_provenance(saved("JPEG", xmp=xmp(f'xmp:CreatorTool="{text}"')))
        assert found.findings == (Finding(Kind.SOFTWARE, "XMP", text, rule.says),)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.claim)
def test_every_mark_in_a_file(mark: Mark) -> None:
    found = read_provenance(MARKED[mark.claim]())
    assert (mark.claim, mark.says) in {(each.claim, each.says) for each in found.findings}


@pytest.mark.parametrize("credit", CREDITS, ids=lambda credit: credit.text)
def test_every_credit_line_in_a_file(credit: Credit) -> None:
    line = CREDITED[credit.text]
    [finding] = read_provenance(saved("JPEG", xmp=xmp(f'photoshop:Credit="{line}"'))).findings
    assert finding == Finding(Kind.CREDIT, "XMP", line, credit.says)
    [finding] = read_provenance(jpeg_with(photoshop(iptc_record(110, line.encode())))).findings
    assert finding == Finding(Kind.CREDIT, "IPTC", line, credit.says)


def test_no_rule_is_without_a_fixture_and_a_public_source() -> None:
    assert list(NAMED) == [name.tool for name in NAMES]
    assert list(MARKED) == [mark.claim for mark in MARKS]
    assert list(CREDITED) == [credit.text for credit in CREDITS]
    for rule in (*NAMES, *MARKS, *CREDITS):
        assert rule.source.startswith("https://")
        assert 2019 <= rule.since <= 2026


@pytest.mark.parametrize(
    "name",
    [
        "Adobe Photoshop 25.0 (Windows)",
        "Adobe Photoshop Lightroom Classic 13.0",
        "GIMP 2.10",
        "Topaz Photo AI 2.0",
        "Gigapixel AI",
        "Luminar AI",
        "Imagen",  # edits photographs, and is a word for image
        "Gemini 2",  # looks for duplicates
        "FIREFLY",  # makes cameras
        "Hawkeye Firefly 8S",
        "f.lux",
        "Grok Kasparov",
        "Leonardo Aiello",
        "Klingon Camera",
        "Reverie Photo",
        "Recrafted Studio",
        "Qwen2-VL captioner",
        "Qwen",
        "Hunyuan-Captioner",
        "Kling & Sons Camera",
        "Kling",
        "Reve",
        "Reve d'or 35 mm",
        "Ideogram",
        "Ideogram Font Viewer",
        "Mai Image Studio",
        "PixAI Camera",
        "SeaArt Museum Guide",
        "Aurora HDR",
        "Canon EOS R5",
        "Flux Capacitor Camera",
        "A photo of the OpenAI office",
        "not made with Midjourney",
        "Metadata Editor",
        "Sora",
        "Soraya Photography",
        "DALLAS Camera",
        "Leonardo da Vinci",
        "Designer",
        "HDR+ 1.0.570503588zd",
        "ai generated: no",
        "AI generated 0",
        "AI generated;no",
        "AI generated alt text remover 2",
        "Stable Image Viewer 3",
        "Stable Image",
        "DreamStudio Photography",
        "Flux2 Camera",
        "FLUX.1 photo",
        "Flux 2 raw developer",
        "Black Forest Labs Photo",
        "Magic Editor Pro 3",
        "Draw Things Scanner",
        "Easy Diffusion Filter",
        "Imagen 3 raw developer",
        "Midjourney Viewer 2",
        "ComfyUI metadata reader",
        "Stable Diffusion Detector",
        "OpenAI Whisper",
        "ChatGPT alt text",
        "Krea AI Camera",
        "Made with OpenAI captions",
        "Meta AI",  # the app of glasses that photograph
        "Meta AI 271.0",
        "Meta AI Glasses",
        "Ray-Ban Meta Smart Glasses",
        "",
    ],
)
def test_programs_and_people_that_do_not(name: str) -> None:
    assert tool_says(name) is Says.NOTHING


@pytest.mark.parametrize(
    ("make", "model"),
    [
        ("Meta AI", "Ray-Ban Meta Smart Glasses"),
        ("Meta AI", "Ray-Ban Meta Smart Glasses 2"),
        ("Meta AI", "Oakley Meta HSTN"),
        ("Meta View", "Ray-Ban Meta Smart Glasses"),
        ("Meta AI", ""),
        ("", "Meta AI Glasses"),
    ],
)
@pytest.mark.parametrize("software", ["Meta AI", "Meta AI 271.0", "Meta View 174.0.0"])
def test_glasses_that_photograph_are_a_camera(make: str, model: str, software: str) -> None:
    found = read_provenance(saved("JPEG", exif=exif({0x010F: make, 0x0110: model, 0x0131: software})))
    assert found.findings == (
        Finding(Kind.CAMERA, "EXIF", f"{make} {model}".strip(), Says.CAPTURED),
        Finding(Kind.SOFTWARE, "EXIF", software),
    )
    assert found.contradictions == ()


def test_programs_that_change_a_part() -> None:
    assert tool_says("Adobe Photoshop Generative Fill") is Says.EDITED
    assert tool_says("Magic Editor") is Says.EDITED


@pytest.mark.parametrize(
    ("author", "says"),
    [
        ("Midjourney", Says.GENERATED),
        ("DALL-E 3", Says.GENERATED),
        ("Stable Diffusion XL", Says.NOTHING),  # no number: it may be the name of a band
        ("made with ComfyUI 0.3", Says.GENERATED),
        ("OpenAI", Says.NOTHING),  # whose people take photographs
        ("Dreamina Williams", Says.NOTHING),
        ("Dreamina", Says.NOTHING),
        ("Kling", Says.NOTHING),
        ("Béatrice Dalle", Says.NOTHING),
        ("Dalle", Says.NOTHING),
        ("Midjourney fan club", Says.NOTHING),
        ("Jane Doe", Says.NOTHING),
    ],
)
def test_an_author_is_a_program_only_by_its_whole_name(author: str, says: Says) -> None:
    assert author_says(author) is says
    for data in (png(Author=author), saved("JPEG", exif=exif({0x013B: author}))):
        assert {each.says for each in read_provenance(data).findings} == ({says} - {Says.NOTHING})


def test_a_source_and_a_generator_named_in_a_png() -> None:
    for name in ("Source", "Generator", "Software"):
        assert {each.says for each in read_provenance(png(**{name: "Midjourney v7"})).findings} == {
            Says.GENERATED
        }
    assert read_provenance(png(Source="Canon EOS R5", Generator="a diesel generator")).findings == ()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({0x010E: "Signature: " + "ab+/" * 30 + "=", 0x013B: "Jane Doe"}, Says.NOTHING),
        ({0x010E: "Signature: Jane Doe, Paris", 0x013B: UUID}, Says.NOTHING),
        ({0x010E: "a signature", 0x013B: UUID}, Says.NOTHING),
        ({0x010E: f"Job ID: {UUID}"}, Says.NOTHING),
    ],
)
def test_half_a_mark_says_nothing(fields: dict[int, str], says: Says) -> None:
    assert {each.says for each in read_provenance(saved("JPEG", exif=exif(fields))).findings} <= {says}


@pytest.mark.parametrize("said", ['{"genAIType":0}', '{"isScaleAI":false}', "not JSON", ""])
def test_samsungs_editor_without_generative_ai_says_nothing(said: str) -> None:
    found = read_provenance(saved("JPEG") + samsung_trailer({"PhotoEditor_Re_Edit_Data": said}))
    assert found.findings == ()
    assert read_provenance(saved("JPEG") + samsung_trailer({"Other": '{"genAIType":1}'})).findings == ()


def test_samsungs_editor_with_a_spoilt_directory_is_heard_behind_the_image_only() -> None:
    said = b'PhotoEditor_Re_Edit_Data{"genAIType":1}'
    assert {each.says for each in read_provenance(saved("JPEG") + said + b"junk").findings} == {Says.EDITED}
    assert read_provenance(saved("JPEG", comment=said)).findings == ()
    assert read_provenance(saved("PNG") + said).findings == ()


@pytest.mark.parametrize(
    ("credit", "says"),
    [
        ("Made with Google AI", Says.GENERATED),
        ("Edited with Google AI", Says.EDITED),
        (" made with  AI. ", Says.GENERATED),
        ("OpenAI", Says.NOTHING),  # whom a portrait of its founder may be from
        ("Midjourney", Says.NOTHING),
        ("Photo: Jane Doe, not made with AI", Says.NOTHING),
        ("Made with Google AI? No!", Says.NOTHING),
        ("Getty Images", Says.NOTHING),
    ],
)
def test_credits_count_word_for_word(credit: str, says: Says) -> None:
    assert credit_says(credit) is says


@pytest.mark.parametrize(
    ("value", "name", "says"),
    [
        (IPTC + "trainedAlgorithmicMedia", "trainedAlgorithmicMedia", Says.GENERATED),
        (
            IPTC.replace("http:", "https:") + "trainedAlgorithmicMedia/",
            "trainedAlgorithmicMedia",
            Says.GENERATED,
        ),
        ("trainedalgorithmicmedia", "trainedAlgorithmicMedia", Says.GENERATED),
        ("iptc:digitalsourcetype:trainedAlgorithmicMedia", "trainedAlgorithmicMedia", Says.GENERATED),
        ("digitalsourcetype:compositeSynthetic", "compositeSynthetic", Says.EDITED),
        (IPTC + "compositeWithTrainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", Says.EDITED),
        (IPTC + "digitalCapture", "digitalCapture", Says.CAPTURED),
        (IPTC + "negativeFilm", "negativeFilm", Says.CAPTURED),
        (IPTC + "algorithmicMedia", "algorithmicMedia", Says.NOTHING),
        (IPTC + "minorHumanEdits", "minorHumanEdits", Says.NOTHING),
        ("http://c2pa.org/digitalsourcetype/empty", "empty", Says.NOTHING),
        ("nil", "nil", Says.NOTHING),
        ("", "", Says.NOTHING),
        ("http://elsewhere.example/trainedAlgorithmicMedia", None, Says.NOTHING),
        ("not trainedAlgorithmicMedia", None, Says.NOTHING),
    ],
)
def test_source_types(value: str, name: str | None, says: Says) -> None:
    assert source_type(value) == (value if name is None else name, says)


def test_long_names_cost_little_time() -> None:
    start = time.process_time()
    texts = ("a" * 100_000, "made with " * 10_000, " " * 100_000, "digitalsourcetype:" * 5_000)
    for text in (*texts, f"ComfyUI{' 1234567' * 22} photography"):
        tool_says(text)
        author_says(text)
        credit_says(text)
        source_type(text)
    assert time.process_time() - start < 1
