"""Options that are settings of the recipe: each reaches it, and none is taken for another."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_forks import Forks

from aigdetect.cli.recipe_options import RECIPE_OPTIONS, RecipeOption

#: what is given, and the setting that comes of it, where that is not 7
GIVEN: dict[str, tuple[str, Any]] = {
    "backbone": ("ViT-B-32", "ViT-B-32"),
    "blocks": ("all", None),  # as many as there are
    "modules": ("mlp,attention", ["mlp", "attention"]),
    "expert_ranks": ("2,4", [2, 4]),
    "views": ("whole", ["whole"]),
    "head_views": ("own", "own"),
    "validation": ("0.25", 0.25),
    "hold_out": ("coco", ["coco"]),
    "aligned": ("shuffle", ["shuffle"]),
    "keep": ("best", "best"),
    "cache": ("disk", "disk"),
    "cache_budget": ("2M", 2 << 20),
    "precision": ("float32", "float32"),
}
#: what others need beside them
BESIDE = {"head_views": ["--views", "center_crop,whole"], "source_penalty": ["--head-penalty", "1"]}


@functools.cache
def settings(forks: Forks, *options: str) -> dict[str, Any]:
    """The recipe that comes of options; settings of augmentation beside the others."""
    done = forks.run("train", "--print-config", *options, cwd=Path.cwd())
    assert done.status == 0, done.stderr
    recipe = yaml.safe_load(done.stdout)
    return recipe.pop("augmentation") | recipe


@pytest.mark.parametrize("option", RECIPE_OPTIONS, ids=lambda option: option.name)
def test_an_option_sets_its_setting_and_no_other(option: RecipeOption, forks: Forks) -> None:
    word, expected = GIVEN.get(option.name, ("7", 7))
    flag, beside = "--" + option.name.replace("_", "-"), BESIDE.get(option.name, [])
    given, expected = ([flag], True) if option.kind is bool else ([flag, word], expected)
    before, after = settings(forks, *beside), settings(forks, *beside, *given)
    assert {name: value for name, value in after.items() if before[name] != value} == {option.name: expected}
    if option.kind is bool:
        assert settings(forks, *given, f"--no-{flag[2:]}") == before


def test_an_option_may_have_another_name_and_come_several_times(forks: Forks) -> None:
    found = settings(forks, "--max-steps", "9", "--hold-out", "a", "--hold-out", "b")
    assert (found["steps"], found["hold_out"]) == (9, ["a", "b"])
