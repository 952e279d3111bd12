"""What the rules say of names, credit lines and the fields of a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aigdetect.evidence.fields import Field
from aigdetect.evidence.findings import MAX_TEXT, Finding, Kind, Says, clip
from aigdetect.evidence.rule_kinds import Mark
from aigdetect.evidence.rules import CREDITS, MARKS, NAMES

_PROGRAMS = ("text Source", "text Generator", "EXIF HostComputer")
_AUTHORS = ("text Author", "EXIF Artist", "EXIF XPAuthor", "XMP dc:creator", "IPTC byline")


def tool_says(value: str) -> Says:
    """What a field says that names a program, a device or a service: whether that one generates images.

    The name has to come first: this is for fields that hold a name, not for prose that mentions one.
    """
    value = value[:MAX_TEXT].lstrip()
    return next((name.says for name in NAMES if name.start.match(value)), Says.NOTHING)


def author_says(value: str) -> Says:
    """What a field says that names an author: something only if a program's name is all that it holds."""
    value = value[:MAX_TEXT].strip()
    named = (name for name in NAMES if not name.person and name.alone.fullmatch(value))
    return next((name.says for name in named), Says.NOTHING)


def credit_says(value: str) -> Says:
    """What a credit line says: nothing unless it is, word for word, one that services of generative AI write.

    A maker of such tools may well be credited with a photograph.
    """
    line = " ".join(value[:MAX_TEXT].lower().split()).rstrip(".")
    return next((credit.says for credit in CREDITS if credit.text == line), Says.NOTHING)


def read_marks(fields: Iterable[Field]) -> Iterator[Finding]:
    """The findings of all rules in the fields of a file, in their order; one may come twice."""
    fields = tuple(fields)
    for field in fields:
        key = f"{field.group} {field.name}"
        for says in (tool_says,) if key in _PROGRAMS else (author_says,) if key in _AUTHORS else ():
            if (said := says(field.value)) is not Says.NOTHING:
                yield Finding(Kind.SOFTWARE, field.where, f"{field.name}: {clip(field.value)}", said)
        for mark in MARKS:
            if key in mark.fields and mark.start.match(field.value) and _beside(mark, field, fields):
                yield Finding(Kind.LABEL, field.where, mark.claim, mark.says)


def _beside(mark: Mark, field: Field, fields: tuple[Field, ...]) -> bool:
    """Whether the second field of a mark is there, if it has one."""
    if mark.beside is None:
        return True
    key, pattern = mark.beside
    return any(
        f"{each.group} {each.name}" == key and re.fullmatch(pattern, each.value.strip())
        for each in fields
        if each.where == field.where
    )
