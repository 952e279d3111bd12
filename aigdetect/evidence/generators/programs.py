"""Generation parameters of the programs that the library does not know, or knows in other places only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aigdetect.evidence.generators.generation import MAX_PROMPT, Generation, edited_by, first, generation
from aigdetect.evidence.generators.known_programs import edited_by_web_ui
from aigdetect.evidence.generators.nested import json_object

_MIDJOURNEY_JOB = re.compile(r"\bJob ID: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*$")
_MIDJOURNEY_OPTION = re.compile(
    r"\s--(?:v|version|ar|aspect|niji|stylize|s|chaos|c|style|seed|q|quality|raw|profile)\s"
)
_EXTRAS = re.compile(
    r"Postprocess (?:upscale by|upscaler|GFPGAN visibility|CodeFormer visibility): "
    r"|Upscale: \d[\d.]{0,9}, visibility: \d[\d.]{0,9}, model:"
)
_PAIR = re.compile(r"(Steps|Sampler|Seed|Model|CFG scale): ([^,\n]{1,200})")
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,9})?")
_MAX_LINES = 1 << 16

_FIELDS = ("prompt", "negative_prompt", "model", "seed", "sampler", "steps")
# under which names each program keeps these, the first that says something counts
_NAMES = {
    "SwarmUI": ("prompt", "negativeprompt", "model", "seed", "sampler comfyuisampler", "steps"),
    "Tensor.Art": ("prompt", "negativePrompt", "", "seed", "samplerName sampler", "steps"),
    "RuinedFooocus": (
        "Prompt prompt",
        "Negative negative_prompt",
        "base_model_name base_model",
        "seed",
        "sampler_name sampler",
        "steps",
    ),
    "NovelAI": ("prompt", "uc", "", "seed", "sampler", "steps"),
    "Civitai": ("prompt", "negativePrompt", "", "seed", "sampler", "steps"),
    "Easy Diffusion": (
        "prompt",
        "negative_prompt",
        "use_stable_diffusion_model",
        "seed",
        "sampler_name",
        "num_inference_steps",
    ),
    "Draw Things": ("c", "uc", "model", "seed", "sampler", "steps"),
    "Stable Diffusion web UI": ("", "", "Model", "Seed", "Sampler", "Steps"),
    "unnamed program": (
        "prompt Prompt PositivePrompt positive_prompt",
        "negative_prompt negativePrompt NegativePrompt",
        "model Model model_name ModelName base_model",
        "seed Seed",
        "sampler sampler_name Sampler scheduler",
        "steps Steps num_inference_steps inference_steps",
    ),
}
_GUIDANCE = "guidance_scale cfg_scale cfgScale CfgScale"

Texts = Mapping[str, str]


def _take(tool: str, where: str, values: Mapping[str, Any], **elsewhere: str) -> Generation:
    """What a program's values say, and what was found elsewhere in its place."""
    found = {field: first(values, *names.split()) for field, names in zip(_FIELDS, _NAMES[tool], strict=True)}
    return generation(tool, where, **{**found, "edited": edited_by(values), **elsewhere})


def read_swarmui(texts: Texts, where: str) -> Generation | None:
    """Read what SwarmUI writes into PNG texts, and into EXIF of the other formats."""
    for name in ("parameters", "UserComment"):
        values = json_object(texts.get(name, "")).get("sui_image_params")
        if isinstance(values, dict):
            return _take("SwarmUI", where, values)
    return None


def read_tensor_art(texts: Texts, where: str) -> Generation | None:
    """Read what Tensor.Art writes beside the graph of ComfyUI."""
    values = json_object(texts.get("generation_data", ""))
    if "prompt" not in values and "baseModel" not in values:
        return None
    model = values.get("baseModel")
    named = first(model, "modelFileName", "label", "hash") if isinstance(model, dict) else ""
    return _take("Tensor.Art", where, values, model=named)


def read_ruined_fooocus(texts: Texts, where: str) -> Generation | None:
    """Read what RuinedFooocus writes, which is built unlike its relative."""
    for name in ("parameters", "UserComment", "Comment"):
        values = json_object(texts.get(name, ""))
        if values.get("software") == "RuinedFooocus":
            return _take("RuinedFooocus", where, values)
    return None


