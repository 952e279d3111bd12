from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aigdetect.errors import UsageError
from aigdetect.training.callbacks import Epoch, Log, Step
from aigdetect.training.curves import draw_curves, read_history, smoothed

LABELS, LOGITS = (0, 1, 0, 1), (0.1, 0.2, 0.3, 0.4)


def steps(count: int, blocks: int) -> list[Step]:
    rng = np.random.default_rng(0)
    loads = rng.dirichlet([1, 1, 1], size=(count, blocks)).tolist()
    return [
        Step(i + 1, 1, 0.7, 0.6, 1.5, 1e-3, tuple(tuple(load) for load in of_step))
        for i, of_step in enumerate(loads)
    ]


def write(path: Path, told: list[Step], labels: tuple[int, ...] = LABELS) -> None:
    log = Log(path)
    for step in told:
        log.step(step)
    log.epoch(Epoch(1, LOGITS, labels))
    log.close()


def test_a_log_comes_back_as_arrays(tmp_path: Path) -> None:
    told = steps(7, 2)
    write(tmp_path / "log", told)
    history = read_history(tmp_path / "log")
    for name in ("step", "bce", "balance", "lr", "load"):
        expected = np.array([asdict(step)[name] for step in told])
        assert np.array_equal(getattr(history, name), expected)
    assert [(step, epoch["auc"]) for step, epoch in history.epochs] == [(7, 0.75)]


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_every_router_has_a_panel(tmp_path: Path, blocks: int) -> None:
    write(tmp_path / "log", steps(30, blocks))
    draw_curves(read_history(tmp_path / "log"), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (1200, 600 + 220 * (-(-blocks // 3)))


def test_a_single_step_can_be_seen(tmp_path: Path) -> None:
    write(tmp_path / "log", steps(1, 1))
    draw_curves(read_history(tmp_path / "log"), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        panels = np.asarray(image.convert("RGB"), dtype=int)[620:800, 100:1000]  # the only router's
    assert (panels.max(axis=2) - panels.min(axis=2)).max() > 100  # the grid is grey, the experts are not


def test_figures_that_are_not_defined_leave_a_gap(tmp_path: Path) -> None:
    pictures = set()
    for labels in (LABELS, (1, 1, 1, 1), LABELS):  # the same log gives the same picture
        write(tmp_path / "log", steps(3, 1), labels)
        draw_curves(read_history(tmp_path / "log"), tmp_path / "curves.png")
        pictures.add((tmp_path / "curves.png").read_bytes())
    assert len(pictures) == 2


def test_the_moving_mean_is_the_mean_of_what_came_before() -> None:
    values = np.random.default_rng(0).normal(size=37)
    expected = [values[max(0, i - 9) : i + 1].mean() for i in range(37)]
    np.testing.assert_allclose(smoothed(values), expected, rtol=1e-12)


def test_a_log_goes_on_where_a_checkpoint_ended(tmp_path: Path) -> None:
    told = steps(6, 1)
    log = Log(tmp_path / "log")
    for step in told[:4]:
        log.step(step)
    kept = log.settle()
    log.step(told[5])
    log.close()
    log = Log(tmp_path / "log", keep=kept)
    log.step(told[4])
    log.close()
    assert read_history(tmp_path / "log").step.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(UsageError, match="was cut short since the checkpoint"):
        Log(tmp_path / "log", keep=10**6)
