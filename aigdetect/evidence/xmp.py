"""XMP: source type, credit, software and history out of its packets, read without trust in their XML.

https://developer.adobe.com/xmp/docs/XMPSpecifications/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from xml.parsers import expat
from xml.parsers.expat import errors

from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.findings import MAX_ITEMS, clip, counted
from aigdetect.evidence.vocabulary import named_in
from aigdetect.formats.block import Block

MAX_PACKET = 4 << 20
"""Longest packet that is parsed, in bytes."""

_MAX_TAGS = 50_000
_MAX_PROPERTIES = 2000
_MAX_PREFIXES = 200
_WHERE = "XMP"

# Prefixes by the addresses that they stand for; a packet that does not declare one means the same.
_PREFIXES = {
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://www.w3.org/XML/1998/namespace": "xml",
    "adobe:ns:meta/": "x",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    "http://www.tc260.org.cn/ns/AIGC/1.0/": "TC260",
}
_KNOWN = {prefix: prefix for prefix in _PREFIXES.values()}

_FIELDS = {
    "source_type": ("Iptc4xmpExt:DigitalSourceType", "Iptc4xmpExt:DigitalSourcefileType"),
    "credit": ("photoshop:Credit",),
    "creator_tool": ("xmp:CreatorTool",),
    "software": ("tiff:Software",),
    "ai_system": ("Iptc4xmpExt:AISystemUsed",),
    "ai_prompt": ("Iptc4xmpExt:AIPromptInformation",),
    "image_guid": ("Iptc4xmpExt:DigitalImageGUID", "Iptc4xmpExt:DigImageGUID"),
    "remote_manifest": ("dcterms:provenance",),
    "created": ("xmp:CreateDate",),
    "modified": ("xmp:ModifyDate",),
}
_HISTORY = "xmpMM:History"
_AGENT = "stEvt:softwareAgent"
_VALUE = "rdf:value"

_NO_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL)
_STRAY = re.compile(r"&(?!(?:#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos);)")
_OPENED = re.compile(r"<[\w:.-]+(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*")
_WESTERN = re.compile(rb"<\?xml[^>]{0,100}encoding\s*=\s*[\"'](?:iso-8859-1|windows-1252)", re.IGNORECASE)
_CUT_OFF = (errors.codes[errors.XML_ERROR_NO_ELEMENTS], errors.codes[errors.XML_ERROR_UNCLOSED_TOKEN])
_NEXT = re.compile(rb"<(?:x:xmpmeta|rdf:RDF|\?xpacket begin)")


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
    """Packets read.

    Attributes:
        facts: what they say; of a property in several, the first counts. None if they say nothing known.
        packets: the facts of each packet that says something, where there are several.
        fields: every property of the image, by its usual prefix and name: ``"dc:description"``.
        unread: what is there and could not be read, or not without mending it, in words.
    """

    facts: XmpFacts | None = None
    packets: tuple[XmpFacts, ...] = ()
    fields: tuple[Field, ...] = ()
    unread: tuple[Unread, ...] = ()


def read_xmp(packets: Sequence[Block]) -> Xmp:
    """Read packets of XMP: whatever is well-formed of them, and no entity of their own.

    Args:
        packets: the packets of one file, in any coding of Unicode, with whatever is around them.
    """
    read = [found for packet in packets for found in _read_packets(packet)]
    properties = tuple(each for found in read for each in found.fields)
    said = tuple(facts for found in read if (facts := _facts(found.fields)).as_dict())
    facts = _facts(properties)
    unread = [each for found in read for each in found.unread]
    if differing := _differing(said):
        unread.append(Unread(_WHERE, f"{counted(len(said))} packets that disagree on {', '.join(differing)}"))
    return Xmp(
        facts=facts if facts.as_dict() else None,
        packets=said if len(said) > 1 else (),
        fields=properties,
        unread=tuple(dict.fromkeys(unread)),
    )


def _facts(properties: Iterable[Field]) -> XmpFacts:
    found: dict[str, list[str]] = {}
    for each in properties:
        found.setdefault(each.name, []).append(each.value)
    agents = (clip(agent) for agent in found.get(_AGENT, ()))
    return XmpFacts(
        **{name: _first(found, names) for name, names in _FIELDS.items()},
        history=tuple(dict.fromkeys(filter(None, agents)))[:MAX_ITEMS],
    )


def _first(found: dict[str, list[str]], names: Iterable[str]) -> str:
    return next((value for name in names for each in found.get(name, ()) if (value := clip(each))), "")


def _differing(packets: Sequence[XmpFacts]) -> list[str]:
    """The facts on which packets differ."""
    names = [name for name in _FIELDS if name not in ("created", "modified")]
    return [
        name.replace("_", " ") for name in names if len({getattr(each, name) for each in packets} - {""}) > 1
    ]


# -- one packet --------------------------------------------------------------------------------------------


def _read_packets(packet: Block) -> Iterator[Xmp]:
    """A packet, and others that stand behind it in the same block."""
    content = packet.head(MAX_PACKET + 1)
    if len(content) > MAX_PACKET or content.count(b"<") > _MAX_TAGS or content.count(b"=") > _MAX_TAGS:
        yield Xmp(unread=(Unread(_WHERE, "present, not read: too large"),))
        return
    text = _NO_XML.sub("", _text(content)).encode("utf-8", "replace")
    for _ in range(MAX_ITEMS):
        begin = text.find(b"<")
        if begin < 0:
            if text.strip():
                yield Xmp(unread=(Unread(_WHERE, "present, unreadable: no XML"),))
            return
        text = text[begin:]
        reader = _Reader(packet.offset)
        if not reader.read(text):
            mended = _Reader(packet.offset)
            mended.read(_mended(text))
            yield max(mended, reader, key=len).found(text, reader.problem)
            return
        yield reader.found(text)
        after = _NEXT.search(text, reader.end)
        text = text[after.start() :] if after else b""


def _text(content: bytes) -> str:
    """Text in whatever coding of Unicode, or in the Western one, if it declares that."""
    even, odd = content[0:200:2].count(0), content[1:200:2].count(0)
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return content.decode("utf-32", "replace")
    if content.startswith(b"\xff\xfe") or (odd > 50 and not content.startswith(b"\xfe\xff")):
        return content.decode("utf-16-le", "replace").lstrip("\ufeff")
    if content.startswith(b"\xfe\xff") or even > 50:
        return content.decode("utf-16-be", "replace").lstrip("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252" if _WESTERN.search(content[:200]) else "utf-8", "replace")


def _mended(content: bytes) -> bytes:
    """XML without a document type and stray ampersands; where it breaks off in a tag, with that closed."""
    text = content.decode("utf-8")
    # at its first place only: to look for its end from each of many would take quadratic time
    declared = _DOCTYPE.match(text, begin) if (begin := text.find("<!DOCTYPE")) >= 0 else None
    text = _STRAY.sub("&amp;", text[:begin] + text[declared.end() :] if declared else text)
    last = text.rfind("<")
    if last > text.rfind(">") and (opened := _OPENED.match(text, last)):
        text = text[: opened.end()] + ">"
    return text.encode()


class _EntityError(ValueError):
    """An entity is declared: what it stands for can be of any size, and anything."""


@dataclass
class _Reader:
    """Reads the properties of the outermost descriptions of one document, as far as it is well-formed.

    Attributes:
        offset: where its block begins in the file.
        problem: why it could not be read to its end.
        end: where its outermost element ends, in bytes.
    """

    offset: int
    problem: str = ""
    end: int = 0
    _fields: list[Field] = field(default_factory=list)
    _depth: int = 0
    _stack: list[str] = field(default_factory=list)
    _spaces: list[dict[str, str]] = field(default_factory=lambda: [_KNOWN])
    _value: list[str] = field(default_factory=list)
    _prefixes: int = 0
    _seen_rdf: bool = False

    def read(self, content: bytes) -> bool:
        """Read a document; whether it was well-formed to the end of its outermost element."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = lambda name: self._finish(parser.CurrentByteIndex)
        parser.CharacterDataHandler = self._value.append
        parser.EntityDeclHandler = self._refuse
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            if self.end and not self._depth:  # only what follows the document is none
                return True
            self.problem = (
                "truncated" if error.code in _CUT_OFF else expat.ErrorString(error.code) or "not well-formed"
            )
        except _EntityError:
            self.problem = "it declares entities"
        return not self.problem

    def __len__(self) -> int:
        return len(self._fields)

    def found(self, content: bytes, mended: str = "") -> Xmp:
        """What was read, and what has to be said of it.

        Args:
            content: the document as it is.
            mended: why it had to be mended; empty if it had not.
        """
        unread: list[str] = []
        if self.problem:
            part = "read in part" if self._fields else "present, unreadable"
            named = [each for each in named_in(content) if not any(each in f.value for f in self._fields)]
            names = f"; it names {', '.join(named)}" if named else ""
            unread.append(f"{part}: {self.problem}{names}")
        elif mended:
            unread.append(f"mended to be read: {mended}")
        elif not self._seen_rdf:
            unread.append("present, unreadable: no RDF in it")
        return Xmp(fields=tuple(self._fields), unread=tuple(Unread(_WHERE, reason) for reason in unread))

    @staticmethod
    def _refuse(*_: Any) -> None:
        raise _EntityError

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        declared = {
            name.removeprefix("xmlns:"): _PREFIXES.get(value.strip(), name.removeprefix("xmlns:") + "?")
            for name, value in attributes.items()
            if name.startswith("xmlns:") and self._prefixes < _MAX_PREFIXES
        }
        self._prefixes += len(declared)
        self._spaces.append({**self._spaces[-1], **declared} if declared else self._spaces[-1])
        name = self._named(tag)
        self._stack.append(name)
        self._seen_rdf |= name == "rdf:RDF"
        level = self._level()
        if level == 0:
            for key, value in attributes.items():
                if not key.startswith(("xmlns", "rdf:", "xml:")):
                    self._add(self._named(key), value)
        elif level > 1 and self._stack[-level] == _HISTORY:
            for key, value in attributes.items():
                if self._named(key) == _AGENT:
                    self._add(_AGENT, value)
        elif level == 1 or (level == 3 and name == "rdf:li"):
            for key, value in attributes.items():
                if self._named(key) in ("rdf:resource", _VALUE):
                    self._add(self._stack[-level], value)
        self._value.clear()

    def _finish(self, at: int) -> None:
        level, name = self._level(), self._stack[-1]
        text = "".join(self._value).strip()
        if text and level == 1:
            self._add(name, text)
        elif text and self._is_value(level):
            self._add(self._stack[-level], text)
        elif text and level > 3 and name == _AGENT and self._stack[-level] == _HISTORY:
            self._add(_AGENT, text)
        self._value.clear()
        self._stack.pop()
        self._spaces.pop()
        self._depth -= 1
        if not self._depth:
            self.end = at + 1

    def _is_value(self, level: int) -> bool:
        """Whether an element is one of the values of a property, or its value beside qualifiers of it."""
        name = self._stack[-1]
        if level == 2:
            return name == _VALUE
        return level == 3 and (name == "rdf:li" or self._stack[-2:] == ["rdf:Description", _VALUE])

    def _level(self) -> int:
        """Levels below an outermost description: 0 for itself, 1 for a property; negative outside of one."""
        for depth in (1, 0):  # the outermost element is RDF itself, or holds it
            if self._stack[depth : depth + 2] == ["rdf:RDF", "rdf:Description"]:
                return len(self._stack) - depth - 2
        return -1

    def _named(self, name: str) -> str:
        """A name with its usual prefix; one that stands for something else ends with a question mark."""
        prefix, colon, local = name.partition(":")
        return f"{self._spaces[-1].get(prefix, prefix + '?')}:{local}" if colon else name

    def _add(self, name: str, value: str) -> None:
        if len(self._fields) < _MAX_PROPERTIES and value.strip():
            self._fields.append(Field("XMP", name, value.strip(), _WHERE, self.offset))
