from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aigdetect.data.layouts import Sample, find_samples
from aigdetect.model.card import read_card
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.training import autoencoder
from aigdetect.training.folds import make_folds
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import make_recipe
from aigdetect.training.session import Session
from aigdetect.training.state import State
from aigdetect.training.train_model import train_model
from aigdetect.training.trainer import Trainer
from aigdetect.training.watching import Epoch

SMALL = {
    "backbone": "timm/test_vit",
    "blocks": 2,
    "head_blocks": 3,
    "head_penalty": 0.3,
    "source_penalty": 1.0,
    "balanced": True,
    "epochs": 1,
    "copies": 2,
    "batch_size": 8,
    "precision": "float32",
    "folds": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind, group, count in (
        ("real", "coco", 8),
        ("real", "faces", 6),
        ("fake", "gan", 7),
        ("fake", "ldm", 5),
    ):
        folder = root / kind / group
        folder.mkdir(parents=True)
        board = 60 * (kind == "fake") * (np.indices((132, 140)).sum(axis=0) // 2 % 2)[..., None]
        for index in range(count):
            pixels = rng.integers(0, 120, (1, 1, 3)) + rng.integers(0, 60, (132, 140, 3)) + board
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return root


def trainer(
    weights: Path, folder: Path, training: list[Sample], held_out: list[Sample], **more: Any
) -> Trainer:
    recipe = make_recipe(SMALL)
    tower, _ = load_tower(recipe.backbone, file=weights)
    torch.manual_seed(recipe.seed)
    network = MoleNetwork(tower, AdapterConfig(blocks=recipe.blocks), head_blocks=recipe.head_blocks)
    return Trainer(network, recipe, training, held_out, folder, 1, **more)


def test_a_fold_says_what_a_model_says_that_never_saw_its_images(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    samples = list(split_data([find_samples(data)], make_recipe(SMALL)).training)
    assert len(samples) == 26
    folds = make_folds(samples, [None] * 26, 2, seed=0)
    states: list[State] = []
    whole = trainer(tiny_weights, tmp_path, samples, samples, folds=folds, save=states.append)
    told = whole.run()
    assert told.labels == tuple(sample.label for sample in samples)
    for fold in folds:
        kept, left_out = ([samples[index] for index in part.tolist()] for part in (fold.kept, fold.left_out))
        alone = trainer(tiny_weights, tmp_path, kept, left_out).run()
        expected = [told.logits[index] for index in fold.left_out.tolist()]
        np.testing.assert_allclose(expected, alone.logits, atol=1e-5)
    # the model itself learns from all of them, as if there had been no folds
    without = trainer(tiny_weights, tmp_path, samples, samples)
    without.run()
    for name, tensor in whole.network.adapter_state().items():
        assert torch.equal(tensor, without.network.adapter_state()[name]), name


def test_a_run_that_goes_on_has_not_to_train_the_folds_again(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    samples = list(split_data([find_samples(data)], make_recipe(SMALL)).training)
    folds = make_folds(samples, [None] * 26, 2, seed=0)
    states: list[State] = []
    first = trainer(tiny_weights, tmp_path, samples, samples, folds=folds, save=states.append)
    told = first.run()
    assert [state.out_of_fold is None for state in states] == [True] + [False] * (len(states) - 1)
    marked = replace(states[1], out_of_fold=Epoch(1, told.logits[::-1], told.labels, told.indices))
    again = trainer(tiny_weights, tmp_path, samples, samples, folds=folds)
    assert again.run(marked).logits == told.logits[::-1]
    for name, tensor in first.network.adapter_state().items():
        assert torch.equal(tensor, again.network.adapter_state()[name]), name


def test_the_card_tells_of_folds_and_of_images_made_here(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "_STEPS", 3)
    recipe = make_recipe(SMALL, {"aligned": ["shuffle"], "aligned_images": 5})
    split = split_data([find_samples(data)], recipe)
    cards = [
        train_model(
            split, recipe, tmp_path / name / "m", device="cpu", weights=tiny_weights, session=Session()
        )
        for name in "ab"
    ]
    card = read_card(tmp_path / "a" / "m")
    assert card.data["training"]["generated"] == {"gan": 7, "ldm": 5, "autoencoder_shuffle": 5}
    assert card.data["validation"] == {"real": {}, "generated": {}}
    assert (card.calibration.real_count, card.calibration.generated_count) == (14, 12)
    assert set(card.metrics) == {"out of fold", "rates"}
    assert (card.calibration.real_sources, card.calibration.generators) == (2, 2)
    assert cards[0].adapter_sha256 == cards[1].adapter_sha256
    assert not (tmp_path / "a" / "m" / ".aligned").exists()
