"""Networks that others have trained, and that a method looks through; they stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from aigdetect.errors import UsageError

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


def read_network(file: Path, what: str, build: Callable[[Mapping[str, Tensor]], nn.Module]) -> Instrument:
    """An instrument that is one network in one safetensors file.

    Args:
        file: the file.
        what: what kind of network it must hold.
        build: makes it of its tensors; raises ValueError, RuntimeError or KeyError if they are not its.

    Raises:
        UsageError: if the file cannot be read, or holds no such network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = file.read_bytes()
        return Instrument(file.stem, hashlib.sha256(data).hexdigest(), build(load(data)).state_dict())
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from error
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise UsageError(f"{file}: holds no {what} ({str(error).splitlines()[0]})") from error


def instrument_in(adapter: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The instrument's tensors among those of a model folder, by their own names."""
    return {name.removeprefix(PREFIX): tensor for name, tensor in adapter.items() if name.startswith(PREFIX)}
