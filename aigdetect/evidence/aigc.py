"""The label of generated content that the Chinese standard GB 45438-2025 prescribes.

https://www.tc260.org.cn/upload/2025-03-15/1742009439794081593.pdf
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from aigdetect.evidence.fields import Field
from aigdetect.evidence.findings import Finding, Kind, Says, clip
from aigdetect.evidence.generators.generation import first
from aigdetect.evidence.generators.nested import json_object

_NAME = "AIGC"
_NAMED = re.compile(r'"AIGC"\s*:')
_MEANS = {
    "1": ("AI-generated", Says.GENERATED),
    "2": ("possibly AI-generated", Says.POSSIBLY),
    "3": ("suspected to be AI-generated", Says.POSSIBLY),
}
_MAX_LABELS = 4


def read_labels(fields: Iterable[Field]) -> tuple[Finding, ...]:
    """Read the labels among the fields of a file: only the first degree says outright: generated."""
    found: dict[Finding, None] = {}
    for field in fields:
        for values in _labels(field):
            meaning = _MEANS.get(first(values, "Label").strip())
            if meaning:
                words, says = meaning
                producer = first(values, "ContentProducer")
                claim = f"AIGC label: {words}, by {producer}" if producer else f"AIGC label: {words}"
                found[Finding(Kind.LABEL, field.where, clip(claim), says)] = None
    return tuple(found)[:_MAX_LABELS]


def _labels(field: Field) -> Iterator[dict[str, Any]]:
    """The objects in a field that stand under the name that the standard gives, as objects or as text."""
    named = field.name.rpartition(":")[2] == _NAME
    if not named and not _NAMED.search(field.value):
        return
    values = json_object(field.value)
    inner = values.get(_NAME, values if named else None)
    if isinstance(inner, str):
        inner = json_object(inner)
    if isinstance(inner, dict):
        yield inner
