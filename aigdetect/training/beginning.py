"""The model that a run begins with, where it does not begin anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.methods.instrument import Instrument, instrument_in
from aigdetect.methods.registry import find_method, read_instrument
from aigdetect.model.card import AdapterCard, ModelCard, find_model_folder, read_card
from aigdetect.model.detector import read_adapter
from aigdetect.model.learnt import read_learnt
from aigdetect.parsing import plain
from aigdetect.training.recipe import Recipe


@dataclass(frozen=True)
class Beginning:
    """A trained model to go on from.

    Attributes:
        folder: of the model.
        card: its card.
    """

    folder: Path
    card: ModelCard

    def settings(self) -> dict[str, Any]:
        """What a recipe must have in common with it: method, views and shape; and which model it is."""
        if not self.card.has_backbone:
            return {
                "method": self.card.method,
                "hyperparameters": dict(self.card.hyperparameters),
                "views": self.card.preprocess.views,
                "initial": self.card.adapter_sha256,
            }
        shape = {each.name: getattr(self.card.adapter, each.name) for each in fields(AdapterCard)}
        del shape["kinds"]
        views = self.card.preprocess.views
        return {
            "method": self.card.method,
            "backbone": self.card.backbone,
            "views": views,
            **shape,
            "initial": self.card.adapter_sha256,
        }

    def require_fit(self, recipe: Recipe) -> None:
        """Refuse a recipe for another model.

        Raises:
            UsageError: naming the first setting that differs, or that would throw away what was learnt.
        """
        for name, value in self.settings().items():
            if plain(getattr(recipe, name)) != plain(value):
                raise UsageError(
                    f"{name}: {plain(getattr(recipe, name))} is not the {plain(value)} of {self.card.name}, "
                    "which the run begins with"
                )
        if recipe.head_penalty is not None:
            raise UsageError(
                f"head_penalty: a head that is fitted anew throws away that of {self.card.name}, which the "
                "run begins with; leave it out"
            )

    def adapter(self) -> Mapping[str, Tensor]:
        """Its weights, by name.

        Raises:
            ModelError: if they are missing or damaged.
        """
        return read_adapter(self.folder, self.card)

    def instrument(self) -> Instrument | None:
        """What it looks through, as its folder holds it; None if it looks through nothing.

        Raises:
            ModelError: if its weights are missing or damaged.
        """
        told = self.card.data.get("instrument")
        return told and Instrument(told["name"], told["digest"], instrument_in(self.adapter()))

    def learnt(self) -> frozenset[str]:
        """SHA-256 of the images that it has learnt from, as far as it says so."""
        return read_learnt(self.folder)

    def lineage(self) -> dict[str, str]:
        """What a card says of it."""
        return {"model": self.card.name, "adapter": self.card.adapter_sha256, "command": self.card.command}

    def count_learnt(self, contents: Iterable[bytes]) -> int:
        """How many of these contents it has learnt from."""
        learnt = self.learnt()
        return sum(content.hex() in learnt for content in contents)


def find_instrument(method: str, beginning: Beginning | None, place: Path | None) -> Instrument | None:
    """What a run is to look through: what was given, or, where it begins with a model, what that has.

    Args:
        method: name of the method.
        beginning: the model that the run begins with, if it does.
        place: the file or folder that was given, if one was.

    Raises:
        UsageError: if the method needs one and none was given, what was given is none, or is not needed.
        ModelError: if the model that the run begins with is damaged.
    """
    if beginning is None:
        return read_instrument(find_method(method), place)
    if place is not None:
        raise UsageError(f"instrument: {beginning.card.name}, which the run begins with, decides on it")
    return beginning.instrument()


def begin_with(name_or_folder: str) -> Beginning:
    """A shipped model by name, or any by its folder.

    Raises:
        UsageError: if there is none.
        ModelError: if its card cannot be read.
    """
    folder = find_model_folder(name_or_folder)
    return Beginning(folder, read_card(folder))
