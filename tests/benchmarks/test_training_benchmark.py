"""The training benchmark on a tiny tower: all three ways train, and are told apart."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]


def benchmark(work: Path, tiny_model: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    tower = ["--backbone", tiny_model.backbone, "--weights", str(tiny_model.weights)]
    fixed = ["--images", "8", "--batch-size", "4", "--rounds", "1", "--threads", "1"]
    script = REPOSITORY / "benchmarks" / "training.py"
    return command_forks.run("data", *fixed, *tower, *arguments, cwd=work, script=script)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("real", "fake"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for index in range(5):
            Image.fromarray(rng.integers(0, 256, (170, 170, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path


def test_three_ways_side_by_side(work: Path, tiny_model: Any) -> None:
    pytest.importorskip("peft", reason="NOT COMPARED WITH PEFT: it is not installed")
    done = benchmark(work, tiny_model, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert "8 images, 1 threads, float32" in done.stdout
    rows = {}
    for way in ("kept", "not kept", "plain loop"):
        (row,) = re.findall(rf"^\W*{way}\s[^\n]*$", done.stdout, flags=re.MULTILINE)
        rows[way] = [float(number) for number in re.findall(r"\d+\.?\d*", row)]
    assert all(len(row) == 8 and row[0] > 0 and row[-1] > 0 for row in rows.values())
    assert rows["plain loop"][3] == rows["plain loop"][4] == 1  # to itself


def test_one_epoch_is_not_enough(work: Path, tiny_model: Any) -> None:
    done = benchmark(work, tiny_model, "--epochs", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --epochs: the first one is not counted; give 2 or more\n"
