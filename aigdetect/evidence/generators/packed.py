"""Texts that hold other texts: JSON objects, and fields that begin with a label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from aigdetect.evidence.text import Text

_MAX_JSON = 2 << 20
_LABELLED = re.compile(r"(prompt|workflow|parameters):\s*(?=\{)", re.IGNORECASE)
_PACKED = ("prompt", "workflow", "parameters", "generation_data")


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in a text, empty if there is none."""
    text = text.strip(" \0\r\n\t")
    if not text.startswith("{") or len(text) > _MAX_JSON:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def unpack(text: Text) -> Iterator[tuple[str, str]]:
    """A text under its own name, and what is packed in it under the names that PNG files use."""
    label = _LABELLED.match(text.value)  # "workflow:{...}": how ComfyUI writes into any field of EXIF
    if label:
        yield label[1].lower(), text.value[label.end() :]
        return
    yield text.key, text.value
    if text.key in ("UserComment", "Comment", "ImageDescription"):
        packed = json_object(text.value)
        for name in _PACKED:
            if isinstance(packed.get(name), (str, dict)):
                inner = packed[name]
                yield name, inner if isinstance(inner, str) else json.dumps(inner)
        if '"class_type"' in text.value and "prompt" not in packed:
            yield "prompt", text.value
