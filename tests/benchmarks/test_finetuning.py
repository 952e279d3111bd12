"""The benchmark of further training on a tiny model: what it prints are scikit-learn's figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from aigdetect.methods.loading import load_detector

REPOSITORY = Path(__file__).resolve().parents[2]


def noise(folder: Path, count: int, rng: np.random.Generator, most: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{index}.png" for index in range(count)]
    for path in paths:
        pixels = rng.integers(0, int(rng.integers(most // 2, most)), (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.usefixtures("cached_tower")
def test_what_is_measured_before_and_after_further_training(tiny_model: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise(tmp_path / "mine" / "bright" / "0_real", 8, rng, 120)
    noise(tmp_path / "mine" / "bright" / "1_fake", 10, rng, 250)
    real = noise(tmp_path / "rest" / "other" / "0_real", 6, rng, 120)
    fake = noise(tmp_path / "rest" / "other" / "1_fake", 6, rng, 120)
    ran = command_forks.run(
        *(tmp_path / "mine", "bright", "--rest", tmp_path / "rest", "--model", tiny_model.folder),
        *("--images", "6", "--", "--epochs", "1", "--copies", "1", "--batch-size", "4", "--quiet"),
        script=REPOSITORY / "benchmarks" / "finetuning.py",
    )
    assert ran.returncode == 0, ran.stderr
    logits = [score.logit for score in load_detector(tiny_model.folder).score([*real, *fake])]
    before = roc_auc_score([0] * 6 + [1] * 6, logits)
    (rest,) = re.findall(r"12 images of rest.*?(\d\.\d{4}).*?(\d\.\d{4}).*?([+-]\d\.\d{4})", ran.stdout)
    assert float(rest[0]) == pytest.approx(before, abs=1e-4)
    assert float(rest[2]) == pytest.approx(float(rest[1]) - float(rest[0]), abs=2e-4)
    assert "4 others of bright" in ran.stdout


@pytest.mark.usefixtures("cached_tower")
def test_too_few_new_images_are_said(tiny_model: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise(tmp_path / "mine" / "bright" / "0_real", 2, rng, 120)
    noise(tmp_path / "mine" / "bright" / "1_fake", 2, rng, 250)
    ran = command_forks.run(
        *(tmp_path / "mine", "bright", "--rest", tmp_path / "mine", "--model", tiny_model.folder),
        script=REPOSITORY / "benchmarks" / "finetuning.py",
    )
    assert ran.returncode != 0
    assert "2 new images of bright, 2 real ones" in ran.stderr
