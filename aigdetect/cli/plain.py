"""Commands whose help is plain text, panel by panel; Typer draws it with Rich, which takes longer to load."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_ARGUMENTS, _OPTIONS = "Arguments", "Options"
_WHOLE = 1000  # characters, so that what a command does is never cut


class PlainCommand(TyperCommand):
    """A command that shows its parameters panel by panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write all parameters."""
        _write_panels(self, ctx, formatter)


class PlainGroup(TyperGroup):
    """A command with others below it, shown likewise."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option that shows the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False  # None is checked by what takes longer to load than all of this
        return option

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write all parameters, then the commands below."""
        _write_panels(self, ctx, formatter)
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_WHOLE)) for name, each in commands if each])


def _write_panels(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: [], _OPTIONS: []}
    for parameter in command.get_params(ctx):
        if record := parameter.get_help_record(ctx):
            names, told = record
            usual = _ARGUMENTS if parameter.param_type_name == "argument" else _OPTIONS
            panel = getattr(parameter, "rich_help_panel", None) or usual
            panels.setdefault(panel, []).append((_coloured(names), told))
    for title, records in panels.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _coloured(names: str) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return names if plain else typer.style(names, fg="cyan")
