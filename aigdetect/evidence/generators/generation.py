"""The parameters that one image was generated with, as far as its file tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aigdetect.evidence.findings import MAX_TEXT, clip

MAX_PROMPT = 2000
"""Longest prompt kept, in characters."""


@dataclass(frozen=True)
class Generation:
    """Generation parameters; empty where the file says nothing.

    Attributes:
        tool: the program or service, as far as its way of writing tells.
        where: where in the file they were read.
        prompt: what was asked for.
        negative_prompt: what was to be avoided.
        model: name of the generative model.
        seed: seed of the noise.
        sampler: how the noise was removed.
        steps: in how many steps.
    """

    tool: str
    where: str
    prompt: str = ""
    negative_prompt: str = ""
    model: str = ""
    seed: str = ""
    sampler: str = ""
    steps: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: text for name, text in asdict(self).items() if text}

    def summary(self) -> str:
        """The tool and the model, in a few words."""
        return f"{self.tool}, model {self.model}" if self.model else self.tool


def generation(tool: str, where: str, **found: Any) -> Generation:
    """Generation parameters out of values of any type, made text and cut to length; None is left out."""
    return Generation(
        tool,
        where,
        **{
            name: clip(plain(value), MAX_PROMPT if name.endswith("prompt") else MAX_TEXT)
            for name, value in found.items()
        },
    )


def plain(value: Any) -> str:
    """Text of a plain value; what is neither text nor a number is not wanted."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value) if abs(value) < 1e30 else ""
    return ""


def first(values: Mapping[str, Any], *names: str) -> str:
    """The first of the named values that says something, as text."""
    return next((text for name in names if (text := plain(values.get(name)))), "")
