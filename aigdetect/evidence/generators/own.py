"""Generation parameters of the programs that the library does not know, or knows in other places only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aigdetect.evidence.generators.generation import Generation, first, generation
from aigdetect.evidence.generators.packed import json_object

_MIDJOURNEY_JOB = re.compile(r"\bJob ID: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*$")
_MIDJOURNEY_OPTION = re.compile(
    r"\s--(?:v|version|ar|aspect|niji|stylize|s|chaos|c|style|seed|q|quality|raw|profile)\s"
)
_PAIR = re.compile(r"(Steps|Sampler|Seed|Model|CFG scale): ([^,\n]{1,200})")
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,9})?")
_MAX_LINES = 1 << 16

Texts = Mapping[str, str]


def read_swarmui(texts: Texts, where: str) -> Generation | None:
    """Read what SwarmUI writes into PNG texts, and into EXIF of the other formats."""
    for name in ("parameters", "UserComment"):
        values = json_object(texts.get(name, "")).get("sui_image_params")
        if isinstance(values, dict):
            return generation(
                "SwarmUI",
                where,
                prompt=first(values, "prompt"),
                negative_prompt=first(values, "negativeprompt"),
                model=first(values, "model"),
                seed=first(values, "seed"),
                sampler=first(values, "sampler", "comfyuisampler"),
                steps=first(values, "steps"),
            )
    return None


def read_tensor_art(texts: Texts, where: str) -> Generation | None:
    """Read what Tensor.Art writes beside the graph of ComfyUI."""
    values = json_object(texts.get("generation_data", ""))
    if "prompt" not in values and "baseModel" not in values:
        return None
    model = values.get("baseModel")
    return generation(
        "Tensor.Art",
        where,
        prompt=first(values, "prompt"),
        negative_prompt=first(values, "negativePrompt"),
        model=first(model, "modelFileName", "label", "hash") if isinstance(model, dict) else "",
        seed=first(values, "seed"),
        sampler=first(values, "samplerName", "sampler"),
        steps=first(values, "steps"),
    )


def read_ruined_fooocus(texts: Texts, where: str) -> Generation | None:
    """Read what RuinedFooocus writes, which is built unlike its relative."""
    for name in ("parameters", "UserComment", "Comment"):
        values = json_object(texts.get(name, ""))
        if values.get("software") == "RuinedFooocus":
            return generation(
                "RuinedFooocus",
                where,
                prompt=first(values, "Prompt", "prompt"),
                negative_prompt=first(values, "Negative", "negative_prompt"),
                model=first(values, "base_model_name", "base_model"),
                seed=first(values, "seed"),
                sampler=first(values, "sampler_name", "sampler"),
                steps=first(values, "steps"),
            )
    return None


def read_novelai(texts: Texts, where: str) -> Generation | None:
    """Read what NovelAI writes, also into EXIF, where all of it is packed into one text."""
    values = json_object(texts.get("Comment", ""))
    outer = json_object(texts.get("UserComment", ""))
    values = values or json_object(outer["Comment"] if isinstance(outer.get("Comment"), str) else "") or outer
    software = texts.get("Software") or first(outer, "Software")
    if not software.startswith("NovelAI") and not {"uncond_scale", "noise_schedule"} <= values.keys():
        return None
    return generation(
        "NovelAI",
        where,
        prompt=first(values, "prompt") or texts.get("Description") or first(outer, "Description"),
        negative_prompt=first(values, "uc"),
        model=texts.get("Source") or first(outer, "Source"),
        seed=first(values, "seed"),
        sampler=first(values, "sampler"),
        steps=first(values, "steps"),
    )


def read_civitai(texts: Texts, where: str) -> Generation | None:
    """Read what Civitai's own generator keeps in a graph of ComfyUI."""
    for name in ("prompt", "UserComment"):
        values = json_object(texts.get(name, "")).get("extraMetadata")
        values = json_object(values) if isinstance(values, str) else values
        if isinstance(values, dict) and "prompt" in values:
            return generation(
                "Civitai",
                where,
                prompt=first(values, "prompt"),
                negative_prompt=first(values, "negativePrompt"),
                seed=first(values, "seed"),
                sampler=first(values, "sampler"),
                steps=first(values, "steps"),
            )
    return None


def read_easy_diffusion(texts: Texts, where: str) -> Generation | None:
    """Read what Easy Diffusion writes."""
    names = ("use_stable_diffusion_model", "sampler_name", "num_inference_steps", "seed")
    values = {**json_object(texts.get("UserComment", "")), **texts}
    if names[0] not in values or "prompt" not in values:
        return None
    model, sampler, steps, seed = (first(values, name) for name in names)
    return generation(
        "Easy Diffusion",
        where,
        prompt=first(values, "prompt"),
        negative_prompt=first(values, "negative_prompt"),
        model=model,
        seed=seed,
        sampler=sampler,
        steps=steps,
    )


def read_draw_things(texts: Texts, where: str) -> Generation | None:
    """Read what Draw Things writes."""
    values = json_object(texts.get("UserComment", ""))
    if "c" not in values or "uc" not in values or "sampler" not in values:
        return None
    return generation(
        "Draw Things",
        where,
        prompt=first(values, "c"),
        negative_prompt=first(values, "uc"),
        model=first(values, "model"),
        seed=first(values, "seed"),
        sampler=first(values, "sampler"),
        steps=first(values, "steps"),
    )


def read_midjourney(texts: Texts, where: str) -> Generation | None:
    """Read a prompt with Midjourney's options and the number of the job at its end; a caption has neither."""
    for name in ("Description", "ImageDescription"):
        text = texts.get(name, "")[-4000:]
        job = _MIDJOURNEY_JOB.search(text)
        if job and _MIDJOURNEY_OPTION.search(text):
            return generation("Midjourney", where, prompt=text[: job.start()])
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
            return generation(
                "Stable Diffusion web UI",
                where,
                prompt=prompt,
                negative_prompt=negative,
                model=pairs.get("Model"),
                seed=pairs.get("Seed"),
                sampler=pairs.get("Sampler"),
                steps=pairs.get("Steps"),
            )
    return None


def read_any_object(texts: Texts, where: str) -> Generation | None:
    """Read a JSON object with a prompt and at least three more parameters under their usual names."""
    usual = {
        "negative_prompt": ("negative_prompt", "negativePrompt", "NegativePrompt"),
        "seed": ("seed", "Seed"),
        "sampler": ("sampler", "sampler_name", "Sampler", "scheduler"),
        "steps": ("steps", "Steps", "num_inference_steps", "inference_steps"),
        "model": ("model", "Model", "model_name", "ModelName", "base_model"),
        "guidance": ("guidance_scale", "cfg_scale", "cfgScale", "CfgScale"),
    }
    for name in ("parameters", "parameters-json", "UserComment", "Comment"):
        values = json_object(texts.get(name, ""))
        prompt = first(values, "prompt", "Prompt", "PositivePrompt", "positive_prompt")
        present = [field for field, names in usual.items() if any(each in values for each in names)]
        if prompt and len(present) >= 3:
            found = {field: first(values, *names) for field, names in usual.items() if field != "guidance"}
            return generation("unnamed program", where, prompt=prompt, **found)
    return None
