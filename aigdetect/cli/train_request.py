"""What a training run is asked to do: its options, gathered, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigdetect.errors import UsageError
from aigdetect.locks import LOCK_NAME, require_alone
from aigdetect.parsing import parse_size
from aigdetect.training.recipe import make_recipe, read_recipe, read_settings

if TYPE_CHECKING:
    from aigdetect.training.recipe import Recipe, RunOptions
    from aigdetect.training.starting_point import InitialModel


@dataclass(frozen=True)
class Roots:
    """Where the images are; the options of the command of these names."""

    data: Sequence[Path]
    real: Sequence[Path]
    fake: Sequence[Path]
    validation_data: Sequence[Path]
    follow_symlinks: bool


@dataclass(frozen=True)
class RecipeRequest:
    """What is asked of the recipe.

    Attributes:
        beginning: a trained model to go on from, by name or folder, which says part of it; None for none.
        config: file with settings; None for none.
        given: settings that go before those.
    """

    beginning: str | None
    config: Path | None
    given: Mapping[str, Any]

    @classmethod
    def of_options(
        cls,
        beginning: str | None,
        config: Path | None,
        pairs: Sequence[str],
        options: Mapping[str, Any],
    ) -> RecipeRequest:
        """That of a command.

        Args:
            beginning: see the attributes.
            config: see there.
            pairs: settings as ``KEY=VALUE``.
            options: settings that have options of their own, which go before the pairs; None for those not
                given.

        Raises:
            UsageError: if one cannot be read.
        """
        given = read_settings(pairs)
        for name, value in options.items():
            if value is not None:
                given[name] = _READERS[name](value) if name in _READERS else value
        return cls(beginning, config, given)

    def make(self) -> tuple[Recipe, InitialModel | None]:
        """The recipe, and the model that the run begins with.

        Raises:
            UsageError: if a setting cannot be used, or does not fit that model.
            ModelError: if that model is damaged.
        """
        read = read_recipe(self.config) if self.config else {}
        if self.beginning is None:
            return make_recipe(read, self.given), None
        from aigdetect.training.starting_point import find_initial_model

        initial = find_initial_model(self.beginning)
        recipe = make_recipe(initial.settings(), read, self.given)
        initial.require_fit(recipe)
        return recipe, initial


@dataclass(frozen=True)
class RunRequest:
    """What is asked of a run besides data and recipe; the options of the command of these names."""

    out: Path | None
    force: bool
    workers: int | None
    instrument: Path | None
    options: RunOptions

    def usable_folder(self) -> Path:
        """The model folder to write.

        Raises:
            UsageError: if none is named, or it cannot be used, with what to do.
        """
        out = self.out
        if out is None:
            raise UsageError("--out: name the model folder to write, or look at the data with --list")
        if self.force and self.options.resume:
            raise UsageError("--force and --resume: one starts anew, the other goes on; give one of them")
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out}: is not a folder; choose another --out")
        require_alone(out)
        # what a killed run has left of its lock does not count
        names = [path.name for path in out.iterdir() if path.name != LOCK_NAME] if out.is_dir() else []
        if self.options.resume:
            # a run that was killed early has left nothing, or hidden files
            if any(not name.startswith(".") for name in names) and "log.jsonl" not in names:
                raise UsageError(f"{out}: holds no run to go on with; choose another --out")
        elif "checkpoint.safetensors" in names and not self.force:
            raise UsageError(
                f"{out}: holds a run that was stopped; add --resume to go on, or --force to start anew"
            )
        elif names and not self.force:
            raise UsageError(f"{out}: is in use; choose another --out, or add --force to write into it")
        return out


# -- settings that options give as texts -------------------------------------------------------------------


def _blocks(text: str) -> int | None:
    return None if text == "all" else _whole("blocks", text)


def _ranks(text: str) -> list[int]:
    parts = [] if text in ("", "none") else text.split(",")
    return [_whole("expert-ranks", part) for part in parts]


def _ways(text: str) -> list[str]:
    """Ways to give images back; folders by their whole paths, so that a run can be resumed from anywhere."""
    names = [] if text in ("", "none") else text.split(",")
    return [str(Path(name).resolve()) if Path(name).is_dir() else name for name in names]


def _words(text: str) -> list[str]:
    return text.split(",")


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{name}: {text!r} is not a whole number") from None


def _bytes(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--cache-budget: {error}") from None


_READERS: Mapping[str, Callable[[str], Any]] = {
    "blocks": _blocks,
    "modules": _words,
    "expert_ranks": _ranks,
    "views": _words,
    "aligned": _ways,
    "cache_budget": _bytes,
}
