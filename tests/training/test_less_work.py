"""A tower that does less, with fewer blocks or fewer tokens: trained, kept, loaded and scored so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aigdetect.data.layouts import find_samples
from aigdetect.errors import UsageError
from aigdetect.images.views import take_views
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import read_card
from aigdetect.model.detector import adapter_config
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.merging import TokenMerging
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import Recipe, RunOptions, make_recipe
from aigdetect.training.starting_point import adapter_of
from aigdetect.training.train_model import train_model

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for a false-positive rate")

SETTINGS = {
    "backbone": "timm/test_vit",
    "blocks": 1,
    "head_blocks": 3,
    "head_penalty": 0.1,
    "epochs": 1,
    "copies": 1,
    "cache": "disk",
    "precision": "float32",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind, most in (("0_real", 90), ("1_fake", 250)):
        (root / kind).mkdir()
        for index in range(10):
            pixels = rng.integers(0, most, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{index}.png")
    return root


def train(data: Path, folder: Path, weights: Path, place: Path, **settings: Any) -> None:
    recipe = make_recipe(SETTINGS, settings)
    split = split_data([find_samples(data)], recipe)
    train_model(split, recipe, folder, RunOptions("cpu", weights, cache_folder=place))


def test_a_model_of_the_first_blocks(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "cut", tiny_weights, tmp_path / "tokens", depth=4)
    train(data, tmp_path / "whole", tiny_weights, tmp_path / "tokens")
    assert read_card(tmp_path / "cut").adapter.depth == 4
    assert read_card(tmp_path / "whole").adapter.depth is None
    kept = {json.loads(path.read_text()).get("depth") for path in tmp_path.glob("tokens/*/settings.json")}
    assert kept == {4, None}  # class tokens of the one are not taken for the other's

    detector = load_detector(tmp_path / "cut", weights=tiny_weights, device="cpu", precision="float32")
    assert set(detector.network.bypasses) == {"block3_mlp"}
    image = data / "1_fake" / "0.png"
    (score,) = detector.score([image])

    # the same by hand: the whole tower's own blocks, and what the model adds beside the fourth
    network = detector.network
    tower, _ = load_tower("timm/test_vit", file=tiny_weights)
    pixels = take_views(Image.open(image).convert("RGB"), ["center_crop"], network.size)
    views = network.normalise(torch.from_numpy(pixels))
    tokens, read = tower.stem(views), []
    for index in range(3):
        tokens = tower.run_blocks(tokens, index, index + 1)
        read.append(tower.class_token(tokens))
    read.append(tower.class_token(network.tower.blocks[3](tokens)))
    logit = network.head(torch.stack(read[1:], dim=1))
    assert score.logit == pytest.approx(float(logit.detach()), abs=1e-4)


def test_the_embedding_is_that_of_the_whole_tower() -> None:
    with pytest.raises(UsageError, match="depth: needs head_blocks, too"):
        make_recipe({"depth": 3})


def test_more_blocks_than_there_are(tiny_weights: Path) -> None:
    tower, _ = load_tower("timm/test_vit", file=tiny_weights)
    with pytest.raises(UsageError, match=r"depth: 99 is not in 1\.\."):
        tower.cut(99)


def test_a_recipe_of_before_is_the_same_run() -> None:
    assert "depth" not in Recipe().defining()
    assert make_recipe({"depth": 3, "head_blocks": 2}).defining()["depth"] == 3
    assert not {"merged_share", "merge_after"} & Recipe().defining().keys()
    merging = make_recipe({"merged_share": 0.25, "merge_after": 4})
    assert merging.defining()["merged_share"] == 0.25
    assert adapter_config(adapter_of(merging)).merging == TokenMerging(0.25, 4)


def test_a_tower_that_cannot_merge(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="merged_share: made for CLIP's own towers"):
        train(data, tmp_path / "model", tiny_weights, tmp_path / "tokens", merged_share=0.25)
