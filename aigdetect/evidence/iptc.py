"""IPTC-IIM: credit, source and program out of its records.

https://www.iptc.org/std/IIM/4.2/specification/IIMV4.2.pdf
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aigdetect.evidence.fields import Field
from aigdetect.evidence.findings import clip

_MAX_RECORDS = 2000
_UTF8 = b"\x1b%G"
_CODED_CHARACTER_SET = (1, 90)
_FIELDS = {
    "credit": (2, 110),
    "source": (2, 115),
    "program": (2, 65),
    "program_version": (2, 70),
    "byline": (2, 80),
    "created": (2, 55),
}


@dataclass(frozen=True)
class IptcFacts:
    """What IPTC-IIM says; empty where it says nothing.

    Attributes:
        credit: who is to be credited.
        source: who owns the content originally.
        program: the program that wrote it.
        program_version: the version of that program.
        byline: who made the picture.
        created: the day it was made: ``"20240506"``.
    """

    credit: str = ""
    source: str = ""
    program: str = ""
    program_version: str = ""
    byline: str = ""
    created: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: text for name, text in asdict(self).items() if text}

    @property
    def fields(self) -> tuple[Field, ...]:
        """The same, as fields."""
        return tuple(Field("IPTC", name, text, "IPTC") for name, text in self.as_dict().items())


def read_iptc(records: bytes) -> IptcFacts | None:
    """Read records of IPTC-IIM, up to the first that is damaged; None if nothing known is in them."""
    wanted = {*_FIELDS.values(), _CODED_CHARACTER_SET}
    found: dict[tuple[int, int], bytes] = {}
    at = 0
    for _ in range(_MAX_RECORDS):
        if at + 5 > len(records) or records[at] != 0x1C:
            break
        key, size = (records[at + 1], records[at + 2]), int.from_bytes(records[at + 3 : at + 5], "big")
        if size > 0x7FFF:  # an extended data set, longer than any of the fields here
            break
        if key in wanted:
            found.setdefault(key, records[at + 5 : at + 5 + size])
        at += 5 + size
    # without a declaration it may be any code page; UTF-8 is told by being valid
    utf8 = found.get(_CODED_CHARACTER_SET) == _UTF8
    facts = IptcFacts(**{name: clip(_decoded(found.get(key, b""), utf8)) for name, key in _FIELDS.items()})
    return facts if facts.as_dict() else None


def _decoded(data: bytes, utf8: bool) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8" if utf8 else "cp1252", "replace")
