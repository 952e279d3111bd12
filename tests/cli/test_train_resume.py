"""``aigdetect train --resume`` after a SIGKILL at any moment: the same files, byte for byte."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_forks import Done, Forks
from PIL import Image

from aigdetect.locks import LOCK_NAME

FILES = ("adapter.safetensors", "model.yaml", "training.sha256", "log.jsonl", "curves.png")
RECIPE = """
backbone: timm/test_vit
blocks: 2
shared_rank: 2
expert_ranks: [1, 2]
head_penalty: 0.1
epochs: 3
copies: 2
batch_size: 8
lr: 0.01
keep: best
"""
# module, attribute, number of the call at which the process is killed
WRITE = ("aigdetect.training.checkpoint", "write_atomically")
MOMENTS = {
    "while the first tokens are computed": ("aigdetect.training.token_store", "Table.add", 9),
    "before the first checkpoint": (*WRITE, 1),
    "in the first epoch": ("aigdetect.training.engine", "compute_gradients", 2),
    "between two checkpoints of an epoch": ("aigdetect.training.engine", "compute_gradients", 4),
    "while a step is logged": ("aigdetect.training.callbacks", "json.dumps", 12),
    "after validation": ("aigdetect.training.engine", "moments_of", 3),
    "while a checkpoint is written": ("os", "fsync", 8),
    "before the checkpoint is put in place": ("pathlib", "Path.replace", 6),
    "between the two generations": ("pathlib", "Path.replace", 8),
    "in the last epoch": ("aigdetect.training.engine", "compute_gradients", 12),
    "between adapter and card": ("aigdetect.training.model_folder", "write_card", 1),
    "before the curves": ("aigdetect.training.model_folder", "draw_curves", 1),
}


def kept(folder: Path) -> dict[str, bytes]:
    """What a run left behind, without the lock, which counts no longer."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK_NAME}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resume")
    rng = np.random.default_rng(0)
    board = 100 * (np.indices((64, 72)).sum(axis=0) // 4 % 2)[..., None]
    for kind, pattern in (("real", 0), ("fake", board)):
        folder = root / "data" / kind
        folder.mkdir(parents=True)
        for index in range(20):
            base = rng.integers(0, 150, (1, 1, 3)) + rng.integers(0, 40, (64, 72, 3))
            Image.fromarray((base + pattern).astype(np.uint8)).save(folder / f"{index}.png")
    (root / "recipe.yaml").write_text(RECIPE)
    return root


def train(forks: Forks, weights: Path, cwd: Path, *more: object, **options: Any) -> Done:
    cwd.mkdir(exist_ok=True)
    common = ["--data", "../data", "--config", "../recipe.yaml", "--out", "m", "--checkpoint-every", 2]
    where = ["--weights", weights, "--device", "cpu"]
    return forks.run("train", *common, *where, *more, cwd=cwd, drawn=False, **options)


def files(cwd: Path) -> dict[str, bytes]:
    assert sorted(path.name for path in (cwd / "m").iterdir()) == sorted(FILES)
    return {name: (cwd / "m" / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def uninterrupted(forks: Forks, work: Path, tiny_weights: Path) -> dict[str, bytes]:
    done = train(forks, tiny_weights, work / "whole")
    assert done.status == 0, done.stderr
    return files(work / "whole")


@pytest.fixture(scope="module")
def killed(forks: Forks, work: Path, tiny_weights: Path) -> Path:
    """A run that was killed in its second epoch."""
    cwd = work / "killed"
    kill = ("aigdetect.training.engine", "compute_gradients", 7)
    assert train(forks, tiny_weights, cwd, kill=kill).status == -signal.SIGKILL
    assert (cwd / "m" / "checkpoint.safetensors").exists()
    return cwd


@pytest.fixture
def stopped(killed: Path, work: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(killed, work / tmp_path.name))


@pytest.mark.parametrize("moment", MOMENTS)
def test_goes_on_bit_for_bit(
    forks: Forks, work: Path, tiny_weights: Path, uninterrupted: dict[str, bytes], moment: str
) -> None:
    cwd = work / moment.replace(" ", "-")
    killed = train(forks, tiny_weights, cwd, kill=MOMENTS[moment])
    assert killed.status == -signal.SIGKILL, killed.stderr
    resumed = train(forks, tiny_weights, cwd, "--resume")
    assert resumed.status == 0, resumed.stderr
    assert files(cwd) == uninterrupted


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_killed_again_and_again(forks: Forks, work: Path, tiny_weights: Path, cache: str) -> None:
    cwd = work / f"whole-{cache}"
    assert train(forks, tiny_weights, cwd, "--cache", cache).status == 0
    whole = files(cwd)
    cwd = work / f"often-{cache}"
    moments = [*MOMENTS.values()][{"disk": 0, "none": 1}[cache] :: 3]
    assert train(forks, tiny_weights, cwd, "--cache", cache, kill=moments[0]).status == -signal.SIGKILL
    for kill in moments[1:]:
        done = train(forks, tiny_weights, cwd, "--cache", cache, "--resume", kill=kill)
        # the later calls do not come any more where little is left to do
        assert done.status in (-signal.SIGKILL, 0), done.stderr
    done = train(forks, tiny_weights, cwd, "--cache", cache, "--resume")
    assert done.status == 0, done.stderr
    assert files(cwd) == whole


@pytest.mark.parametrize("damaged", [b"", b"short", None])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    forks: Forks, stopped: Path, tiny_weights: Path, uninterrupted: dict[str, bytes], damaged: bytes | None
) -> None:
    newest = stopped / "m" / "checkpoint.safetensors"
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(bytes(data) if damaged is None else damaged)
    resumed = train(forks, tiny_weights, stopped, "--resume")
    assert resumed.status == 0, resumed.stderr
    assert files(stopped) == uninterrupted


def test_a_full_disk_loses_no_checkpoint(
    forks: Forks, stopped: Path, tiny_weights: Path, uninterrupted: dict[str, bytes]
) -> None:
    newest = stopped / "m" / "checkpoint.safetensors"
    before = newest.read_bytes()
    full = train(forks, tiny_weights, stopped, "--resume", "-q", largest_file=len(before) // 2)
    assert full.status == 2
    assert full.stderr.splitlines() == [
        "error: m/checkpoint-next.safetensors: cannot be written (File too large)"
    ]
    assert newest.read_bytes() == before
    assert not list((stopped / "m").glob("*.part"))
    resumed = train(forks, tiny_weights, stopped, "--resume")
    assert resumed.status == 0, resumed.stderr
    assert files(stopped) == uninterrupted


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--resume", "--lr", "0.02"], "lr: 0.02 is not the 0.01 of m/checkpoint.safetensors"),
        (["--resume", "--samples", "20"], "samples: 20 is not the None of m/checkpoint.safetensors"),
        (["--resume", "--data", "../more"], "m/checkpoint.safetensors: was begun on other images"),
        ([], "m: holds a run that was stopped; add --resume to go on, or --force to start anew"),
        (["--resume", "--force"], "--force and --resume"),
    ],
)
def test_another_run_is_not_taken_up(
    forks: Forks, work: Path, tiny_weights: Path, stopped: Path, arguments: list[str], named: str
) -> None:
    if not (work / "more").exists():
        shutil.copytree(work / "data", work / "more")
        with Image.open(work / "more/real/3.png") as image:  # a copy of what is there would be no other image
            image.rotate(180).save(work / "more/real/new.png")
    before = kept(stopped / "m")
    done = train(forks, tiny_weights, stopped, "-q", *arguments)
    assert done.status == 2
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert kept(stopped / "m") == before


def test_force_starts_anew(
    forks: Forks, tiny_weights: Path, stopped: Path, uninterrupted: dict[str, bytes]
) -> None:
    assert train(forks, tiny_weights, stopped, "--force").status == 0
    assert files(stopped)["adapter.safetensors"] == uninterrupted["adapter.safetensors"]


def test_a_finished_run_stays_as_it_is(forks: Forks, work: Path, tiny_weights: Path) -> None:
    cwd = work / "finished"
    assert train(forks, tiny_weights, cwd).status == 0
    before = files(cwd)
    again = train(forks, tiny_weights, cwd, "--resume")
    assert again.status == 0
    assert again.stdout == "m\n"
    assert "m: finished already" in again.stderr
    assert files(cwd) == before
    other = train(forks, tiny_weights, cwd, "--resume", "--epochs", "9")
    assert other.status == 2
    assert "epochs: 9 is not the 3 of m/model.yaml" in other.stderr
    # other images are other images, also under the same names
    shutil.copytree(work / "data", work / "changed")
    with Image.open(work / "changed/real/3.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(work / "changed/real/3.png")
    for data in (["--data", "../changed"], []):
        if not data:  # a card of a program that did not note its images
            card = (cwd / "m/model.yaml").read_text()
            (cwd / "m/model.yaml").write_text(re.sub(r"\n *digest: \w{64}", "", card))
        refused = forks.run(
            *("train", *(data or ["--data", "../data"]), "--config", "../recipe.yaml", "--out", "m"),
            *("--weights", tiny_weights, "--device", "cpu", "--resume", "-q"),
            cwd=cwd,
        )
        assert refused.status == 2
        assert refused.stderr == (
            "error: m/model.yaml: was begun on other images than those given now; resume with the same, or "
            "start anew with --force\n"
            if data
            else "error: m/model.yaml: does not say of which images; choose another --out, or add --force\n"
        )


def test_a_run_goes_on_by_other_means(
    forks: Forks, stopped: Path, tiny_weights: Path, uninterrupted: dict[str, bytes]
) -> None:
    """What an error advises, such as ``--cache none``, is not refused afterwards."""
    means = ["--cache", "none", "--accumulate", "2", "--cache-budget", "1G", "--workers", "1"]
    done = train(forks, tiny_weights, stopped, "--resume", *means)
    assert done.status == 0, done.stderr
    assert b"cache" not in files(stopped)["model.yaml"]
    losses = [
        [json.loads(line)["loss"] for line in log.splitlines() if b"bce" in line]
        for log in (files(stopped)["log.jsonl"], uninterrupted["log.jsonl"])
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_folder_of_something_else_is_not_written_into(
    forks: Forks, work: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    cwd = work / "else"
    (cwd / "m").mkdir(parents=True)
    (cwd / "m" / "photo.png").write_bytes(b"")
    done = train(forks, tiny_weights, cwd, "--resume", "-q")
    assert done.status == 2
    assert "m: holds no run to go on with" in done.stderr
