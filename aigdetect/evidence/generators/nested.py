"""Texts that hold other texts: JSON objects, and fields that begin with a label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from aigdetect.evidence.fields import Field

MAX_JSON = 8 << 20
"""Longest JSON object that is read, in characters: graphs with pictures in them."""

_USUAL_JSON = 1 << 20
_LABELLED = re.compile(r"(prompt|workflow|parameters):\s*(?=\{)", re.IGNORECASE)
_SHORT = {"exif:UserComment": "UserComment", "dc:description": "Description"}
_PACKED = ("prompt", "workflow", "parameters", "generation_data")


def json_object(text: str, most: int = _USUAL_JSON) -> dict[str, Any]:
    """The JSON object in a text, empty if there is none, or if it is longer than ``most`` characters."""
    text = text.strip(" \0\r\n\t\ufeff")
    if not text.startswith("{") or len(text) > most:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def unpack(text: Field) -> Iterator[tuple[str, str]]:
    """A text under its own name, and what is packed in it under the names that PNG files use."""
    label = _LABELLED.match(text.value)  # "workflow:{...}": how ComfyUI writes into any field of EXIF
    if label:
        yield label[1].lower(), text.value[label.end() :]
        return
    name = _SHORT.get(text.name, text.name)
    yield name, text.value
    if name in ("UserComment", "Comment", "ImageDescription"):
        packed = json_object(text.value, MAX_JSON)
        for name in _PACKED:
            if isinstance(packed.get(name), (str, dict)):
                inner = packed[name]
                yield name, inner if isinstance(inner, str) else json.dumps(inner)
        if '"class_type"' in text.value and "prompt" not in packed:
            yield "prompt", text.value
