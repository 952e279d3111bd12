"""Where what EXIF says of a photograph cannot be true of the file that it stands in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.jpeg_structure import JpegStructure

_OF_PROGRAMS = ("Photoshop", "Adobe", "Ducky")
_UNSET = 1981  # clocks begin with 1970 or 1980
_WRITTEN = 2026  # this: a clock that shows an earlier year is wrong
_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_TOLERANCE = timedelta(days=2)
"""Clocks that are set to another time zone are off by 26 hours at most."""


def date_contradictions(facts: ExifFacts, now: datetime) -> Iterator[str]:
    """What the dates of EXIF say that cannot be.

    Args:
        facts: what EXIF says.
        now: the time of the reading, without a zone; a computer whose clock was never set accuses nobody.
    """
    taken, changed = read_date(facts.taken), read_date(facts.modified)
    if taken and now.year >= _WRITTEN and taken - now > _TOLERANCE:
        yield f"EXIF says taken in the future ({facts.taken})"
    if taken and changed and changed.year >= _UNSET and taken - changed > _TOLERANCE:
        yield f"EXIF says changed ({facts.modified}) before taken ({facts.taken})"


def table_contradictions(facts: ExifFacts, structure: JpegStructure, xmp: bool) -> Iterator[str]:
    """Where a JPEG that claims to be as its camera wrote it carries the tables of Photoshop or Lightroom.

    Tables of libjpeg are no sign: cameras and telephones use them, too.

    Args:
        facts: what EXIF says.
        structure: how the file is built.
        xmp: whether it has XMP.
    """
    if structure.tables == "Photoshop" and claims_untouched(facts, structure, xmp):
        yield f"EXIF says unchanged out of a camera ({facts.camera}), but the tables are Photoshop's"


def claims_untouched(facts: ExifFacts, structure: JpegStructure, xmp: bool) -> bool:
    """Whether a JPEG names a camera, no program, and no change, and has no segment that only programs write.

    Args:
        facts: what EXIF says.
        structure: how the file is built.
        xmp: whether it has XMP.
    """
    changed = bool(facts.modified) and facts.modified != facts.taken
    # the dots stand for segments that are not named
    by_program = any(name in each for each in structure.segments for name in (*_OF_PROGRAMS, "..."))
    named = bool(facts.make and facts.taken)
    return named and not (facts.software or changed or xmp or by_program)


def read_date(text: str) -> datetime | None:
    """A date as EXIF has it; None where it is none."""
    found = _DATE.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
