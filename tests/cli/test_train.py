"""``aigdetect train`` as a process, on a tiny backbone; what it writes is then used by ``aigdetect scan``."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_forks import run
from PIL import Image

from aigdetect.model.card import read_card


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in the layout of CNNDetection; the generated images are striped."""
    root = tmp_path_factory.mktemp("work") / "progan"
    rng = np.random.default_rng(0)
    stripes = 120 * (np.arange(160) // 6 % 2)[None, :, None]
    for kind in ("cat", "dog"):
        for label, pattern in (("0_real", 0), ("1_fake", stripes)):
            folder = root / kind / label
            folder.mkdir(parents=True)
            for index in range(8):
                pixels = rng.integers(0, 120, (160, 160, 3)) + pattern
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return root


def options(tiny_model: Any) -> list[object]:
    return ["--backbone", tiny_model.backbone, "--weights", tiny_model.weights, "--device", "cpu"]


def test_figures_of_folds_are_called_what_they_are(data: Path, tiny_model: Any) -> None:
    arguments = ["--folds", "2", "--epochs", "1", "--blocks", "0", *options(tiny_model)]
    done = run("train", "--data", data.name, "--out", "folded", *arguments, cwd=data.parent)
    assert done.returncode == 0, done.stderr
    assert "training on 32 images, 2 folds" in done.stderr
    assert "epoch 1: out-of-fold AUC" in done.stderr
    assert "held-out" not in done.stderr  # nothing is
    assert list(read_card(data.parent / "folded").metrics) == ["out of fold", "rates"]


def test_of_groups_held_out_whole_no_worse_figures_are_foretold(
    data: Path, tiny_model: Any, tmp_path: Path
) -> None:
    for label in ("real", "fake"):
        for kind in ("cat", "dog"):
            images = data / kind / ("0_real" if label == "real" else "1_fake")
            shutil.copytree(images, tmp_path / "data" / label / f"{label}_{kind}")
    held = ["--hold-out", "real_dog", "--hold-out", "fake_dog"]
    arguments = [*held, "--epochs", "1", "--blocks", "0", *options(tiny_model)]
    done = run("train", "--data", "data", "--out", "held", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(none of a generator or source that was trained on)" in done.stderr
    assert "unseen ones will be lower" not in done.stderr


def test_trains_a_model_that_scan_takes(data: Path, tiny_model: Any) -> None:
    work = data.parent
    recipe = work / "recipe.yaml"
    recipe.write_text("epochs: 1\nblocks: 2\nlr: 1e-2\naugmentation:\n  symmetric: true\n")
    arguments = ["--config", recipe.name, "--epochs", "6", "--batch-size", "8", "--expert-ranks", "2,3", "-v"]
    done = run("train", "--data", data.name, "--out", "mine", *options(tiny_model), *arguments, cwd=work)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mine\n"
    assert "0_real/1_fake folders" in done.stderr
    assert "training on 26 images, 6 held out" in done.stderr
    assert "epoch 6: held-out AUC" in done.stderr
    assert "(generators that were trained on: unseen ones will be lower)" in done.stderr
    trained = 2 * (2 * 64 * (8 + 2 + 3) + 2 * 64) + 64 + 1  # two blocks of experts and router, and the head
    assert f"; {trained} parameters train" in done.stderr
    assert "Traceback" not in done.stderr
    card = read_card(work / "mine")
    assert card.command.startswith("aigdetect train --data progan --out mine --backbone timm/test_vit")
    assert (card.recipe["epochs"], card.recipe["blocks"], card.recipe["lr"]) == (6, 2, 0.01)
    assert card.recipe["augmentation"]["symmetric"] is True
    assert card.adapter.expert_ranks == (2, 3)
    scan = run(
        *("scan", data.name, "--csv", "out.csv", "--model", "mine", "--weights", tiny_model.weights, "-v"),
        cwd=work,
    )
    assert scan.returncode == 0, scan.stderr
    assert f"mine (adapter {card.adapter_sha256[:12]}) on {tiny_model.weights}, on cpu in " in scan.stderr
    with (work / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32
    assert {row["model"] for row in rows} == {"mine"}
    mean = {
        label: np.mean([float(row["logit"]) for row in rows if label in row["path"]])
        for label in ("0_real", "1_fake")
    }
    assert mean["1_fake"] > mean["0_real"]


def test_list_says_what_is_there_and_writes_nothing(data: Path) -> None:
    before = sorted(data.parent.iterdir())
    done = run("train", "--data", data.name, "--list", cwd=data.parent)
    assert done.returncode == 0, done.stderr
    assert "0_real/1_fake folders" in done.stderr
    assert sorted(data.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--data", "none", "--out", "m"], "none"),
        (["--data", "progan/cat/0_real", "--out", "m"], "only real images"),
        (["--data", "progan"], "--out"),
        (["--data", "progan", "--out", "m", "--shared-rank", "-1"], "shared_rank: -1"),
        (["--data", "progan", "--out", "m", "--expert-ranks", "4,x"], "'x'"),
        (["--data", "progan", "--out", "m", "--blocks", "some"], "'some'"),
        (["--data", "progan", "--out", "m", "--lr", "-1"], "lr: -1"),
        (["--data", "progan", "--out", "m", "--modules", "head"], "modules: ['head']"),
        (["--data", "progan", "--out", "m", "--config", "none.yaml"], "none.yaml"),
        (["--data", "progan", "--out", "m", "--backbone", "ViT-B-61"], "ViT-B-61"),
        (["--data", "progan", "--out", "progan"], "progan: is in use"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(data: Path, arguments: list[str], named: str) -> None:
    done = run("train", *arguments, "--quiet", cwd=data.parent)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert not (data.parent / "m").exists()
