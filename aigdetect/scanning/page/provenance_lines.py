"""Provenance as JSON holds it, of whatever depth, turned into short lines to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.findings import Finding, Kind, Says, Strength
from aigdetect.evidence.provenance import Provenance
from aigdetect.text import shorten

MOST = 60
"""Most lines shown of one image's metadata."""

_LONGEST = 600  # characters of one line
_DEEPEST = 6
_UPPER = {"exif", "xmp", "iptc", "c2pa", "png"}


@dataclass(frozen=True)
class Claim:
    """One line: what is said, and which part of the metadata says it.

    Attributes:
        label: the part, outermost first: ``"EXIF, make"``.
        text: what it says.
        weight: what it is worth: a contradiction between claims, a finding, or a plain fact.
    """

    label: str
    text: str
    weight: Literal["contradiction", "finding", "fact"] = "fact"


def claims_of(provenance: Mapping[str, object]) -> tuple[Claim, ...]:
    """All that metadata says, contradictions and findings first.

    Args:
        provenance: an object as ``Provenance.as_dict()`` makes it; parts that this version does not know are
            shown as they are.

    Returns:
        at most :data:`MOST` lines, and a last one that says if there is more.
    """
    rest = {name: value for name, value in provenance.items() if name not in ("contradictions", "findings")}
    contradictions = (
        Claim("contradiction", shorten(str(item), _LONGEST), "contradiction")
        for item in _items(provenance, "contradictions")
    )
    findings = (_finding(item) for item in _items(provenance, "findings"))
    return _bounded(chain(contradictions, findings, _lines(rest, (), 0)))


def lines_of(value: object, label: str) -> tuple[Claim, ...]:
    """A value of JSON, a line for each part of it, with the same bounds."""
    return _bounded(_lines(value, (label,), 0))


def summary_of(provenance: Mapping[str, object]) -> str:
    """The most important claims in one line, as CSV has them; empty if there are none of a known kind."""
    try:
        exif = provenance.get("exif")
        return Provenance(
            exif=ExifFacts(**exif) if isinstance(exif, Mapping) else None,
            findings=tuple(_read_finding(item) for item in _items(provenance, "findings")),
            contradictions=tuple(map(str, _items(provenance, "contradictions"))),
        ).summary()
    except (AttributeError, KeyError, TypeError, ValueError):  # of another version, or no row of ours
        return ""


def _items(provenance: Mapping[str, object], name: str) -> list[object]:
    items = provenance.get(name)
    return items if isinstance(items, list) else []


def _read_finding(item: object) -> Finding:
    if not isinstance(item, Mapping):
        raise TypeError("not a finding")
    return Finding(
        kind=Kind(item["kind"]),
        where=str(item["where"]),
        claim=str(item["claim"]),
        says=Says(item["says"]),
        strength=Strength(item["strength"]),
    )


def _finding(item: object) -> Claim:
    try:
        finding = _read_finding(item)
    except (KeyError, TypeError, ValueError):
        return Claim("finding", "; ".join(claim.text for claim in lines_of(item, "")), "finding")
    meaning = [] if finding.says is Says.NOTHING else [finding.says.value]
    text = f"{finding.claim} ({'; '.join([*meaning, finding.strength.value])})"
    return Claim(f"{finding.where}, {finding.kind.value}", shorten(text, _LONGEST), "finding")


def _bounded(lines: Iterator[Claim]) -> tuple[Claim, ...]:
    first = list(islice(lines, MOST + 1))
    if len(first) > MOST:
        first[MOST:] = [Claim("more", "the JSON Lines output has all of it")]
    return tuple(first)


def _lines(value: object, labels: tuple[str, ...], depth: int) -> Iterator[Claim]:
    if depth > _DEEPEST:
        yield _claim(labels, "…")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _lines(inner, (*labels, str(name)), depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if all(isinstance(item, (str, int, float)) for item in value):
            if value:
                yield _claim(labels, "; ".join(map(_text, value)))
            return
        for number, item in enumerate(value, start=1):
            yield from _lines(item, (*labels, str(number)), depth + 1)
    elif value not in (None, ""):
        yield _claim(labels, _text(value))


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _claim(labels: tuple[str, ...], text: str) -> Claim:
    names = (
        label.upper() if label.lower() in _UPPER else label.replace("_", " ") for label in labels if label
    )
    return Claim(shorten(", ".join(names), _LONGEST // 4), shorten(text, _LONGEST))
