"""What names say: of programs that generate images, and of those that only sound like it."""

from __future__ import annotations

import time

import pytest

from aigdetect.evidence.findings import Says
from aigdetect.evidence.tools import credit_says, tool_says
from aigdetect.evidence.vocabulary import source_type

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@pytest.mark.parametrize(
    "name",
    [
        "Midjourney",
        "midjourney v6.1",
        "DALL-E 3",
        "DALL·E",
        "OpenAI",
        "ChatGPT",
        "Adobe Firefly",
        "Adobe_Firefly",
        "Stable Diffusion XL",
        "stable-diffusion-webui",
        "AUTOMATIC1111",
        "ComfyUI",
        "NovelAI",
        "InvokeAI v3.0",
        "Leonardo.Ai",
        "Image Creator from Designer",
        "Microsoft_Responsible_AI/1.0",
        "Black Forest Labs",
        "AI generated;txt2img;flux",
        "FLUX.1 [dev]",
        "Google Generative AI",
        "Made with Midjourney",
    ],
)
def test_programs_that_generate_images(name: str) -> None:
    assert tool_says(name) is Says.GENERATED


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
        "Grok",
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
        "Microsoft Designer",
        "HDR+ 1.0.570503588zd",
        "",
    ],
)
def test_programs_and_people_that_do_not(name: str) -> None:
    assert tool_says(name) is Says.NOTHING


def test_programs_that_change_a_part() -> None:
    assert tool_says("Adobe Photoshop Generative Fill") is Says.EDITED
    assert tool_says("Magic Editor") is Says.EDITED


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
    for text in ("a" * 100_000, "made with " * 10_000, " " * 100_000, "digitalsourcetype:" * 5_000):
        tool_says(text)
        credit_says(text)
        source_type(text)
    assert time.process_time() - start < 1
