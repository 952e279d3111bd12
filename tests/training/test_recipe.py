from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from aigdetect.errors import UsageError
from aigdetect.training.recipe import Recipe, make_recipe, read_recipe, read_settings, write_recipe


def test_defaults_are_the_papers() -> None:
    recipe = make_recipe()
    assert (recipe.lr, recipe.balance_weight, recipe.blocks) == (6e-4, 0.01, 3)
    assert (recipe.shared_rank, recipe.expert_ranks, recipe.modules) == (8, (4, 8, 16), ("mlp",))
    assert (recipe.augmentation.blur_probability, recipe.augmentation.jpeg_probability) == (0.1, 0.1)
    assert (recipe.augmentation.blur_sigma, recipe.augmentation.jpeg_quality) == ((0, 3), (30, 100))
    assert not recipe.augmentation.symmetric


def test_later_layers_win_and_the_augmentation_may_stand_beside_or_inside() -> None:
    file = {"lr": 1e-3, "epochs": 2, "augmentation": {"symmetric": True, "flip_probability": 0.0}}
    recipe = make_recipe(file, {"epochs": 5, "flip_probability": 0.25, "expert_ranks": [2, 2]})
    assert (recipe.lr, recipe.epochs, recipe.expert_ranks) == (1e-3, 5, (2, 2))
    assert (recipe.augmentation.symmetric, recipe.augmentation.flip_probability) == (True, 0.25)


def test_a_recipe_survives_yaml(tmp_path: Path) -> None:
    recipe = make_recipe({"blocks": None, "alpha": 16, "symmetric": True, "samples": 100})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(_plain(recipe.as_dict())))
    assert make_recipe(read_recipe(path)) == recipe


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def test_yaml_reads_exponents_as_text(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("lr: 6e-4\n")
    assert make_recipe(read_recipe(path)).lr == 6e-4


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"epoch": 3}, "epoch: unknown setting"),
        ({"augmentation": {"blur": 1}}, "augmentation.blur: unknown setting"),
        ({"augmentation": 3}, "augmentation: 3"),
        ({"epochs": 0}, "epochs: 0"),
        ({"epochs": -1, "head_penalty": 1.0}, "epochs: -1"),
        ({"head_penalty": 0.0}, "head_penalty: 0.0"),
        ({"head_blocks": -1}, "head_blocks: -1"),
        ({"head_blocks": 1, "depth": 0}, "depth: 0"),
        ({"merged_share": 0.6}, "merged_share: 0.6"),
        ({"merge_after": -1}, "merge_after: -1"),
        ({"head_loss": "hinge", "head_penalty": 1.0}, "head_loss: 'hinge'"),
        ({"head_loss": "squares"}, "head_loss: needs head_penalty"),
        ({"head_kernel": "cubic", "head_penalty": 1.0}, "head_kernel: 'cubic'"),
        ({"head_kernel": "quadratic"}, "head_kernel: needs head_penalty"),
        (
            {"head_kernel": "quadratic", "head_penalty": 1.0},
            "head_kernel: quadratic needs head_loss: squares",
        ),
        ({"views": ["top"]}, "views: ['top']"),
        ({"views": []}, "views: []"),
        ({"epochs": "many"}, "epochs: 'many'"),
        ({"epochs": 1.5}, "epochs: 1.5"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"lr": -1.0}, "lr: -1.0"),
        ({"lr": 0}, "lr: 0"),
        ({"weight_decay": -0.1}, "weight_decay: -0.1"),
        ({"lr": float("nan")}, "lr: nan"),
        ({"lr": float("inf")}, "lr: inf"),
        ({"balance_weight": float("inf")}, "balance_weight: inf"),
        ({"schedule": "linear"}, "schedule: 'linear'"),
        ({"keep": "first"}, "keep: 'first'"),
        ({"patience": 0}, "patience: 0"),
        ({"accumulate": 0}, "accumulate: 0"),
        ({"accumulate": 9, "batch_size": 8}, "accumulate: 9"),
        ({"cache_budget": -1}, "cache_budget: -1"),
        ({"samples_per_class": 0}, "samples_per_class: 0"),
        ({"samples": 8, "samples_per_class": 4}, "samples_per_class: 4"),
        ({"cache": "gpu"}, "cache: 'gpu'"),
        ({"source_penalty": 1.0}, "source_penalty: needs head_penalty"),
        ({"source_penalty": -1.0, "head_penalty": 1.0}, "source_penalty: -1.0"),
        ({"aligned": ["bilinear"]}, "aligned: 'bilinear'"),
        ({"aligned": ["decoders/here"]}, "aligned: 'decoders/here' is none of transposed, shuffle"),
        ({"aligned_images": 0}, "aligned_images: 0"),
        ({"folds": 1}, "folds: 1"),
        ({"folds": "sources"}, "folds"),
        ({"seed": 2**63}, "seed: 9223372036854775808 is above 9223372036854775807"),
        ({"folds": 2, "scored_per_group": 0}, "scored_per_group: 0"),
        ({"scored_per_group": 8}, "scored_per_group: needs folds"),
        ({"folds": 3, "keep": "best"}, "folds: with them no image is held out"),
        ({"validation": 1.0}, "validation: 1.0"),
        ({"warmup": 1.0}, "warmup: 1.0"),
        ({"samples": 1}, "samples: 1"),
        ({"expert_ranks": "4,8"}, "expert_ranks: '4,8'"),
        ({"blur_probability": 2}, "blur_probability: 2"),
        ({"jpeg_quality": [90, 30]}, "jpeg_quality: 90..30"),
        ({"jpeg_quality": [30]}, "augmentation.jpeg_quality"),
    ],
)
def test_impossible_settings_name_key_and_value(settings: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_recipe(settings)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[1]", "a: [", "just text"])
def test_what_is_no_recipe(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"recipe\.yaml"):
        read_recipe(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        read_recipe(tmp_path / "none.yaml")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("")
    assert make_recipe(read_recipe(path)) == Recipe()


def test_how_a_run_is_carried_out_does_not_define_its_model() -> None:
    plain = make_recipe({"batch_size": 8})
    carried = make_recipe({"batch_size": 8, "accumulate": 4, "cache": "none", "cache_budget": 10})
    assert carried != plain
    assert carried.defining() == plain.defining()
    for name, value in (("copies", 3), ("precision", "bfloat16"), ("flip_probability", 0.0)):
        assert make_recipe({"batch_size": 8, name: value}).defining() != plain.defining()
    assert make_recipe(carried.defining()) == plain  # as a card holds it


def test_any_setting_can_be_given_as_text_and_the_whole_recipe_read_again(tmp_path: Path) -> None:
    given = read_settings(
        ["lr=1e-3", "expert_ranks=[2, 4]", "blur_probability=0.25", "folds=null", "blocks= 2"]
    )
    recipe = make_recipe(given)
    assert (recipe.lr, recipe.expert_ranks, recipe.augmentation.blur_probability) == (1e-3, (2, 4), 0.25)
    assert (recipe.folds, recipe.blocks) == (None, 2)
    (tmp_path / "recipe.yaml").write_text(write_recipe(recipe))
    assert make_recipe(read_recipe(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize("text", ["lr", "=3", "expert_ranks=[2", "", "seed=2024-13-45"])
def test_a_text_that_is_no_setting(text: str) -> None:
    with pytest.raises(UsageError, match=rf"--set: '{re.escape(text)}' is not a setting such as"):
        read_settings([text])


def test_a_setting_that_there_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="learning_rate: unknown setting"):
        make_recipe(read_settings(["learning_rate=3"]))
