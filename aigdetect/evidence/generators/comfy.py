"""Generation parameters out of the graphs of ComfyUI: the one that was run, or the one on the screen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aigdetect.evidence.generators.generation import Generation, first, generation
from aigdetect.evidence.generators.nested import MAX_JSON, json_object

# the library walks the graph anew for each sampler
_MAX_NODES = 1000
_MAX_SAMPLERS = 8

_SAMPLER_INPUTS = {"sampler_name", "steps", "cfg"}
_MODELS = ("ckpt_name", "unet_name", "model_name")
_LONGEST_NAME = 100
_OFF = (2, 4)  # a node that is muted, or passed by

# Inputs by which pictures go through a graph, as pixels or encoded: not as conditions on what is generated.
_PICTURES = re.compile(
    r"(?:\w+_)?(?:images?|pixels|samples|latents?|latent_image|upscaled_image)(?:[._]?(?:image)?_?\d+)?"
)
_LOADERS = re.compile(r"(?:\w+ ?)?(?:LoadImage|Load Image|ImageLoad)\w*", re.IGNORECASE)
_INPAINTERS = re.compile(r"\w*(?:Inpaint|SetLatentNoiseMask|Fill)\w*", re.IGNORECASE)
# these make a picture a condition of what is generated in order to edit it
_EDITORS = re.compile(
    r"ReferenceLatent|TextEncodeQwenImageEdit\w*|\w*InpaintModelConditioning|InstructPix\w+"
)
_UPSCALERS = re.compile(r"ImageUpscaleWithModel|\w*(?:Topaz|SUPIR|CreativeUpscale)\w*")

# Nodes that have a service make the picture (https://docs.comfy.org/tutorials/partner-nodes/overview).
_SERVICES = (
    (r"Gemini\w*Image\w*|GoogleImagen\w*", "Google Gemini"),
    (r"OpenAI(?:GPTImage|Dalle)\w*", "OpenAI"),
    (r"Flux(?:\d|Pro|Kontext(?:Pro|Max))\w*(?:Image|Expand|Fill|Canny|Depth)Node", "FLUX"),
    (r"IdeogramV\d\w*", "Ideogram"),
    (r"Stability(?:StableImage|Upscale)\w*", "Stability AI"),
    (r"Recraft\w*(?:Image|Inpainting|Background|Upscale)\w*", "Recraft"),
    (r"LumaImage\w*", "Luma"),
    (r"ByteDance(?:Image|Seedream)\w*", "ByteDance Seedream"),
    (r"Kling\w*Image\w*", "Kling"),
    (r"RunwayTextToImage\w*", "Runway"),
    (r"Wan\w*ToImageApi", "Wan"),
    (r"ReveImage\w*", "Reve"),
    (r"GrokImage\w*", "xAI Grok"),
)
_SERVICE = [(re.compile(pattern), name) for pattern, name in _SERVICES]

Node = Mapping[str, Any]
Nodes = Mapping[str, Node]


def read_comfy(texts: Mapping[str, str], where: str) -> Generation | None:
    """Read what ComfyUI writes; a graph in which nothing is sampled comes back with its tool alone."""
    nodes = json_object(texts.get("prompt", ""), MAX_JSON)
    if _is_graph(nodes):
        nodes = _clipped(nodes)
        found = _by_service(nodes, where) or _with_library(nodes, where) or _scan(nodes.values(), where)
        return replace(found, edited=_edited(nodes))
    screen = json_object(texts.get("workflow", ""), MAX_JSON)
    shown = screen.get("nodes")
    if isinstance(shown, list) and ("last_node_id" in screen or "links" in screen):
        graph = _graph_of_screen(shown, screen.get("links"))
        found = _by_service(graph, where) or _scan(graph.values(), where)
        return replace(found, edited=_edited(graph))
    return None


def _is_graph(nodes: Mapping[str, Any]) -> bool:
    """Whether this is a graph that was run: nodes by number, each with a class and its inputs."""
    return bool(nodes) and all(
        isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
        for node in nodes.values()
    )


def _clipped(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes without what only makes work: names as long as a file likes."""
    return {
        number: {
            "class_type": node["class_type"][:_LONGEST_NAME],
            "inputs": {name: v for name, v in node["inputs"].items() if len(name) <= _LONGEST_NAME},
        }
        for number, node in nodes.items()
    }


def _graph_of_screen(shown: Iterable[Any], links: Any) -> Nodes:
    """The nodes on the screen that are switched on, in the form of a graph that was run."""
    sources = {
        link[0]: [str(link[1]), link[2]]
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, list) and len(link) >= 3 and isinstance(link[0], int)
    }
    nodes: dict[str, Node] = {}
    for node in shown:
        if not isinstance(node, dict) or node.get("mode") in _OFF:
            continue
        inputs = node.get("inputs")
        nodes[str(node.get("id"))[:_LONGEST_NAME]] = {
            "class_type": str(node.get("type"))[:_LONGEST_NAME],
            "inputs": {
                str(each.get("name"))[:_LONGEST_NAME]: sources[each["link"]]
                for each in (inputs if isinstance(inputs, list) else [])
                if isinstance(each, dict) and isinstance(each.get("link"), int) and each["link"] in sources
            },
        }
    return nodes


