"""Options of ``aigdetect train`` that are settings of the recipe, a row each; ``--set`` takes the others."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from aigdetect.cli.options import RUN

_ADAPTER = "Adapter"
_PAPER = "Paper's recipe"

Result = TypeVar("Result")


class RecipeOption(NamedTuple):
    """An option that is a setting of the recipe.

    Attributes:
        name: of the setting; the option is called like it, with dashes.
        kind: of its value; bool: a switch, which ``--no-`` turns off.
        panel: of the help, under which it is shown.
        help: what it does.
        metavar: what its value is called; None: like its kind.
        also: another name of the option.
    """

    name: str
    kind: Any
    panel: str
    help: str
    metavar: str | None = None
    also: str | None = None

    def parameter(self) -> inspect.Parameter:
        """As the parameter of a command; None where it is not given."""
        option = "--" + self.name.replace("_", "-")
        names = [f"{option}/--no-{option[2:]}"] if self.kind is bool else [option]
        names += [self.also] if self.also else []
        declared = typer.Option(*names, help=self.help, metavar=self.metavar, rich_help_panel=self.panel)
        return inspect.Parameter(
            self.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[self.kind | None, declared],
        )


def with_recipe_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the options of :data:`RECIPE_OPTIONS` in the place of its parameter ``recipe_options``.

    The parameter gets a mapping of their values by name, None for those that are not given.
    """
    here = "recipe_options"
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        parameters += [each.parameter() for each in RECIPE_OPTIONS] if name == here else [parameter]

    @functools.wraps(command)
    def gathering(**values: Any) -> Result:
        options = {each.name: values.pop(each.name) for each in RECIPE_OPTIONS}
        return command(**values, **{here: options})

    # Typer reads either, by its version
    gathering.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    gathering.__annotations__ = {each.name: each.annotation for each in parameters}
    return gathering


RECIPE_OPTIONS: Sequence[RecipeOption] = (
    RecipeOption("backbone", str, _ADAPTER, "Image tower: ViT-B-16 (default), ViT-B-32, ViT-L-14 ..."),
    RecipeOption("blocks", str, _ADAPTER, "Adapt this many of the last blocks; 0: linear probe; all."),
    RecipeOption("modules", str, _ADAPTER, "What is adapted: mlp, attention, or mlp,attention."),
    RecipeOption("shared_rank", int, _ADAPTER, "Rank of the shared expert; 0: none."),
    RecipeOption("expert_ranks", str, _ADAPTER, "Ranks of the separate experts, such as 4,8,16; none."),
    RecipeOption("alpha", float, _ADAPTER, "Scaling constant alpha; default: a scale of 1."),
    RecipeOption(
        "head_blocks",
        int,
        _ADAPTER,
        "The head reads the class tokens of so many last blocks; 0: the embedding.",
    ),
    RecipeOption(
        "head_penalty", float, _ADAPTER, "First fit the head to the frozen tower, under this L2 penalty."
    ),
    RecipeOption("views", str, _ADAPTER, "What the model sees: names of views, such as center_crop,whole."),
    RecipeOption(
        "head_views",
        str,
        _ADAPTER,
        "With crops and the whole: share the head's weights (shared), or each its own.",
    ),
    RecipeOption("epochs", int, _PAPER, "Passes over the images."),
    RecipeOption("steps", int, _PAPER, "Stop after so many steps.", also="--max-steps"),
    RecipeOption("batch_size", int, _PAPER, "Images per step."),
    RecipeOption("lr", float, _PAPER, "Learning rate of AdamW."),
    RecipeOption(
        "head_rate",
        float,
        _PAPER,
        "The head's learning rate as a share of it; 0: a fitted head stays as it is.",
    ),
    RecipeOption("seed", int, _PAPER, "Seed of all chance."),
    RecipeOption("samples", int, _PAPER, "Train on this many images, drawn uniformly."),
    RecipeOption("samples_per_class", int, _PAPER, "Train on this many images of each class."),
    RecipeOption(
        "samples_per_group", int, _PAPER, "Train on at most this many images of each generator or source."
    ),
    RecipeOption("validation", float, _PAPER, "Share held out of each generator."),
    RecipeOption(
        "hold_out",
        list[str],
        _PAPER,
        "Hold out all of a generator or source, and calibrate on that; may be given several times.",
        metavar="GROUP",
    ),
    RecipeOption(
        "folds",
        int,
        _PAPER,
        "Hold nothing out, and calibrate on so many other models, each trained without some images "
        "(--set folds=origins: each without one origin).",
    ),
    RecipeOption(
        "source_penalty",
        float,
        _PAPER,
        "With --head-penalty: how strongly sources of real images are drawn together.",
    ),
    RecipeOption(
        "aligned",
        str,
        _PAPER,
        "Real images come back as generated ones: transposed, shuffle, or a folder of decoders.",
        metavar="NAME|FOLDER[,...]",
    ),
    RecipeOption("aligned_images", int, _PAPER, "So many of them for each way."),
    RecipeOption("symmetric", bool, _PAPER, "Resize and re-encode images of both classes at random."),
    RecipeOption("balanced", bool, _PAPER, "Let classes, and half-way generators and sources, count alike."),
    RecipeOption("balanced_batches", bool, _PAPER, "Make half of every batch of each class."),
    RecipeOption("patience", int, _PAPER, "Stop after so many epochs with no better average precision."),
    RecipeOption("keep", str, _PAPER, "Weights that become the model: last or best."),
    RecipeOption("accumulate", int, RUN, "Go over the images of a step in so many parts."),
    RecipeOption("copies", int, RUN, "Augmented copies of each image; epochs take them in turn."),
    RecipeOption("plain_copy", bool, RUN, "The first copy is the image as it is."),
    RecipeOption("cache", str, RUN, "Keep the frozen blocks' output: auto, memory, disk or none."),
    RecipeOption("cache_budget", str, RUN, "Keep no more than this, such as 500M or 20G."),
    RecipeOption("precision", str, RUN, "Of the frozen tower: auto, float32 or bfloat16."),
)
