"""Writes the pages that follow from the program itself, ``docs/commands.md`` and ``docs/reference.md``.

Run it as ``python docs/reference.py`` where an option, a setting, a column or an entry of a card has changed.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import docstring_parser
import typer.cli
import typer.main

from aigdetect.cli.app import app
from aigdetect.cli.lazy import StandIn
from aigdetect.data.augment import Augmentation
from aigdetect.model.calibration import Calibration
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess
from aigdetect.scanning.record import Record
from aigdetect.training.recipe import Recipe

DOCS = Path(__file__).parent


def commands() -> str:
    """What ``--help`` says of every command, as one page."""
    command: Any = typer.main.get_command(app)
    command.commands |= {
        name: each.load() for name, each in command.commands.items() if isinstance(each, StandIn)
    }
    context = typer.Context(command, info_name="aigdetect")
    page = typer.cli.get_docs_for_click(obj=command, ctx=context, name="aigdetect", title="All commands")
    return page.strip() + "\n"


def reference() -> str:
    """All columns, settings and entries of cards, as one page."""
    parts = (
        "# Columns, settings, cards",
        "Made from the program's own descriptions by `docs/reference.py`.",
        "## A row of a scan",
        "In JSON Lines each row is an object with these names, and what is not known is `null`; CSV has the "
        "same as columns ([what they mean](scan.md#columns)). Columns are only ever added at the end.",
        _table(Record, [each for each in dataclasses.fields(Record) if each.metadata.get("column", True)]),
        "## A recipe",
        "Keys of `aigdetect train --config` and `--set`; `--print-config` prints them as they are.",
        _table(Recipe),
        "### augmentation",
        _table(Augmentation),
        "## A card",
        "`model.yaml` in a model folder, beside `card_version`.",
        _table(ModelCard),
        "### preprocess",
        _table(Preprocess),
        "### adapter",
        _table(AdapterCard),
        "### calibration",
        _table(Calibration),
    )
    return "\n\n".join(parts) + "\n"


def _table(described: type[Any], shown: list[dataclasses.Field[Any]] | None = None) -> str:
    """The fields of a dataclass with their defaults and what its docstring says of them."""
    told = docstring_parser.parse(described.__doc__ or "").params
    said = {each.arg_name: each.description or "" for each in told}
    lines = ["| name | default | meaning |", "| --- | --- | --- |"]
    for each in dataclasses.fields(described) if shown is None else shown:
        meaning = _markdown(said.get(each.name, ""))
        lines.append(f"| `{each.name}` | {_default(each)} | {meaning} |")
    return "\n".join(lines)


def _default(each: dataclasses.Field[Any]) -> str:
    if each.default is not dataclasses.MISSING:
        value = list(each.default) if isinstance(each.default, tuple) else each.default
        return "" if value is None or value == "" or value == [] else f"`{value}`"
    return ""


def _markdown(text: str) -> str:
    """A docstring's text as Markdown, on one line."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    (DOCS / "commands.md").write_text(commands(), encoding="utf-8")
    (DOCS / "reference.md").write_text(reference(), encoding="utf-8")
