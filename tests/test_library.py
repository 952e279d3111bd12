"""What other programs call: the names, and that they do what the commands do."""

from __future__ import annotations

import inspect
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aigdetect
from aigdetect.errors import UsageError

NAMES = {"Detector", "Score", "__version__", "evaluate", "find_samples", "load_detector", "train"}


def test_the_public_names_are_there_and_say_what_they_are() -> None:
    assert set(aigdetect.__all__) == NAMES
    for name in NAMES - {"__version__"}:
        said = inspect.getdoc(getattr(aigdetect, name))
        assert said is not None
        if inspect.isfunction(getattr(aigdetect, name)):
            parameters = inspect.signature(getattr(aigdetect, name)).parameters
            assert [each for each in parameters if f"{each}: " not in said] == []
            assert "Raises:" in said
    with pytest.raises(AttributeError, match="no attribute 'scan'"):
        aigdetect.scan  # noqa: B018 - the look-up is what is tested


@pytest.mark.filterwarnings("ignore:.*too few for a false-")
def test_a_model_is_trained_and_measured(tiny_model: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    board = 100 * (np.indices((64, 72)).sum(axis=0) // 4 % 2)[..., None]
    for kind, pattern in (("real", 0), ("fake", board)):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 150, (64, 72, 3)) + pattern
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"data/{kind}/{index}.png")
    recipe = {"backbone": tiny_model.backbone, "blocks": 0, "epochs": 2, "lr": 0.05}
    where = {"weights": tiny_model.weights, "device": "cpu"}
    card = aigdetect.train(recipe, tmp_path / "data", tmp_path / "mine", **where)
    assert card.name == "mine"
    assert (tmp_path / "mine" / "adapter.safetensors").exists()
    with pytest.raises(UsageError, match="mine: is in use"):
        aigdetect.train(recipe, tmp_path / "data", tmp_path / "mine", **where)
    again = aigdetect.train(recipe, tmp_path / "data", tmp_path / "mine", resume=True, **where)
    assert again.as_dict() == card.as_dict()
    found = aigdetect.evaluate(tmp_path / "data", str(tmp_path / "mine"), resamples=0, **where)
    (measured,) = found.detectors
    assert len(measured.scores) == len(aigdetect.find_samples(tmp_path / "data").samples) == 24
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(tmp_path / "data", "")
    packed = aigdetect.evaluate(tmp_path / "data.tar", str(tmp_path / "mine"), resamples=0, **where)
    assert packed.detectors[0].scores == measured.scores
    detector = aigdetect.load_detector(tmp_path / "mine", **where)
    for image, score in zip(found.images, measured.scores, strict=True):
        assert score.score == pytest.approx(detector.score(image.path)[0].logit, abs=1e-3)
