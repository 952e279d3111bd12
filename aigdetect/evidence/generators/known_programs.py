"""Generation parameters as the library sd-parsers reads them, which knows the common programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aigdetect.evidence.generators.generation import Generation, edited_by, generation
from aigdetect.evidence.generators.nested import json_object

# the library was not made for hostile texts: where its work grows with the square of one, that is kept short
_MAX_TEXT = 1 << 15
_MAX_DREAM = 1 << 13

_INVOKEAI = {"invokeai_metadata": _MAX_TEXT, "sd-metadata": _MAX_TEXT, "Dream": _MAX_DREAM}
_MASK = re.compile(r"(?:^|, )(?:Mask blur|Inpaint area|Masked content|Masked area padding|Mask mode): ")
_STRENGTH = re.compile(r"(?:^|, )Denoising strength: (\d{1,3}(?:\.\d{1,6})?)")
_VERSION = re.compile(r"(?:^|[,\n])\s{0,9}(?:Version|App): ?([^\s,]{1,40})")
_VERSIONS = (
    (re.compile(r"neo"), "Forge Neo"),
    (re.compile(r"classic"), "Forge Classic"),
    (re.compile(r"f\d"), "Forge"),
    (re.compile(r"ComfyUI"), "ComfyUI"),
    (re.compile(r"Fooocus"), "Fooocus"),
    (re.compile(r"SD\.Next"), "SD.Next"),
)


def read_infotext(texts: Mapping[str, str], where: str) -> Generation | None:
    """Read the text in which Stable Diffusion web UIs, and Fooocus, write all their parameters."""
    from sd_parsers.parsers import AUTOMATIC1111Parser, FooocusParser

    for name in ("parameters", "UserComment", "Comment"):
        text = texts.get(name, "")
        parser = FooocusParser if text.startswith("{") else AUTOMATIC1111Parser
        if len(text) <= _MAX_TEXT and ("Steps: " in text or '"base_model"' in text):
            found = parse(parser, {"parameters": text}, where)
            if found:
                tool = _program(text) or found.tool
                return generation(**{**found.as_dict(), "tool": tool, "edited": edited_by_web_ui(text)})
    return None


def edited_by_web_ui(text: str) -> str:
    """What the parameters of a Stable Diffusion web UI say of an image that went in.

    A denoising strength is also given where the program's own image was made larger in a second pass.
    """
    parameters = text[text.rfind("\nSteps: ") + 1 :][-_MAX_TEXT:]
    if _MASK.search(parameters):
        return "inpainting"
    strength = _STRENGTH.search(parameters)
    if not strength or "Hires " in parameters or "First pass size: " in parameters:
        return ""
    return f"image to image, denoising strength {strength[1]}"


def read_invokeai(texts: Mapping[str, str], where: str) -> Generation | None:
    """Read what the versions of InvokeAI write."""
    from sd_parsers.parsers import InvokeAIParser

    kept = {name: text for name, text in texts.items() if len(text) <= _INVOKEAI.get(name, 0)}
    found = parse(InvokeAIParser, kept, where) if kept else None
    return found and replace(found, edited=edited_by(json_object(kept.get("invokeai_metadata", ""))))


def read_novelai(texts: Mapping[str, str], where: str) -> Generation | None:
    """Read what NovelAI writes into PNG files."""
    from sd_parsers.parsers import NovelAIParser

    if not texts.get("Software", "").startswith("NovelAI") or len(texts.get("Comment", "")) > _MAX_TEXT:
        return None
    found = parse(NovelAIParser, texts, where)
    return found and replace(found, edited=edited_by(json_object(texts.get("Comment", ""))))


def parse(parser: Callable[[], Any], texts: Mapping[str, Any], where: str) -> Generation | None:
    """What one of the library's parsers makes of texts; None if it cannot read them."""
    try:
        found = parser().parse(dict(texts))
        sampler = found.samplers[0]
        return generation(
            found.generator.value,
            where,
            prompt=found.full_prompt,
            negative_prompt=found.full_negative_prompt,
            model=next((each.model.name or each.model.hash for each in found.samplers if each.model), None),
            seed=sampler.parameters.get("seed", sampler.parameters.get("noise_seed")),
            sampler=sampler.name,
            steps=sampler.parameters.get("steps", found.metadata.get("steps")),
        )
    except Exception:  # noqa: BLE001 - its parsers fail in every way on texts of another make
        return None


def _program(text: str) -> str:
    """The program that wrote parameters in the way that many share, empty if it does not say."""
    for version in _VERSION.findall(text[-4000:]):
        for start, name in _VERSIONS:
            if start.match(version):
                return name
    return "Civitai" if "Civitai resources:" in text else ""
