"""What is said before a run: counts that are those of the run, and times that follow from the speeds."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigdetect.data.layouts import find_samples
from aigdetect.errors import UsageError
from aigdetect.training import estimate as estimates
from aigdetect.training.callbacks import Watch
from aigdetect.training.estimate import Estimate, Speed, Work, estimate
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.train_model import train_model
from aigdetect.training.trunk_outputs import FrozenPass

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for a false-positive rate")
SMALL = {"backbone": "timm/test_vit", "blocks": 1, "epochs": 3, "copies": 2, "batch_size": 4}


def test_time_is_between_what_overlaps_and_what_does_not() -> None:
    work = Work(images=10, decoded=20, frozen=40, trained=100, scored=50)
    made = estimate(work, Speed(decode=8.0, frozen=2.0, rest=1.0), threads=4, kept=3 << 29, place=None)
    assert made.seconds == (max(80, 160 / 4) + 50 + 2 * 100, 80 + 160 + 50 + 4 * 100)
    assert str(made) == (
        "10 images, 40 views for the frozen tower: about 6 min to 12 min as quick as the machine is now; "
        "1.5 GiB kept in memory"
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("real", "fake"):
        folder = tmp_path / "data" / kind
        folder.mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "data"


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
@pytest.mark.parametrize(
    "settings",
    [
        {"folds": None},
        {"folds": 2},
        # what folds leave out is seen in training, too, through some of the views
        {"folds": 2, "plain_copy": True},
        {"folds": 2, "plain_copy": True, "views": ["center_crop", "top_left", "whole"]},
    ],
)
def test_views_are_counted_as_they_are_computed(
    data: Path,
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache: str,
    settings: dict[str, Any],
) -> None:
    recipe = make_recipe(SMALL, {"cache": cache, **settings})
    split = split_data([find_samples(data)], recipe)
    said: list[Estimate] = []
    seen: list[int] = []
    trunk = FrozenPass.trunk

    def counted(self: FrozenPass, views: Any) -> Any:
        seen.append(len(views))
        return trunk(self, views)

    def train(folder: str, **options: Any) -> int:
        said.clear()
        seen.clear()
        watch = Watch(estimate=lambda told: (said.append(told), seen.clear()))
        train_model(split, recipe, tmp_path / folder, RunOptions("cpu", tiny_weights, **options), watch=watch)
        return sum(seen)

    monkeypatch.setattr(FrozenPass, "trunk", counted)
    computed = train("a")
    (told,) = said
    assert told.work.images == 20
    assert 0 < told.seconds[0] < told.seconds[1]
    assert told.work.frozen == computed
    if cache == "disk":
        assert train("b", cache_folder=tmp_path / "tokens") == computed
        rows = sum(file.stat().st_size for file in (tmp_path / "tokens").rglob("*.rows"))
        assert told.kept == said[0].kept == rows
        assert train("c", cache_folder=tmp_path / "tokens") == 0 == said[0].work.frozen


def test_what_the_disk_does_not_hold_is_refused_at_once(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(SMALL, {"cache": "disk"})
    split = split_data([find_samples(data)], recipe)
    free = SimpleNamespace(free=1 << 16)
    monkeypatch.setattr(estimates, "shutil", SimpleNamespace(disk_usage=lambda place: free))
    with pytest.raises(
        UsageError, match=r"of tokens do not fit into .*\.tokens, where 0 MiB are free; use fewer"
    ):
        train_model(split, recipe, tmp_path / "m", RunOptions("cpu", tiny_weights))
    assert not list((tmp_path / "m").glob(".*"))
    free.free = shutil.disk_usage(tmp_path).free
    train_model(split, recipe, tmp_path / "m", RunOptions("cpu", tiny_weights))
