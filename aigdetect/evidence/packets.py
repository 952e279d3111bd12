"""The properties of an XMP packet, whatever they are called, with their places in it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from aigdetect.evidence.findings import clip

MAX_PROPERTIES = 2000
"""Most properties of one packet."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_CONTAINERS = {"RDF", "Description", "Seq", "Bag", "Alt", "li"}
_MAX_DEPTH = 40
_LONGEST = 1000

Property = tuple[str, str, str, int, int]
"""Group (``"XMP-dc"``), name, value, and place and length in the packet."""


def read_properties(packet: bytes) -> Iterator[Property]:
    """Properties in the order of the packet; fields of structures are named after both, as ExifTool does.

    Args:
        packet: from its first ``<`` on; what cannot be parsed ends the list. Entities are refused.
    """
    reader = _Reader(packet)
    with contextlib.suppress(expat.ExpatError, _EndError, ValueError, LookupError):
        reader.parse()
    return iter(reader.found)


class _EndError(Exception):
    """Enough was read, or what follows is refused."""


class _Reader:
    """Takes expat's events, and keeps where it is."""

    def __init__(self, packet: bytes) -> None:
        self.found: list[Property] = []
        self._packet = packet
        self._prefixes = {_RDF: "rdf", _XML: "xml"}
        self._open: list[tuple[str, str, int]] = []  # group, name, place
        self._text = ""
        self._leaf = False
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartNamespaceDeclHandler = self._namespace
        self._parser.EntityDeclHandler = self._refuse

    def parse(self) -> None:
        self._parser.Parse(self._packet, True)

    def _refuse(self, *_: Any) -> None:
        raise _EndError

    def _namespace(self, prefix: str | None, address: str) -> None:
        self._prefixes.setdefault(address, prefix or "")

    def _split(self, name: str) -> tuple[str, str, str]:
        """Address, group and local name."""
        address, _, local = name.rpartition(" ")
        return address, f"XMP-{self._prefixes.get(address, '')}", local

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        address, group, local = self._split(name)
        at = self._parser.CurrentByteIndex
        if len(self._open) > _MAX_DEPTH or len(self.found) >= MAX_PROPERTIES:
            raise _EndError
        is_property = not (address == _RDF and local in _CONTAINERS) and address != "adobe:ns:meta/"
        self._open.append((group, local if is_property else "", at))
        self._text, self._leaf = "", True
        begin, end = at, self._packet.find(b">", at)  # attributes come in their order
        for key, value in attributes.items():
            if len(self.found) >= MAX_PROPERTIES:
                raise _EndError
            address, group, local = self._split(key)
            if address in (_XML, "") or (address == _RDF and local not in ("resource", "about")):
                continue
            if local == "about" and not value:
                continue
            named = re.compile(rb"[\s:]" + re.escape(local.encode()) + rb"\s*=")
            here = named.search(self._packet, begin, end)
            place = (here.start() + 1, len(local) + len(value.encode()) + 3) if here else (at, end - at)
            begin = here.end() if here else end
            outer, own = self._name()
            if local in ("about", "resource"):
                self.found.append((outer or "XMP-rdf", own or "About", clip(value), *place))
            else:
                self.found.append(
                    (outer or group, own + (local[:1].upper() + local[1:]), clip(value), *place)
                )

    def _name(self) -> tuple[str, str]:
        """Group of the outermost property that is open, and the names of all, one behind the other."""
        named = [(group, name) for group, name, _ in self._open if name]
        joined = "".join(name[:1].upper() + name[1:] for _, name in named)
        return (named[0][0] if named else "", joined)

    def _characters(self, text: str) -> None:
        if len(self._text) < _LONGEST:
            self._text += text[:_LONGEST]

    def _end(self, _: str) -> None:
        group, name = self._name()
        _, _, at = self._open.pop()
        if self._leaf and name and self._text.strip():
            self.found.append((group, name, clip(self._text), at, self._parser.CurrentByteIndex - at))
        self._text, self._leaf = "", False
