"""The label of generated content that the Chinese standard GB 45438-2025 prescribes."""

from __future__ import annotations

from collections.abc import Iterable

from aigdetect.evidence.findings import Finding, Kind, Says, clip
from aigdetect.evidence.generators.generation import first
from aigdetect.evidence.generators.packed import json_object
from aigdetect.evidence.text import Text

_NAME = "AIGC"
_MEANS = {"1": "AI-generated", "2": "possibly AI-generated", "3": "suspected to be AI-generated"}


def read_labels(texts: Iterable[Text]) -> tuple[Finding, ...]:
    """Read the labels among the texts of a file: only the first degree says outright that it is generated."""
    found = []
    for text in texts:
        values = json_object(text.value) if _NAME in (text.key, text.value[2:6]) else {}
        inner = values.get(_NAME, values)
        label = first(inner, "Label") if isinstance(inner, dict) else ""
        if label in _MEANS:
            producer = first(inner, "ContentProducer")
            claim = f"{_MEANS[label]}, by {producer}" if producer else _MEANS[label]
            says = Says.GENERATED if label == "1" else Says.NOTHING
            found.append(Finding(Kind.LABEL, text.where, clip(f"AIGC label: {claim}"), says))
    return tuple(found[:1])
