"""The model that comes with the program, on the real backbone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import _build_vision_tower
from reference import add_bypasses, plain_logit
from safetensors.torch import load_file
from skimage import data as photographs
from sklearn.datasets import load_sample_images

from aigdetect.images.views import take_views
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import (
    ADAPTER_NAME,
    DEFAULT_MODEL,
    file_sha256,
    find_model_folder,
    read_card,
    shipped_models,
)
from aigdetect.model.detector import Detector
from aigdetect.model.learnt import LEARNT_NAME, read_learnt
from aigdetect.model.towers.arithmetic import choose_precision, precisions_of
from aigdetect.model.weights.find_weights import Weights

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def _all_processors() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def views() -> list[np.ndarray]:
    """The model's views of windows of real photographs."""
    photos = [
        photographs.astronaut(),
        photographs.coffee(),
        photographs.chelsea(),
        photographs.rocket(),
        *load_sample_images().images,
    ]
    names = read_card(find_model_folder(DEFAULT_MODEL)).preprocess.views
    return [take_views(photo[:, shift:], names, 224) for photo in photos for shift in (0, 100)]


@pytest.fixture(scope="module")
def exact(real_weights: Weights, views: list[np.ndarray]) -> list[float]:
    """Their logits in full precision."""
    return load(real_weights, "float32", 4).logits(views)


def load(weights: Weights, precision: str, batch_size: int = 4) -> Detector:
    return load_detector(weights=weights.path, device="cpu", precision=precision, batch_size=batch_size)


def test_every_shipped_adapter_is_what_its_card_says() -> None:
    assert DEFAULT_MODEL in shipped_models()
    for name in shipped_models():
        folder = find_model_folder(name)
        card = read_card(folder)
        assert card.name == name
        assert file_sha256(folder / ADAPTER_NAME) == card.adapter_sha256
        assert card.command.startswith("aigdetect train")


def test_the_backbone_is_the_one_it_was_trained_on(real_weights: Weights) -> None:
    assert read_card(find_model_folder(DEFAULT_MODEL)).backbone_digest == real_weights.digest


def plain_logits(weights: Weights, views: list[np.ndarray]) -> list[float]:
    """Images view by view through open_clip's own tower, with the bypasses added by hooks, written out."""
    config = open_clip.get_model_config("ViT-B-16-quickgelu")
    tower = _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu=True).eval()
    tower.load_state_dict(load_file(weights.path))
    folder = find_model_folder(DEFAULT_MODEL)
    adapter = load_file(folder / ADAPTER_NAME)
    mlps = {f"block{index}_mlp": tower.transformer.resblocks[index].mlp for index in (9, 10, 11)}
    add_bypasses(mlps, adapter, ranks=(8, 4, 8, 16))
    options = {
        "mean": open_clip.OPENAI_DATASET_MEAN,
        "std": open_clip.OPENAI_DATASET_STD,
        "head_blocks": read_card(folder).adapter.head_blocks,
    }
    return [
        float(
            np.mean(
                [
                    plain_logit(tower, adapter, view, place=place, **options)
                    for place, view in enumerate(image)
                ]
            )
        )
        for image in views
    ]


def test_float32_agrees_with_plain_open_clip_and_between_batch_sizes(
    real_weights: Weights, views: list[np.ndarray], exact: list[float]
) -> None:
    np.testing.assert_allclose(load(real_weights, "float32", 1).logits(views[:3]), exact[:3], atol=1e-3)
    np.testing.assert_allclose(load(real_weights, "float32", 7).logits(views), exact, atol=1e-3)
    np.testing.assert_allclose(exact[:3], plain_logits(real_weights, views[:3]), atol=1e-3)


def test_bfloat16_is_near_float32_and_the_same_whatever_the_neighbours(
    real_weights: Weights, views: list[np.ndarray], exact: list[float]
) -> None:
    if choose_precision("auto", torch.device("cpu")) != "bfloat16":
        views, exact = views[:2], exact[:2]  # it is emulated, and takes minutes
    detector = load(real_weights, "bfloat16")
    near = detector.logits(views)
    assert np.mean(np.abs(np.array(near) - exact)) < 0.05
    assert detector.logits(views[::-1]) == near[::-1]
    assert [detector.logits([view])[0] for view in views] == near


def test_int8_is_near_float32_and_the_same_whatever_the_neighbours(
    real_weights: Weights, views: list[np.ndarray], exact: list[float]
) -> None:
    if "int8" not in precisions_of(torch.device("cpu")):
        pytest.skip("INT8 NOT TESTED: not on this processor, or this torch")
    detector = load(real_weights, "int8")
    near = detector.logits(views)
    assert 0 < np.mean(np.abs(np.array(near) - exact)) < 0.2
    assert detector.logits(views[::-1]) == near[::-1]
    assert [detector.logits([view])[0] for view in views] == near


def test_the_examples_show_both_answers(real_weights: Weights) -> None:
    found = {path for path in (REPOSITORY / "examples").rglob("*") if path.suffix in {".png", ".jpg"}}
    generated = {path for path in found if path.parent.name == "generated"}
    assert (len(found - generated), len(generated)) == (4, 4)
    detector = load(real_weights, "float32")
    assert all(score.verdict != "ai" for score in detector.score(sorted(found - generated)))
    assert sum(score.verdict == "ai" for score in detector.score(sorted(generated))) >= 3


def test_no_model_has_learnt_from_the_examples() -> None:
    examples = [path for path in (REPOSITORY / "examples").rglob("*") if path.suffix in {".png", ".jpg"}]
    digests = {file_sha256(path) for path in examples}
    assert len(digests) == 8
    for name in shipped_models():
        folder = find_model_folder(name)
        learnt = read_learnt(folder)
        assert len(learnt) > 1000 or not (folder / LEARNT_NAME).exists()
        assert not learnt & digests
