"""What genuine files say, where the collection of hard files lies beside the checkout."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aigdetect.evidence.findings import Says, Strength
from aigdetect.evidence.provenance import Provenance, read_provenance

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AIGDETECT_DATA", REPOSITORY.parent / "shared" / "data"))


def read(name: str) -> Provenance:
    path = DATA / "hard" / name
    if not path.is_file():
        pytest.skip(f"GENUINE METADATA NOT READ: no file {path} (AIGDETECT_DATA names another place)")
    return read_provenance(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "says", "words"),
    [
        ("c2pa_ai/DALL-E_cloud_surfing_puppy.webp", Says.GENERATED, "DALL·E, trainedAlgorithmicMedia"),
        ("c2pa_ai/bing_creator_cloud_surfing_puppy.jpg", Says.GENERATED, "Image Creator from Designer"),
        ("c2pa_ai/gemini_img.png", Says.GENERATED, "signed by Google LLC"),
        ("exif_ai/exif_make_ai.jpg", Says.GENERATED, "OpenAI DALL-E 3"),
        ("exif_ai/exif_desc_midjourney_job.jpg", Says.GENERATED, "Midjourney"),
        ("exif_ai/caption_mentions_ai.jpg", None, ""),
        ("exif_ai/ai_with_forged_camera_exif.jpg", Says.CAPTURED, "Canon EOS 5D Mark IV"),
        ("iptc_xmp/xmp_creatortool_firefly.jpg", Says.GENERATED, "Adobe Firefly"),
        ("iptc_xmp/xmp_dst_compositeSynthetic.jpg", Says.EDITED, "compositeSynthetic"),
        ("iptc_xmp/xmp_dst_algorithmicMedia.jpg", Says.NOTHING, "digital source type algorithmicMedia"),
        ("iptc_xmp/xmp_dst_minorHumanEdits.jpg", Says.NOTHING, "digital source type minorHumanEdits"),
        ("iptc_xmp/xmp_dst_digitalCapture.jpg", Says.CAPTURED, "digital source type digitalCapture"),
        ("iptc_xmp/exif.webp", Says.CAPTURED, "digital source type nil"),
        ("iptc_xmp/Google.jpg", Says.CAPTURED, "Google Pixel 8 Pro"),
        ("gen_params/automatic1111_cropped.png", Says.GENERATED, "AUTOMATIC1111"),
        ("gen_params/civitai.jpeg", Says.GENERATED, "Civitai"),
        ("gen_params/forge-neo.webp", Says.GENERATED, "Forge Neo"),
        ("gen_params/img2img_cropped.png", Says.EDITED, "image to image, denoising strength 0.87"),
        ("gen_params/unclip_2pass_cropped.png", Says.GENERATED, "ComfyUI"),
        ("gen_params/invokeai_dream1.png", Says.GENERATED, "InvokeAI"),
        ("gen_params/invokeai_imeta1.png", Says.GENERATED, "InvokeAI"),
        ("gen_params/invokeai_sdmeta1.png", Says.GENERATED, "InvokeAI"),
        ("gen_params/novelai1_cropped.png", Says.GENERATED, "NovelAI"),
        ("c2pa/adobe-20220124-C.jpg", Says.NOTHING, "signed and intact, signer on no trust list"),
        ("c2pa/cloud.jpg", Says.NOTHING, "not fetched"),
        ("c2pa/libpng-test_with_url.png", Says.NOTHING, "not fetched"),
        ("c2pa/test.webp", None, ""),
    ],
)
def test_what_a_file_says(name: str, says: Says | None, words: str) -> None:
    found = read(name)
    said = {finding.says for finding in found.findings}
    first = next((each for each in Says if each in said), None)
    assert first is says
    assert words in found.summary()


@pytest.mark.parametrize(
    "name",
    [
        "adobe-20220124-E-uri-CA.jpg",
        "corrupt_box_type.jpg",
        "tampered_signature.jpg",
        "truncated_jumbf.jpg",
        "valid_jpeg_es256.jpg",
    ],
)
def test_broken_credentials_are_said_to_be_broken(name: str) -> None:
    found = read(f"c2pa/{name}")
    assert found.c2pa is not None
    assert found.c2pa.strength is Strength.BROKEN
    assert found.c2pa.reasons
    assert "signed but broken" in found.summary()


def test_generated_images_say_the_same_twice() -> None:
    found = read("c2pa_ai/gemini_img.png")
    assert found.xmp is not None
    assert found.xmp.credit == "Made with Google AI"
    assert sum(finding.says is Says.GENERATED for finding in found.findings) == 3


def test_no_hard_file_says_ai_that_should_not_or_takes_long() -> None:
    folder = DATA / "hard"
    if not folder.is_dir():
        pytest.skip(f"GENUINE METADATA NOT READ: no folder {folder} (AIGDETECT_DATA names another place)")
    silent = {path.name for path in folder.iterdir() if path.is_dir()}
    silent -= {"c2pa_ai", "exif_ai", "gen_params", "iptc_xmp"}
    read_count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            start = time.process_time()
            found = read_provenance(path.read_bytes())
            assert time.process_time() - start < 2, path
            read_count += 1
            if path.parent.name in silent:
                assert not found.summary().startswith("AI"), path
    assert read_count > 100
