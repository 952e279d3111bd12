"""Generation parameters out of the graphs of ComfyUI: the one that was run, or the one on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aigdetect.evidence.generators.generation import Generation, first, generation
from aigdetect.evidence.generators.packed import json_object

# the library walks the graph anew for each sampler
_MAX_NODES = 1000
_MAX_SAMPLERS = 8

_SAMPLER_INPUTS = {"sampler_name", "steps", "cfg"}
_MODELS = ("ckpt_name", "unet_name", "model_name")

Node = Mapping[str, Any]


def read_comfy(texts: Mapping[str, str], where: str) -> Generation | None:
    """Read what ComfyUI writes; a graph in which nothing is sampled comes back with its tool alone."""
    nodes = json_object(texts.get("prompt", ""))
    if _is_graph(nodes):
        return _with_library(nodes, where) or _scan(nodes.values(), where)
    screen = json_object(texts.get("workflow", ""))
    shown = screen.get("nodes")
    if isinstance(shown, list) and ("last_node_id" in screen or "links" in screen):
        names = [node.get("type") for node in shown if isinstance(node, dict)]
        return _scan([{"class_type": name, "inputs": {}} for name in names], where)
    return None


def _is_graph(nodes: Mapping[str, Any]) -> bool:
    """Whether this is a graph that was run: nodes by number, each with a class and its inputs."""
    return bool(nodes) and all(
        isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
        for node in nodes.values()
    )


def _with_library(nodes: Mapping[str, Node], where: str) -> Generation | None:
    from sd_parsers.parsers import ComfyUIParser

    from aigdetect.evidence.generators.library import parse

    samplers = sum(node["inputs"].keys() >= _SAMPLER_INPUTS for node in nodes.values())
    if len(nodes) > _MAX_NODES or not 0 < samplers <= _MAX_SAMPLERS:
        return None
    return parse(ComfyUIParser, {"prompt": nodes, "workflow": {"links": _links(nodes)}}, where)


def _links(nodes: Mapping[str, Node]) -> list[tuple[int, str, int, str, int, str]]:
    """The links of a graph as a workflow holds them, which many files lack."""
    return [
        (0, str(value[0]), 0, str(number), 0, name.upper())
        for number, node in nodes.items()
        for name, value in node["inputs"].items()
        if isinstance(value, list) and len(value) == 2
    ]


def _scan(nodes: Iterable[Node], where: str) -> Generation:
    """What single nodes say, wherever they stand in the graph."""
    found: dict[str, str] = {}
    prompts: set[str] = set()
    for node in nodes:
        kind, inputs = str(node["class_type"]), node["inputs"]
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
