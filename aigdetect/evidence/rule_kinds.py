"""Kinds of rules about generators: names that programs sign with, credit lines, marks in one field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from aigdetect.evidence.findings import Says

_MADE_WITH = r"(?:(?:made|created|generated) (?:with|by) )?"
# What generators write behind their names: versions, digests of models, and these words. Any other word makes
# it the name of something else: "DreamStudio" generates images, "DreamStudio Photography" takes them.
_WORDS = (
    "alpha|api|app|base|beta|bot|c2pa|cloud|creator|desktop|dev|diffusion|edit|fast|flash|forge|generator|hd|images?"
    "|large|lite|max|medium|mini|mobile|model|neo|next|plus|preview|pro|reforge|server|turbo|ui|ultra|video"
    "|web|webui|xl"
)
# no word of which can be read in two ways: those of a long row of them would double with each
_MORE = rf"(?:v?\d[^\W_]*)?(?:[ ._-]{{1,3}}(?:[vg]?\d[^\W_]*|[a-f][\da-f]{{6,63}}|{_WORDS})(?![^\W_]))*"
_END = r"[\s.®™]*(?:\Z|[\r\n;,|/+(\[])"
_VERSION = r"(?:[ v._-]{0,3}\d[\w. ]{0,20})?\s*"


@dataclass(frozen=True)
class Name:
    """A program or service that works with generative models, by the name with which it signs.

    Attributes:
        tool: its name, as people call it.
        pattern: a regular expression for the beginning of what it writes, without regard to case.
        source: where its name is publicly documented.
        since: the year in which it appeared.
        says: what it says of an image that this program is named as its maker.
        person: whether the name can also stand for a person or a company, which may well be the author of a
            photograph, so that it counts only where programs and devices are named.
    """

    tool: str
    pattern: str
    source: str
    since: int
    says: Says = Says.GENERATED
    person: bool = False

    @cached_property
    def start(self) -> re.Pattern[str]:
        """Matches a field that names this program, perhaps with a version, and what is listed behind that."""
        return re.compile(rf"{_MADE_WITH}(?:{self.pattern}){_MORE}{_END}", re.IGNORECASE)

    @cached_property
    def alone(self) -> re.Pattern[str]:
        """Matches a field that holds this name, perhaps with a version, and nothing else."""
        return re.compile(rf"{_MADE_WITH}(?:{self.pattern}){_VERSION}", re.IGNORECASE)


@dataclass(frozen=True)
class Credit:
    """A credit line that services of generative AI write word for word.

    Attributes:
        text: the line, in lower case and without the stop at its end.
        says: what it says of the image.
        source: where it is publicly documented.
        since: the year in which it appeared.
    """

    text: str
    says: Says
    source: str
    since: int


@dataclass(frozen=True)
class Mark:
    """A mark in one field, perhaps along with another beside it in the same place of the file.

    Attributes:
        tool: the program or service that writes it.
        claim: what it claims, in words.
        fields: the fields in which it counts, as group and name.
        pattern: a regular expression for the beginning of the field's text.
        source: where it is publicly documented.
        since: the year in which it appeared.
        says: what it says of the image.
        beside: a second field, as group and name, and a regular expression for all of its text.
    """

    tool: str
    claim: str
    fields: tuple[str, ...]
    pattern: str
    source: str
    since: int
    says: Says = Says.GENERATED
    beside: tuple[str, str] | None = None

    @cached_property
    def start(self) -> re.Pattern[str]:
        """Matches the text of a field that bears the mark."""
        return re.compile(self.pattern, re.DOTALL)
