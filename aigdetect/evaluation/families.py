"""Generators by every name that data sets give them, with the family that each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from aigdetect.errors import UsageError
from aigdetect.parsing import STRICT_KEYS, parse, read_yaml

FAMILIES = (
    "GAN",
    "edited",
    "low-level vision",
    "perceptual loss",
    "diffusion",
    "autoregressive",
    "unknown",
)
"""Families in the order of the paper's tables."""

_FILE = Path(__file__).with_name("families.yaml")


@dataclass(frozen=True, slots=True)
class Generator:
    """A generator.

    Attributes:
        key: its name in files of this program, such as ``"progan"``; of an unknown one its own spelling.
        title: its name as shown.
        family: one of `FAMILIES`.
        order: its place among the generators known, for tables.
        reals: sources that hold its real images where a data set keeps them apart, the best first.
    """

    key: str
    title: str
    family: str
    order: int
    reals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    family: str
    title: str = ""
    aliases: tuple[str, ...] = ()
    reals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    generators: dict[str, _Entry]


@dataclass(frozen=True, slots=True)
class Families:
    """What is known of generators; names are compared without case, spaces and punctuation."""

    generators: Mapping[str, Generator]

    def find(self, name: str) -> Generator:
        """The generator of this name; of family ``"unknown"`` if there is none."""
        known = self.generators.get(spelling(name))
        return known or Generator(name, name, "unknown", len(self.generators))


def spelling(name: str) -> str:
    """A name without case, spaces and punctuation; a name of nothing else comes back as it is."""
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def read_families(file: Path | None = None) -> Families:
    """Read the list that comes with the program, and a user's own on top of it.

    Args:
        file: YAML of the same form; its entries go before those of the program.

    Raises:
        UsageError: in one line, if the user's file cannot be read, or one name stands for two generators.
    """
    if file is None:
        return _shipped()
    try:
        own = _named(_entries(file))
    except ValueError as error:
        raise UsageError(f"--families: {error}") from error
    return Families({**_shipped().generators, **own})


@cache
def _shipped() -> Families:
    return Families(_named(_entries(_FILE)))


def _entries(path: Path) -> Mapping[str, _Entry]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: no list of generators; it holds generators: NAME: {{family: ...}}")
    try:
        entries = parse(_File, data).generators
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for key, entry in entries.items():
        if entry.family not in FAMILIES:
            raise ValueError(f"{path}: {key}: family {entry.family!r} is not one of {', '.join(FAMILIES)}")
    return entries


def _named(entries: Mapping[str, _Entry]) -> dict[str, Generator]:
    found: dict[str, Generator] = {}
    for order, (key, entry) in enumerate(entries.items()):
        generator = Generator(key, entry.title or key, entry.family, order, entry.reals)
        for name in _names(key, entry):
            other = found.setdefault(name, generator)
            if other is not generator:
                raise ValueError(f"{name!r} stands for both {other.key} and {key}; keep one")
    return found


def _names(key: str, entry: _Entry) -> Iterable[str]:
    return {spelling(name): None for name in (key, entry.title or key, *entry.aliases)}
