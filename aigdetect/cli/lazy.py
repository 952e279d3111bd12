"""A program whose commands are loaded when they are called: to name them all needs none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.main import get_command

from aigdetect.cli.plain import PlainCommand, PlainGroup


class StandIn(PlainCommand):
    """What is known of a command before it is loaded: its name, and what it does in a line.

    Args:
        name: of the command.
        place: ``module:attribute`` of its function, or of the :class:`typer.Typer` of the commands below it.
        short_help: what it does.
    """

    def __init__(self, name: str, place: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> Any:
        """The command itself."""
        module, _, attribute = self._place.partition(":")
        found: Any = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return get_command(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(self.name, cls=PlainCommand)(found)
        return get_command(alone)


class LazyGroup(PlainGroup):
    """A group of commands that are loaded when they are called.

    Attributes:
        places: for each command, by name, its place and what it does in a line, see :class:`StandIn`.
    """

    places: ClassVar[dict[str, tuple[str, str]]]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (place, short_help) in self.places.items():
            self.add_command(StandIn(name, place, short_help))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Name of the command that the arguments begin with, the command itself, and the other arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, StandIn) else command, rest
