"""XMP: source type, credit, software and history out of its packets, read without trust in their XML.

https://developer.adobe.com/xmp/docs/XMPSpecifications/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from aigdetect.evidence.findings import MAX_ITEMS, clip
from aigdetect.evidence.text import Text

MAX_PACKET = 4 << 20
"""Longest packet that is parsed, in bytes."""

_MAX_TAGS = 50_000
_MAX_LONG_TEXT = 1 << 20

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_MANAGEMENT = "{http://ns.adobe.com/xap/1.0/mm/}"
_EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
_IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"

_FIELDS = {
    "source_type": (f"{_IPTC}DigitalSourceType", f"{_IPTC}DigitalSourcefileType"),
    "credit": (f"{_PHOTOSHOP}Credit",),
    "creator_tool": (f"{_XMP}CreatorTool",),
    "software": ("{http://ns.adobe.com/tiff/1.0/}Software",),
    "ai_system": (f"{_IPTC}AISystemUsed",),
    "ai_prompt": (f"{_IPTC}AIPromptInformation",),
    "image_guid": (f"{_IPTC}DigitalImageGUID",),
    "remote_manifest": ("{http://purl.org/dc/terms/}provenance",),
    "created": (f"{_XMP}CreateDate",),
    "modified": (f"{_XMP}ModifyDate",),
}
_TEXTS = {
    "UserComment": "{http://ns.adobe.com/exif/1.0/}UserComment",
    "Description": f"{_DUBLIN_CORE}description",
    "AIGC": "{http://www.tc260.org.cn/ns/AIGC/1.0/}AIGC",
}


@dataclass(frozen=True)
class XmpFacts:
    """What XMP says; empty where it says nothing. Only what is said of the image itself, not of its parts.

    Attributes:
        source_type: IPTC digital source type, as written.
        credit: Photoshop's credit line.
        creator_tool: the first program that made the file.
        software: the program, as TIFF names it.
        ai_system: IPTC: the system of generative AI that was used.
        ai_prompt: IPTC: what that system was asked for.
        image_guid: IPTC: identity of the image.
        remote_manifest: where C2PA credentials are kept outside the file.
        created: when the picture was made.
        modified: when the file was last changed.
        history: the programs named in the history of edits, each once.
    """

    source_type: str = ""
    credit: str = ""
    creator_tool: str = ""
    software: str = ""
    ai_system: str = ""
    ai_prompt: str = ""
    image_guid: str = ""
    remote_manifest: str = ""
    created: str = ""
    modified: str = ""
    history: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The fields that say something."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items() if v}


@dataclass(frozen=True)
class Xmp:
    """A packet read: its facts, and the texts in which programs keep how they made an image."""

    facts: XmpFacts | None = None
    texts: tuple[Text, ...] = ()


def read_xmp(packets: Sequence[bytes]) -> Xmp:
    """Read packets of XMP; what is no XML, too large, or declares entities is passed over.

    Args:
        packets: the packets of one file; of a property in several, the first counts.
    """
    found: dict[str, Any] = {}
    for packet in packets:
        for name, element in _properties(packet):
            found.setdefault(name, element)
    texts = {name: _value(found[key], _MAX_LONG_TEXT) for name, key in _TEXTS.items() if key in found}
    facts = XmpFacts(
        **{name: _first(found, names) for name, names in _FIELDS.items()},
        history=_history(found.get(f"{_MANAGEMENT}History")),
    )
    return Xmp(
        facts=facts if facts.as_dict() else None,
        texts=tuple(Text(name, text, "XMP") for name, text in texts.items() if text),
    )


def _first(found: dict[str, Any], names: Iterable[str]) -> str:
    return next((value for name in names if (value := clip(_value(found.get(name), 1000)))), "")


def _properties(packet: bytes) -> Iterator[tuple[str, Any]]:
    """Name and element, or text, of each property of the outermost descriptions."""
    if len(packet) > MAX_PACKET or packet.count(b"<") > _MAX_TAGS or packet.count(b"=") > _MAX_TAGS:
        return
    from defusedxml import ElementTree

    try:
        root = ElementTree.fromstring(packet.strip(b" \0\t\r\n"), forbid_dtd=True)
    except (ElementTree.ParseError, ValueError, LookupError):  # not XML, forbidden, or an unknown coding
        return
    rdf = root if root.tag == f"{_RDF}RDF" else root.find(f"{_RDF}RDF")
    for description in [] if rdf is None else rdf.findall(f"{_RDF}Description"):
        yield from description.attrib.items()
        for element in description:
            yield element.tag, element


def _value(element: Any, most: int) -> str:
    """Text of a property: plain, an address, or the first item of a list."""
    if element is None:
        return ""
    if isinstance(element, str):
        return element[:most].strip()
    resource = element.get(f"{_RDF}resource")
    if resource:
        return str(resource)[:most].strip()
    item = element.find(f"*/{_RDF}li")
    text = (element if item is None else item).text or ""
    return str(text)[:most].strip()


def _history(element: Any) -> tuple[str, ...]:
    """The programs that a history names, in order, each once."""
    if element is None or isinstance(element, str):
        return ()
    agents: dict[str, None] = {}
    for item in element.iterfind(f"*/{_RDF}li"):
        agent = item.get(f"{_EVENT}softwareAgent") or item.findtext(f".//{_EVENT}softwareAgent") or ""
        if clip(agent):
            agents[clip(agent)] = None
        if len(agents) >= MAX_ITEMS:
            break
    return tuple(agents)
