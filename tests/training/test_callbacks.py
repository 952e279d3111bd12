from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from aigdetect.errors import UsageError
from aigdetect.training.callbacks import (
    COLLAPSE_STEPS,
    CollapseWatch,
    Epoch,
    Step,
    Watch,
    chain,
    tensorboard_watch,
)


def step(number: int, *load: tuple[float, ...]) -> Step:
    return Step(number, 1, 0.5, 0.4, 2.0, 1e-3, load)


def test_a_collapsed_router_is_named_once() -> None:
    said: list[str] = []
    watch = CollapseWatch(said.append)
    for number in range(1, 3 * COLLAPSE_STEPS):
        watch.step(step(number, (0.5, 0.5), (0.05, 0.95), (1.0,)))
    assert len(said) == 1
    assert said[0].startswith(f"router 2 of 3 has collapsed by step {COLLAPSE_STEPS}: expert 2 got 95%")


def test_a_few_steps_and_a_lean_are_no_collapse() -> None:
    said: list[str] = []
    watch = CollapseWatch(said.append)
    for number in range(1, 3 * COLLAPSE_STEPS):
        watch.step(step(number, (1.0, 0.0) if number < 5 else (0.8, 0.2)))
    assert said == []


def test_all_are_told() -> None:
    told: list[str] = []
    both = chain(*(Watch(warn=lambda text, name=name: told.append(name + text)) for name in "ab"))
    both.warn("!")
    both.stage("x", 1)
    assert told == ["a!", "b!"]


def test_tensorboard_shows_what_was_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TENSORBOARD NOT TESTED: it is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard_watch(tmp_path / "tb", after=0) as watch:
        for number in (1, 2, 3):
            watch.step(step(number, (0.25, 0.75)))
        watch.epoch(Epoch(1, (0.1, 0.2, 0.3, 0.4), (0, 1, 0, 1)))
    shown = EventAccumulator(str(tmp_path / "tb"))
    shown.Reload()
    assert [(event.step, event.value) for event in shown.Scalars("loss/bce")] == [
        (number, pytest.approx(0.4)) for number in (1, 2, 3)
    ]
    assert shown.Scalars("load/router 1/expert 2")[0].value == 0.75
    assert [(event.step, event.value) for event in shown.Scalars("held-out/auc")] == [(3, 0.75)]


def test_without_tensorboard_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(UsageError, match="pip install tensorboard"),
        tensorboard_watch(tmp_path, after=0),
    ):
        pass


def test_epochs_that_rank_alike_are_told_apart_by_their_loss() -> None:
    labels = (0, 0, 1, 1)
    hesitant = Epoch(1, (-0.1, -0.2, 0.1, 0.2), labels)
    clear = Epoch(2, (-3.0, -4.0, 3.0, 4.0), labels)
    wrong = Epoch(3, (1.0, 0.0, 0.5, 9.0), labels)
    assert hesitant.metrics["average_precision"] == clear.metrics["average_precision"] == 1.0
    assert clear.quality > hesitant.quality > wrong.quality
    expected = F.binary_cross_entropy_with_logits(torch.tensor(clear.logits), torch.tensor(labels).float())
    assert clear.quality == (1.0, pytest.approx(-float(expected)))


def test_epochs_are_compared_by_more_digits_than_are_told() -> None:
    generated = tuple(map(float, range(20_000)))
    labels = (*(1 for _ in generated), 0)
    early, late = (Epoch(1, (*generated, place), labels) for place in (9_999.5, 4_999.5))
    assert early.metrics["average_precision"] == late.metrics["average_precision"] == 1.0
    assert early.quality[0] < late.quality[0] < 1.0