def read_novelai(texts: Texts, where: str) -> Generation | None:
    """Read what NovelAI writes, also into EXIF, where all of it is packed into one text."""
    values = json_object(texts.get("Comment", ""))
    outer = json_object(texts.get("UserComment", ""))
    values = values or json_object(outer["Comment"] if isinstance(outer.get("Comment"), str) else "") or outer
    software = texts.get("Software") or first(outer, "Software")
    if not software.startswith("NovelAI") and not {"uncond_scale", "noise_schedule"} <= values.keys():
        return None
    return _take(
        "NovelAI",
        where,
        values,
        prompt=first(values, "prompt") or texts.get("Description") or first(outer, "Description"),
        model=texts.get("Source") or first(outer, "Source"),
    )


def read_civitai(texts: Texts, where: str) -> Generation | None:
    """Read what Civitai's own generator keeps in a graph of ComfyUI."""
    for name in ("prompt", "UserComment"):
        values = json_object(texts.get(name, "")).get("extraMetadata")
        values = json_object(values) if isinstance(values, str) else values
        if isinstance(values, dict) and "prompt" in values:
            return _take("Civitai", where, values)
    return None


def read_easy_diffusion(texts: Texts, where: str) -> Generation | None:
    """Read what Easy Diffusion writes."""
    values = {**json_object(texts.get("UserComment", "")), **texts}
    if "use_stable_diffusion_model" not in values or "prompt" not in values:
        return None
    return _take("Easy Diffusion", where, values)


def read_draw_things(texts: Texts, where: str) -> Generation | None:
    """Read what Draw Things writes."""
    values = json_object(texts.get("UserComment", ""))
    if "c" not in values or "uc" not in values or "sampler" not in values:
        return None
    return _take("Draw Things", where, values)


def read_midjourney(texts: Texts, where: str) -> Generation | None:
    """Read a prompt with the number of the job at its end, and Midjourney's options or its user's name."""
    for name in ("Description", "ImageDescription"):
        text = texts.get(name, "")[-4000:]
        job = _MIDJOURNEY_JOB.search(text)
        if job and text[: job.start()].strip() and (_MIDJOURNEY_OPTION.search(text) or "Author" in texts):
            return generation("Midjourney", where, prompt=text[: job.start()])
    return None


def read_extras(texts: Texts, where: str) -> Generation | None:
    """Read what Stable Diffusion web UIs write of an image that they only made larger, or mended faces in."""
    for name in ("postprocessing", "extras", "parameters"):
        text = texts.get(name, "")[:MAX_PROMPT].strip()
        if _EXTRAS.match(text):
            return generation("Stable Diffusion web UI", where, edited="upscaling, mending of faces")
    return None


def read_last_line(texts: Texts, where: str) -> Generation | None:
    """Read parameters as Stable Diffusion web UIs write them, where some of the usual ones are missing."""
    for name in ("parameters", "UserComment", "Comment"):
        text = texts.get(name, "")[-_MAX_LINES:].rstrip()
        begin = text.rfind("\n") + 1
        pairs = dict(_PAIR.findall(text, begin)) if text.startswith("Steps: ", begin) else {}
        numbers = [pairs.get(each, "") for each in ("Steps", "Seed", "CFG scale")]
        if sum(bool(_NUMBER.fullmatch(each)) for each in numbers) >= 2:
            prompt, _, negative = text[:begin].partition("Negative prompt:")
            return _take(
                "Stable Diffusion web UI",
                where,
                pairs,
                prompt=prompt,
                negative_prompt=negative,
                edited=edited_by_web_ui(text),
            )
    return None


def read_any_object(texts: Texts, where: str) -> Generation | None:
    """Read a JSON object with a prompt and at least three more parameters under their usual names."""
    prompt, *others = (names.split() for names in _NAMES["unnamed program"])
    for name in ("parameters", "parameters-json", "UserComment", "Comment"):
        values = json_object(texts.get(name, ""))
        present = sum(any(each in values for each in names) for names in (*others, _GUIDANCE.split()))
        if first(values, *prompt) and present >= 3:
            return _take("unnamed program", where, values)
    return None
