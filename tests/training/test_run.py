"""What a run owns: its folder, its log and its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.locks import LOCK_NAME
from aigdetect.training import checkpoint
from aigdetect.training.callbacks import Epoch, Step, Watch
from aigdetect.training.checkpoint import Checkpoints, RunIdentity, State, digest_images, random_state
from aigdetect.training.distributed import Group
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.run import Run

IDENTITY = RunIdentity(make_recipe().defining(), "backbone", "images", "aigdetect train --data first")
STEP = Step(1, 1, 0.5, 0.4, 2.0, 1e-3, ())


def state(epoch: int) -> State:
    return State(epoch, 0, epoch, None, {"head.bias": torch.zeros(1)}, {}, random_state())


def stopped(folder: Path) -> None:
    """Leave what a run leaves that was stopped after its first epoch, and has logged a step since."""
    with Run(folder, IDENTITY).opened() as run, run.recorded() as recorded:
        recorded.save(state(0))
        recorded.watch.step(STEP)
        recorded.save(state(2))
        recorded.watch.step(STEP)


def test_a_run_goes_on_from_its_checkpoint_with_the_command_that_it_began_with(tmp_path: Path) -> None:
    stopped(tmp_path)
    lines = (tmp_path / "log.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    again = Run(tmp_path, RunIdentity(IDENTITY.recipe, "backbone", "images"), RunOptions(resume=True))
    with again.opened() as run:
        assert run.begun is not None
        assert run.begun.state.epoch == 2
        assert run.identity.command == IDENTITY.command
        with run.recorded():
            pass
    # what came after the checkpoint happens again
    assert (tmp_path / "log.jsonl").read_bytes() == lines[0]


def test_a_run_that_begins_anew_takes_the_place_of_another(tmp_path: Path) -> None:
    stopped(tmp_path)
    assert len(Checkpoints(tmp_path).present()) == 2
    with Run(tmp_path, IDENTITY).opened() as run, run.recorded() as recorded:
        assert run.begun is None
        recorded.save(state(0))
    assert len(Checkpoints(tmp_path).present()) == 1
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_the_checkpoint_of_another_run_is_refused_and_stays(tmp_path: Path) -> None:
    stopped(tmp_path)
    before = Checkpoints(tmp_path).newest.read_bytes()
    other = Run(tmp_path, RunIdentity(IDENTITY.recipe, "backbone", "others"), RunOptions(resume=True))
    with pytest.raises(UsageError, match="was begun on other images"), other.opened():
        pass
    assert Checkpoints(tmp_path).newest.read_bytes() == before
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_checkpoint_of_another_version_is_named_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    stopped(tmp_path)
    monkeypatch.undo()
    before = Checkpoints(tmp_path).newest.read_bytes()
    with pytest.raises(
        UsageError, match=r"checkpoint\.safetensors: checkpoint version 2 is not 3, .*--force"
    ):
        Checkpoints(tmp_path).read()
    assert Checkpoints(tmp_path).newest.read_bytes() == before


def test_of_the_model_of_a_fold_only_stages_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    told: list[object] = []
    watch = Watch(stage=lambda name, total: told.append((name, total)), step=told.append, epoch=told.append)
    with Run(tmp_path, IDENTITY, watch=watch).recorded() as run:
        fold = run.of_fold("fold 1 of 2")
        fold.watch.stage("epoch 1 of 1", 8)
        fold.watch.step(STEP)
        fold.watch.epoch(Epoch(1, (0.0, 1.0), (0, 1)))
        fold.save(state(1))
    assert told == [("fold 1 of 2: epoch 1 of 1", 8)]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b""]


def test_of_several_processes_only_the_first_writes(tmp_path: Path) -> None:
    run = Run(tmp_path, IDENTITY, group=Group(rank=1, size=2))
    with run.recorded() as recorded:
        recorded.save(state(0))
        recorded.watch.step(STEP)
    assert not list(tmp_path.iterdir())


def test_a_run_is_about_images_and_all_that_folds_and_kinds_go_by() -> None:
    def digest(**said: str) -> str:
        return digest_images([Sample("a.png", 0, "one", **said)], contents={"a.png": b"1"})

    told = [digest(), digest(repository="r"), digest(kind="r"), digest(repository="r", kind="document")]
    assert len(set(told)) == 4
    # of images of which no more is known, as in every run of before
    assert digest() == "ac21265fe990037f4d4b882309e5321886885816b95208d72cd9b1d14b70df32"
