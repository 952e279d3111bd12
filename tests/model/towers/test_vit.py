"""Our own tower beside open_clip's."""

from __future__ import annotations

import json
import subprocess
import sys

import open_clip
import pytest
import torch
from open_clip.model import _build_vision_tower
from tiny import MEAN, STD, clip_base, plain_base

from aigdetect.model.towers import build
from aigdetect.model.towers.vit import PlainVit
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.model.weights.backbones import BACKBONES


@pytest.mark.parametrize("shape", [{}, {"layers": 2, "width": 64, "size": 48}])
def test_it_is_open_clips_tower(shape: dict[str, int]) -> None:
    theirs, ours = clip_base(**shape), plain_base(**shape)
    ours.load_state_dict(theirs.state_dict())
    torch.manual_seed(1)
    images = torch.randn(3, 3, ours.shape.image_size, ours.shape.image_size)
    expected = theirs(images)
    torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-6)
    for base in (ours, theirs):
        tower = wrap_tower(base, mean=MEAN, std=STD, name="tiny")
        torch.testing.assert_close(tower(images), expected, rtol=1e-5, atol=1e-6)
        assert (tower.width, tower.embed_dim) == (ours.shape.width, ours.shape.embed_dim)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_openais_towers_have_the_parameters_and_statistics_that_open_clip_gives_them(name: str) -> None:
    spec = BACKBONES[name]
    config = open_clip.get_model_config(spec.config_name)
    with torch.device("meta"):
        theirs = _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu=True)
        ours, statistics = build.build_base(spec)
    assert isinstance(ours, PlainVit)
    shapes = [{key: value.shape for key, value in base.state_dict().items()} for base in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert {block.attn.num_heads for block in ours.transformer.resblocks} == {
        block.attn.num_heads for block in theirs.transformer.resblocks
    }
    assert ours.shape.image_size == config["vision_cfg"]["image_size"]
    assert statistics == {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}


def test_nothing_heavy_is_imported_to_score_with_it() -> None:
    """What would take longer than the score itself."""
    code = (
        "import json, sys, torch\n"
        "from aigdetect.model.weights.backbones import BACKBONES\n"
        "from aigdetect.model.towers.build import build_base\n"
        "from aigdetect.model.towers.wrap import wrap_tower\n"
        "import aigdetect.model.detector\n"
        "with torch.device('meta'):\n"
        "    base, statistics = build_base(BACKBONES['ViT-B-16'])\n"
        "    wrap_tower(base, name='ViT-B-16', **statistics)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(json.loads(ran.stdout))
    assert "torch" in imported
    assert not imported & {"open_clip", "timm", "torchvision", "sklearn", "scipy", "matplotlib", "onnx"}
