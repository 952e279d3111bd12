"""What a GPU changes: on one where there is one, and what can be told without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from aigdetect.data.layouts import find_samples
from aigdetect.model.towers.arithmetic import choose_precision
from aigdetect.training.callbacks import Step, Watch
from aigdetect.training.distributed import ALONE
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.train_model import train_model
from aigdetect.training.trunk_outputs import ComputedOutputs, FrozenPass, images_at_once

CUDA = torch.device("cuda")


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_is_taken_where_the_card_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision("auto", CUDA) == precision


class Recorded:
    """Stands in for the frozen part on a device, and notes how many views come at once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.shape = SimpleNamespace(trunk=(3,))
        self.passes: list[int] = []

    def trunk(self, views: list[Any]) -> torch.Tensor:
        self.passes.append(len(views))
        return torch.tensor([[float(view.flat[0])] * 3 for view in views])


def numbered(wanted: Iterable[tuple[int, int | None]]) -> Iterator[Any]:
    """Two views of every image, each filled with the image's number."""
    return (np.full((2, 4, 4, 3), index, dtype=np.uint8) for index, _ in wanted)


@pytest.mark.parametrize(("device", "expected"), [("cpu", [16] * 5), ("cuda", [80])])
def test_views_of_many_images_go_through_a_gpu_together(device: str, expected: list[int]) -> None:
    frozen = Recorded(torch.device(device))
    outputs = ComputedOutputs(numbered, cast("FrozenPass", frozen), [0], [0] * 40, ALONE)
    if device == "cuda":  # what comes back lies on this machine all the same
        assert images_at_once(CUDA, 2) == 128
    ((trunk, indices),) = outputs.batches([torch.arange(40)], 0)
    assert frozen.passes == expected
    assert indices == list(range(40))
    assert trunk[:, 1, 0].tolist() == list(map(float, range(40)))


def test_a_gpu_takes_as_many_images_as_fill_a_pass() -> None:
    assert [images_at_once(CUDA, views) for views in (1, 2, 8, 1000)] == [256, 128, 32, 1]
    assert images_at_once(torch.device("cpu"), 1) == images_at_once(torch.device("cpu"), 4) == 8


@pytest.fixture
def gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("CUDA NOT TESTED: this machine has no GPU")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_gpu_learns_what_a_cpu_learns(tiny_weights: Path, tmp_path: Path, cache: str) -> None:
    rng = np.random.default_rng(0)
    board = 100 * (np.indices((64, 72)).sum(axis=0) // 4 % 2)[..., None]
    for kind, pattern in (("real", 0), ("fake", board)):
        folder = tmp_path / "data" / kind
        folder.mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 150, (64, 72, 3)) + pattern
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    settings = {"backbone": "timm/test_vit", "blocks": 2, "epochs": 2, "batch_size": 8, "lr": 0.01}
    recipe = make_recipe(settings, {"precision": "float32", "cache": cache, "head_penalty": 0.1, "copies": 2})
    split = split_data([find_samples(tmp_path / "data")], recipe)
    losses = []
    for device in ("cpu", "cuda"):
        steps: list[Step] = []
        options, watch = RunOptions(device, tiny_weights), Watch(step=steps.append)
        train_model(split, recipe, tmp_path / device, options, watch=watch)
        losses.append([step.loss for step in steps])
    np.testing.assert_allclose(*losses, rtol=1e-2)
