from __future__ import annotations

import pytest
import torch

from aigdetect.errors import UsageError
from aigdetect.methods.registry import METHODS, choose_precision_of, find_method, hyperparameters_of
from aigdetect.model.card import DEFAULT_METHOD
from aigdetect.training.recipe import OF_TOWERS, Recipe, make_recipe, write_recipe


def test_the_mixture_is_the_first_and_the_default() -> None:
    assert next(iter(METHODS)) == DEFAULT_METHOD == "mole"
    assert make_recipe() == Recipe()
    # runs and cards from before there were methods
    assert "method" not in make_recipe().defining()
    assert make_recipe({"method": "mole"}).defining() == make_recipe().defining()


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_is_what_its_own_text_says(name: str) -> None:
    import yaml

    recipe = make_recipe({"method": name})
    assert make_recipe(yaml.safe_load(write_recipe(recipe))) == recipe
    assert make_recipe(recipe.defining() | {"method": name}) == recipe


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.reads_tower])
def test_what_says_nothing_to_a_method_is_neither_taken_nor_told(name: str) -> None:
    assert not set(OF_TOWERS) & make_recipe({"method": name}).as_dict().keys()
    with pytest.raises(UsageError, match=rf"blocks: 2 says nothing to the method {name}"):
        make_recipe({"method": name, "blocks": 2})


def test_hyperparameters_may_stand_beside_the_other_settings() -> None:
    first = make_recipe({"method": "freqdct", "size": 64})
    second = make_recipe({"method": "freqdct", "hyperparameters": {"size": 64}})
    assert first == second
    assert first.hyperparameters == {"size": 64, "colour": False, "epsilon": 1e-12}
    assert first.epochs == 0
    assert make_recipe({"method": "freqdct"}, {"head_penalty": 1.0}).head_penalty == 1.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "freqdtc"}, "did you mean freqdct"),
        ({"method": 3}, "there are mole"),
        ({"method": "freqdct", "hyperparameters": {"sized": 3}}, "freqdct: sized: unknown setting"),
        ({"method": "freqdct", "size": "many"}, "freqdct: size: 'many'"),
        ({"method": "freqdct", "size": 2}, "size: 2 is below 8"),
        ({"method": "freqdct", "hyperparameters": 3}, "hyperparameters: 3 is not a mapping"),
        ({"hyperparameters": {"size": 3}}, "mole has none"),
        ({"method": "univfd", "blocks": 3}, "blocks: 3 is not the 0 of univfd"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        make_recipe(settings)
    assert "\n" not in str(raised.value)


def test_univfd_is_the_linear_probe() -> None:
    recipe = make_recipe({"method": "univfd"})
    assert (recipe.backbone, recipe.blocks, recipe.head_blocks) == ("ViT-L-14", 0, 0)
    assert recipe.augmentation.blur_probability == 0.5
    assert recipe.defining()["method"] == "univfd"


def test_only_what_reads_a_tower_has_other_precisions() -> None:
    cpu = torch.device("cpu")
    assert choose_precision_of(find_method("freqdct"), "auto", cpu) == "float32"
    with pytest.raises(UsageError, match="freqdct calculates in float32"):
        choose_precision_of(find_method("freqdct"), "bfloat16", cpu)
    with pytest.raises(UsageError, match="unknown"):
        choose_precision_of(find_method("freqdct"), "float99", cpu)


def test_a_method_without_hyperparameters_has_none() -> None:
    assert hyperparameters_of(find_method(None), {}) == {}
