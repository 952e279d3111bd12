"""What happened to a file on its way, where it says so: a screen was copied, or a service passed it on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aigdetect.evidence.fields import Field

_SCREEN = "http://cv.iptc.org/newscodes/digitalsourcetype/screenCapture"
# https://stackoverflow.com/questions/31120222: "FBMD", two digits of how many numbers follow, and the numbers
_FACEBOOK = re.compile(rb"\x1c\x02\x28..FBMD[0-9a-f]{10,}", re.DOTALL)
_MOST = 1 << 16


def handling_notes(fields: Iterable[Field], source_type: str, iptc: Iterable[bytes]) -> Iterator[str]:
    """Name the signs of it, each of which only the named program or service is known to leave.

    Args:
        fields: of the file.
        source_type: digital source type in XMP, as written.
        iptc: blocks of records of IPTC-IIM.
    """
    if where := next(_screens(fields), "XMP source type" if source_type == _SCREEN else ""):
        yield f"a screenshot, says the file ({where}): it has no metadata of what the screen showed"
    if any(_FACEBOOK.search(block[:_MOST]) for block in iptc):
        yield "passed on by Facebook or Instagram (IPTC instructions, FBMD), which remove metadata"


def _screens(fields: Iterable[Field]) -> Iterator[str]:
    """Where a field says it: systems by Apple write a comment in EXIF, GNOME's program its name."""
    for field in fields:
        if (field.group, field.name, field.value.strip("\0 ")) == ("EXIF", "UserComment", "Screenshot"):
            yield "EXIF comment"
        if (field.where, field.name, field.value) == ("PNG text", "Software", "gnome-screenshot"):
            yield "PNG text, gnome-screenshot"
