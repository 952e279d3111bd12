from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aigdetect.data.layouts import find_samples
from aigdetect.model.card import read_card
from aigdetect.model.network import MoleNetwork
from aigdetect.model.quadratic_features import QuadraticFeatures
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.training import autoencoder
from aigdetect.training.callbacks import Epoch
from aigdetect.training.checkpoint import Checkpoint, RunIdentity, State
from aigdetect.training.folds import make_folds
from aigdetect.training.partition import RunImages, split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.run import Run
from aigdetect.training.train_model import train_model, train_network

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


def network(weights: Path) -> MoleNetwork:
    recipe = make_recipe(SMALL)
    tower, _ = load_tower(recipe.backbone, file=weights)
    torch.manual_seed(recipe.seed)
    return MoleNetwork(tower, AdapterConfig(blocks=recipe.blocks), head_blocks=recipe.head_blocks)


def train(made: MoleNetwork, images: RunImages, folder: Path, state: State | None = None) -> Epoch:
    """Train on images, from a state on."""
    identity = RunIdentity({}, "", "")
    begun = Checkpoint(identity, state, 0) if state else None
    with Run(folder, identity, begun=begun).recorded() as run:
        return train_network(made, make_recipe(SMALL), images, run)


def test_a_fold_says_what_a_model_says_that_never_saw_its_images(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    samples = list(split_data([find_samples(data)], make_recipe(SMALL)).training)
    assert len(samples) == 26
    folds = make_folds(samples, [None] * 26, 2, seed=0)
    whole = network(tiny_weights)
    told = train(whole, RunImages(samples, samples, folds=folds), tmp_path)
    assert told.labels == tuple(sample.label for sample in samples)
    for fold in folds:
        kept, left_out = ([samples[index] for index in part.tolist()] for part in (fold.kept, fold.left_out))
        alone = train(network(tiny_weights), RunImages(kept, left_out), tmp_path)
        expected = [told.logits[index] for index in fold.left_out.tolist()]
        np.testing.assert_allclose(expected, alone.logits, atol=1e-5)
    # the model itself learns from all of them, as if there had been no folds
    without = network(tiny_weights)
    train(without, RunImages(samples, samples), tmp_path)
    for name, tensor in whole.adapter_state().items():
        assert torch.equal(tensor, without.adapter_state()[name]), name


def test_heads_of_folds_out_of_one_solution_say_what_heads_say_that_are_fitted_anew(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "epochs": 0, "source_penalty": 0.0, "balanced": False, "head_loss": "squares"}
    settings |= {"head_kernel": "quadratic", "plain_copy": True}

    def trained(images: RunImages, learnt: int) -> tuple[MoleNetwork, Epoch]:
        # the penalty is relative to the weight of all images
        recipe = make_recipe({**settings, "head_penalty": 0.01 * 26 / learnt})
        tower, _ = load_tower(recipe.backbone, file=tiny_weights)
        made = MoleNetwork(
            tower, AdapterConfig(blocks=2), head_blocks=recipe.head_blocks, head_kernel=recipe.head_kernel
        )
        with Run(tmp_path, RunIdentity({}, "", "")).recorded() as run:
            return made, train_network(made, recipe, images, run)

    samples = list(split_data([find_samples(data)], make_recipe(SMALL)).training)
    folds = make_folds(samples, [None] * 26, "origins", seed=0)
    assert len(folds) == 4
    whole, told = trained(RunImages(samples, samples, folds=folds), 26)
    # the model itself learns from all of them, as if there had been no folds
    without, _ = trained(RunImages(samples, samples), 26)
    for name, tensor in whole.adapter_state().items():
        assert torch.equal(tensor, without.adapter_state()[name]), name
    assert whole.head.quadratic is not None
    made_alike = whole.head.quadratic.state_dict()  # by all images, for the heads of folds, too
    monkeypatch.setattr(QuadraticFeatures, "fit", lambda self, rows: self.load_state_dict(made_alike))
    for fold in folds:
        kept, left_out = ([samples[index] for index in part.tolist()] for part in (fold.kept, fold.left_out))
        _, alone = trained(RunImages(kept, left_out + kept), len(kept))
        expected = alone.logits[: len(left_out)]
        np.testing.assert_allclose([told.logits[i] for i in fold.left_out.tolist()], expected, atol=1e-3)


def test_a_run_that_goes_on_has_not_to_train_the_folds_again(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = list(split_data([find_samples(data)], make_recipe(SMALL)).training)
    images = RunImages(samples, samples, folds=make_folds(samples, [None] * 26, 2, seed=0))
    states: list[State] = []
    monkeypatch.setattr(Run, "save", lambda run, state: states.append(state))
    first, again = network(tiny_weights), network(tiny_weights)
    told = train(first, images, tmp_path)
    assert [state.out_of_fold is None for state in states] == [True] + [False] * (len(states) - 1)
    marked = replace(states[1], out_of_fold=Epoch(1, told.logits[::-1], told.labels, told.indices))
    assert train(again, images, tmp_path, marked).logits == told.logits[::-1]
    for name, tensor in first.adapter_state().items():
        assert torch.equal(tensor, again.adapter_state()[name]), name


def test_the_card_tells_of_folds_and_of_images_made_here(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "_STEPS", 3)
    recipe = make_recipe(SMALL, {"aligned": ["shuffle"], "aligned_images": 5})
    split = split_data([find_samples(data)], recipe)
    options = RunOptions("cpu", tiny_weights)
    cards = [train_model(split, recipe, tmp_path / name / "m", options) for name in "ab"]
    card = read_card(tmp_path / "a" / "m")
    assert card.data["training"]["generated"] == {"gan": 7, "ldm": 5, "autoencoder_shuffle": 5}
    assert card.data["validation"] == {"real": {}, "generated": {}}
    assert (card.calibration.real_count, card.calibration.generated_count) == (14, 12)
    assert set(card.metrics) == {"out of fold", "rates"}
    assert (card.calibration.real_sources, card.calibration.generators) == (2, 2)
    assert cards[0].adapter_sha256 == cards[1].adapter_sha256
    assert not (tmp_path / "a" / "m" / ".aligned").exists()