def _service(node: Node) -> str:
    """The service that has its part in a node, empty if none makes a picture there."""
    kind = node["class_type"]
    return "" if "Video" in kind else next((name for each, name in _SERVICE if each.fullmatch(kind)), "")


def _by_service(nodes: Nodes, where: str) -> Generation | None:
    """What a node says that has a service make the picture."""
    for node in nodes.values():
        named, inputs = _service(node), node["inputs"]
        if named:
            model = first(inputs, "model", "model_name")
            return generation(
                "ComfyUI",
                where,
                prompt=first(inputs, "prompt", "text"),
                negative_prompt=first(inputs, "negative_prompt"),
                model=f"{named}, {model}" if model else named,
                seed=first(inputs, "seed"),
            )
    return None


def _with_library(nodes: Nodes, where: str) -> Generation | None:
    from sd_parsers.parsers import ComfyUIParser

    from aigdetect.evidence.generators.known_programs import parse

    samplers = sum(node["inputs"].keys() >= _SAMPLER_INPUTS for node in nodes.values())
    if len(nodes) > _MAX_NODES or not 0 < samplers <= _MAX_SAMPLERS:
        return None
    found = parse(ComfyUIParser, {"prompt": nodes, "workflow": {"links": _links(nodes)}}, where)
    return replace(found, negative_prompt="") if found and _without_negative(nodes) else found


def _links(nodes: Nodes) -> list[tuple[int, str, int, str, int, str]]:
    """The links of a graph as a workflow holds them, which many files lack."""
    return [
        (0, source, 0, str(number), 0, name.upper())
        for number, node in nodes.items()
        for name, value in node["inputs"].items()
        if (source := _source(value))
    ]


def _source(value: Any) -> str:
    """The node that an input comes from, empty if it is no link."""
    return str(value[0]) if isinstance(value, list) and len(value) == 2 else ""


def _without_negative(nodes: Nodes) -> bool:
    """Whether no text reaches a negative input other than through a node that zeroes it."""
    starts = [
        source for node in nodes.values() if (source := _source(node["inputs"].get("negative"))) in nodes
    ]
    sources = {
        number: []
        if node["class_type"] == "ConditioningZeroOut"
        else list(map(_source, node["inputs"].values()))
        for number, node in nodes.items()
    }
    reached = _reached(sources, starts)
    return bool(starts) and not any(
        "TextEncode" in nodes[number]["class_type"] for number in reached if number in nodes
    )


def _edited(nodes: Nodes) -> str:
    """What was done to a picture that was loaded, in words; empty if none went into the one that came out.

    A picture that only was a condition, for a pose or a style for instance, is not edited.
    """
    users: dict[str, list[str]] = {}
    for number, node in nodes.items():
        for name, value in node["inputs"].items():
            if (source := _source(value)) and _PICTURES.fullmatch(name):
                users.setdefault(source, []).append(number)

    def behind(pattern: re.Pattern[str]) -> set[str]:
        """The nodes of these kinds, and those that a picture reaches from one of them."""
        return _reached(users, (n for n, node in nodes.items() if pattern.fullmatch(node["class_type"])))

    loaded, inpainted = behind(_LOADERS), behind(_INPAINTERS)
    samplers = [number for number, node in nodes.items() if _is_sampler(node)]
    services = [number for number, node in nodes.items() if _service(node)]
    for number in (*samplers, *services):
        if number in loaded:
            if number in inpainted:
                return "inpainting"
            strength = nodes[number]["inputs"].get("denoise")
            known = isinstance(strength, (int, float)) and not isinstance(strength, bool)
            return f"image to image, denoising strength {strength:.3g}" if known else "image to image"
    changing = _EDITORS if samplers else _UPSCALERS
    if not services and any(changing.fullmatch(nodes[n]["class_type"]) for n in loaded if n in nodes):
        return "image to image" if samplers else "upscaling"
    return ""


def _reached(links: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """The nodes that links lead to, those they start from among them."""
    waiting = list(starts)
    reached = set(waiting)
    while waiting:
        for node in links.get(waiting.pop(), ()):
            if node not in reached:
                reached.add(node)
                waiting.append(node)
    return reached


def _is_sampler(node: Node) -> bool:
    kind = node["class_type"]
    return node["inputs"].keys() >= _SAMPLER_INPUTS or ("Sampler" in kind and "Select" not in kind)


def _scan(nodes: Iterable[Node], where: str) -> Generation:
    """What single nodes say, wherever they stand in the graph."""
    found: dict[str, str] = {}
    prompts: set[str] = set()
    for node in nodes:
        kind, inputs = node["class_type"], node["inputs"]
        if "Sampler" in kind:
            found.setdefault("sampler", first(inputs, "sampler_name") or kind)
        for name, keys in (("model", _MODELS), ("seed", ("seed", "noise_seed")), ("steps", ("steps",))):
            if value := first(inputs, *keys):
                found.setdefault(name, value)
        if "TextEncode" in kind and (text := first(inputs, "text", "clip_l", "prompt")):
            prompts.add(text)
    if "sampler" not in found:  # an image that only went through, or was scaled
        return generation("ComfyUI", where)
    # which of several texts is the negative one, only the links could tell
    return generation("ComfyUI", where, **found, prompt=prompts.pop() if len(prompts) == 1 else None)
