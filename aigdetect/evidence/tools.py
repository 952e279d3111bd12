"""Names of programs and services that make images with generative models, as they sign in metadata."""

from __future__ import annotations

import re

from aigdetect.evidence.findings import Says

# Only names that nothing else goes by: "Gemini", "Imagen", "Flux" and "Firefly" alone also name other things.
_NAMES = (
    r"ai generated",  # what the programs of Black Forest Labs write as the software
    r"amazon (?:titan image generator|nova canvas)",
    r"automatic1111|stable[- ]diffusion|sd[- ]?webui|stability ai|stable image|dreamstudio",
    r"black forest labs|flux\.?[12]\b",
    r"bing image creator|image creator from (?:microsoft )?designer|microsoft[_ ]responsible[_ ]ai",
    r"comfyui|swarmui|stableswarmui|invokeai|novelai|(?:ruined ?)?fooocus|draw things|diffusionbee",
    r"easy diffusion|craiyon|ideogram|nightcafe|recraft|starryai|tensor\.?art|dreamina|jimeng|krea ai",
    r"playground ai|dall[-·. ]?e\b|openai|gpt[- ]image|gpt-4o\b|chatgpt|sora by openai",
    r"adobe[ _]firefly|firefly image|generative ai by getty images|google generative ai|google imagen",
    r"imagen [234]\b|google gemini|nano banana|grok image|xai grok|imagine with meta ai|meta ai\b",
    r"leonardo\.?\s?ai|midjourney",
)
_EDITORS = r"(?:adobe )?(?:photoshop )?generative (?:fill|expand)|magic editor"
_MAKER = re.compile(rf"\s*(?:(?:made|created) (?:with|by) )?(?:{'|'.join(_NAMES)})", re.IGNORECASE)
_EDITOR = re.compile(rf"\s*(?:{_EDITORS})", re.IGNORECASE)
_CREDITS = {
    "made with google ai": Says.GENERATED,
    "edited with google ai": Says.EDITED,
    "made with ai": Says.GENERATED,
    "imagined with ai": Says.GENERATED,
}


def tool_says(value: str) -> Says:
    """What a field says that names a program, a device or a service: whether that one generates images.

    The name has to come first: this is for fields that hold a name, not for prose that mentions one.
    """
    if _MAKER.match(value):
        return Says.GENERATED
    return Says.EDITED if _EDITOR.match(value) else Says.NOTHING


def credit_says(value: str) -> Says:
    """What a credit line says: nothing unless it is, word for word, one that services of generative AI write.

    A maker of such tools may well be credited with a photograph.
    """
    return _CREDITS.get(" ".join(value.lower().split()).rstrip("."), Says.NOTHING)
