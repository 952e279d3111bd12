"""The parameters that one image was generated with, as far as its file tells."""

from __future__ import annotations

import re
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
        edited: what was done to an image that went in, in words: ``"inpainting"``; empty if none did, or if
            nothing says so.
    """

    tool: str
    where: str
    prompt: str = ""
    negative_prompt: str = ""
    model: str = ""
    seed: str = ""
    sampler: str = ""
    steps: str = ""
    edited: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: text for name, text in asdict(self).items() if text}

    def summary(self) -> str:
        """The tool, the model and what was done to an image that went in, in a few words."""
        model = f"model {self.model}" if self.model else ""
        return ", ".join(filter(None, (self.tool, model, self.edited)))


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


# how programs name, among their parameters, that an image went in: names, values in which the mode is one of
# several, and what it means
_IMAGE_MODES = (
    ("generation_mode", re.compile(r"\w*(?:inpaint|outpaint)\w*"), "inpainting"),  # InvokeAI
    ("generation_mode", re.compile(r"\w*img2img\w*"), "image to image"),
    ("request_type", re.compile(r"\w*Infill\w*"), "inpainting"),  # NovelAI
    ("request_type", re.compile(r"Image2Image\w*|Img2Img\w*"), "image to image"),
    ("workflow", re.compile(r"img2img\w*"), "image to image"),  # Civitai
    ("workflow", re.compile(r"\w*upscale\w*"), "upscaling"),
)
_IMAGES = (
    ("maskimage", "inpainting"),  # SwarmUI
    ("initimage", "image to image"),
    ("initimagecreativity", "image to image"),
    ("mask", "inpainting"),  # Easy Diffusion
    ("init_image", "image to image"),
)


def edited_by(values: Mapping[str, Any]) -> str:
    """What a program's parameters say of an image that went in, in words; empty if nothing."""
    for name, pattern, meaning in _IMAGE_MODES:
        if pattern.fullmatch(plain(values.get(name))[:MAX_TEXT]):
            return meaning
    return next((meaning for name, meaning in _IMAGES if plain(values.get(name))), "")
