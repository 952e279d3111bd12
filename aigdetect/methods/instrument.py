"""Networks that others have trained, and that a method looks through; they stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

#: what the names of an instrument's tensors begin with in a model folder
PREFIX = "instrument."


@dataclass(frozen=True)
class Instrument:
    """A network that others have trained.

    Attributes:
        name: what its files are called.
        digest: SHA-256 over them, hexadecimal.
        state: its tensors by name.
    """

    name: str
    digest: str
    state: Mapping[str, Tensor] = field(repr=False)


@dataclass(frozen=True)
class InstrumentKind:
    """What a method looks through.

    Attributes:
        needed: what it is and where it can be had, in words that follow "needs".
        read: reads it from a file or a folder; raises UsageError if it is not there.
    """

    needed: str
    read: Callable[[Path], Instrument]


def instrument_in(adapter: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The instrument's tensors among those of a model folder, by their own names."""
    return {name.removeprefix(PREFIX): tensor for name, tensor in adapter.items() if name.startswith(PREFIX)}
