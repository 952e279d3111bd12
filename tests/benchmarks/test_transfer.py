"""The benchmark of unseen generators on a tiny model: its figures are scikit-learn's of the same scores."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from aigdetect.methods.loading import load_detector
from aigdetect.model.card import read_card

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Noise by two generators, and real noise."""
    rng = np.random.default_rng(0)
    for name in ("one/0_real", "one/1_fake", "two/1_fake"):
        folder = tmp_path / "held" / name
        folder.mkdir(parents=True)
        for index in range(IMAGES):
            pixels = rng.integers(0, int(rng.integers(40, 256)), (170, 170, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "held"


@pytest.mark.usefixtures("cached_tower")
def test_figures_are_those_of_the_scores(tiny_model: Any, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model.folder, folder)
    ran = command_forks.run(
        *(data, f"mine={folder}", "--operations", "jpeg:75", "--precision", "float32", "--write", "mine"),
        script=REPOSITORY / "benchmarks" / "transfer.py",
    )
    assert ran.returncode == 0, ran.stderr
    assert "jpeg:75" in ran.stdout
    detector = load_detector(folder, precision="float32")

    def logits(name: str) -> list[float]:
        paths = [data / name / f"{index}.png" for index in range(IMAGES)]
        return [score.logit for score in detector.score(paths)]

    real, one, two = map(logits, ("one/0_real", "one/1_fake", "two/1_fake"))
    told = read_card(folder).metrics["held"]
    labels = [0] * IMAGES + [1] * 2 * IMAGES
    assert told["auc"] == pytest.approx(roc_auc_score(labels, real + one + two), abs=1e-4)
    half = labels[: 2 * IMAGES]
    means = {
        "mean_auc": [roc_auc_score(half, real + each) for each in (one, two)],
        "mean_average_precision": [average_precision_score(half, real + each) for each in (one, two)],
    }
    for name, values in means.items():
        assert told[name] == pytest.approx(np.mean(values), abs=1e-4)
    assert told["auc_by_generator"] == pytest.approx(
        dict(zip(("one", "two"), means["mean_auc"], strict=True)), abs=1e-4
    )
    assert (told["real"], told["generated"]) == (IMAGES, 2 * IMAGES)
