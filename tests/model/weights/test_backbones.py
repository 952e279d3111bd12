"""Names of backbones: one canonical form, the right activation, and help with wrong ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aigdetect.errors import WeightsError
from aigdetect.model.weights import hub
from aigdetect.model.weights.backbones import BACKBONES, parse_backbone


@pytest.mark.parametrize(
    "name",
    ["ViT-B-16", "ViT-B-16:openai", "ViT-B-16-quickgelu", "ViT-B-16-quickgelu:openai", "ViT-B-16:OpenAI"],
)
def test_openai_weights_always_get_quickgelu(name: str) -> None:
    spec = parse_backbone(name)

    assert spec is BACKBONES["ViT-B-16"]
    assert (spec.config_name, spec.tag, spec.stem) == ("ViT-B-16-quickgelu", "openai", "ViT-B-16.openai")


def test_no_openai_weights_without_quickgelu() -> None:
    import open_clip

    towers = [name for name, tag in open_clip.list_pretrained() if tag == "openai" and name.startswith("ViT")]
    assert len(towers) >= 4
    for tower in towers:
        assert parse_backbone(f"{tower}:openai").config_name.endswith("-quickgelu")
        assert open_clip.get_model_config(parse_backbone(tower).config_name)["quick_gelu"] is True


@pytest.mark.parametrize(
    ("name", "canonical", "config"),
    [
        ("ViT-B-16:laion2b-s34b-b88k", "ViT-B-16:laion2b_s34b_b88k", "ViT-B-16"),
        ("ViT-B-16:metaclip_400m", "ViT-B-16:metaclip_400m", "ViT-B-16-quickgelu"),
        ("ViT-L-14-336", "ViT-L-14-336", "ViT-L-14-336-quickgelu"),
        ("ViT-B-32-256", "ViT-B-32-256:datacomp_s34b_b86k", "ViT-B-32-256"),
        (
            "timm/vit_base_patch16_224.augreg_in1k",
            "timm/vit_base_patch16_224.augreg_in1k",
            "vit_base_patch16_224.augreg_in1k",
        ),
        ("timm/deit_base_patch16_224", "timm/deit_base_patch16_224.fb_in1k", "deit_base_patch16_224.fb_in1k"),
    ],
)
def test_other_towers_by_name_and_tag(name: str, canonical: str, config: str) -> None:
    spec = parse_backbone(name)

    assert (spec.name, spec.config_name) == (canonical, config)
    assert parse_backbone(spec.name) == spec


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ViT-B-17", "did you mean ViT-B-16"),
        ("ViT-B-16:opnai", "did you mean openai"),
        ("ViT-B-16-quickgelu:laion2b_s34b_b88k", "use ViT-B-16:laion2b_s34b_b88k"),
        ("ViT-H-14", "ViT-H-14:laion2b_s32b_b79k"),
        ("RN50", "not one of open_clip's plain vision transformers"),
        ("timm/vit_base_patch16_224.augreg", "timm/vit_base_patch16_224.augreg_in1k"),
        ("timm/resnet50.a1_in1k", "not one of timm's plain vision transformers"),
        ("../etc/passwd", "no such backbone"),
        ("", "no such backbone"),
        ("timm/", "no such backbone"),
    ],
)
def test_wrong_names_get_one_line_with_the_right_one(name: str, told: str) -> None:
    with pytest.raises(WeightsError) as caught:
        parse_backbone(name)

    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "repo", "file"),
    [
        ("ViT-B-16", "timm/vit_base_patch16_clip_224.openai", "open_clip_model.safetensors"),
        (
            "ViT-B-16:laion2b_s34b_b88k",
            "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
            "open_clip_model.safetensors",
        ),
        (
            "timm/vit_base_patch16_224.augreg_in1k",
            "timm/vit_base_patch16_224.augreg_in1k",
            "model.safetensors",
        ),
    ],
)
def test_the_libraries_know_the_repositories(name: str, repo: str, file: str) -> None:
    assert hub.locate(parse_backbone(name)) == hub.HubFile(repo, file)


def test_known_names_cost_no_torch() -> None:
    code = (
        "import sys; from aigdetect.model.weights.find_weights import parse_backbone, cached_files;"
        "parse_backbone('ViT-L-14'); cached_files(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
