"""Every method learns a trace that was planted, and does not learn what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instruments import write_instruments
from planted import SIDE, auc, learn, write_data

from aigdetect.methods.loading import load_detector
from aigdetect.methods.registry import METHODS

# a few held-out images support no false-positive rate, and rank nothing where there is nothing to learn
pytestmark = [
    pytest.mark.usefixtures("plain_curves"),
    pytest.mark.filterwarnings("ignore:.*too few for a false-positive rate"),
    pytest.mark.filterwarnings("ignore:.*no better than chance"),
]

TINY = {"size": 32, "network": "test_resnet", "pretrained": False, "lr": 3e-3}
#: small settings of each method that has no tower, and the trace that it is made for
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "freqdct": ("upsampled", {"size": 32}),
    "freqdct-cnn": ("upsampled", {"size": 32, "epochs": 20}),
    "npr": ("upsampled", {"size": 32, "network": "test_resnet", "epochs": 5, "lr": 2e-3}),
    "cnnspot": ("checkered", {**TINY, "epochs": 16, "blur_probability": 0.1, "jpeg_probability": 0.1}),
    "cooccurrence": ("combed", {"size": 64, "levels": 32, "hidden": 16, "epochs": 8}),
    "freqspec": ("upsampled", {**TINY, "epochs": 8}),
    "gramnet": ("checkered", {**TINY, "epochs": 8}),
    "patchfor": ("checkered", {**TINY, "last": "layer2", "epochs": 12}),
    "aeroblade": ("upsampled", {"size": 64, "pretrained": False}),
    "dire": ("upsampled", {**TINY, "epochs": 8}),
    "lnp": ("checkered", {**TINY, "epochs": 8}),
    "lgrad": ("checkered", {**TINY, "epochs": 24, "lr": 5e-3}),
}
#: three standard deviations of the area on 40 images of each of two classes that are one
CHANCE = 3 * np.sqrt(81 / (12 * 40 * 40))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Path]:
    root = tmp_path_factory.mktemp("planted")
    return {
        trace: write_data(root / str(trace), trace) for trace in ("checkered", "upsampled", "combed", None)
    }


@pytest.fixture(scope="session")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What some methods look through."""
    return write_instruments(tmp_path_factory.mktemp("instruments"))


def test_every_method_is_tested_here() -> None:
    assert set(CASES) == {name for name, method in METHODS.items() if not method.reads_tower}


@pytest.mark.parametrize("method", CASES)
def test_a_planted_trace_is_learnt(
    method: str, data: dict[str | None, Path], instruments: dict[str, Path], tmp_path: Path
) -> None:
    trace, settings = CASES[method]
    instrument = instruments.get(method)
    card = learn(method, data[trace], tmp_path / "model", instrument=instrument, **settings)
    assert card.method == method
    assert card.backbone == "none"
    assert auc(tmp_path / "model", trace) > 0.95
    # a view gives the same logit bit for bit, whatever its neighbours
    detector = load_detector(tmp_path / "model", device="cpu")
    side = detector.network.size
    views = list(np.random.default_rng(0).integers(0, 256, (3, 1, side, side, 3), np.uint8))
    assert detector.logits(views) == [detector.logits([view])[0] for view in views]


@pytest.mark.parametrize("method", CASES)
def test_random_labels_are_not_learnt(
    method: str, data: dict[str | None, Path], instruments: dict[str, Path], tmp_path: Path
) -> None:
    _, settings = CASES[method]
    learn(method, data[None], tmp_path / "model", instrument=instruments.get(method), **settings)
    assert abs(auc(tmp_path / "model", None) - 0.5) < CHANCE


def test_images_of_the_tests_are_larger_than_a_view() -> None:
    assert all(settings.get("size", 0) <= SIDE for _, settings in CASES.values())
