"""What happened to a file on its way, where it says so: a screen was copied, or a service passed it on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aigdetect.evidence.text import Text

_SCREEN = "http://cv.iptc.org/newscodes/digitalsourcetype/screenCapture"
# https://stackoverflow.com/questions/31120222: "FBMD", two digits of how many numbers follow, and the numbers
_FACEBOOK = re.compile(rb"\x1c\x02\x28..FBMD[0-9a-f]{10,}", re.DOTALL)
_MOST = 1 << 16


def handling_notes(texts: Iterable[Text], source_type: str, iptc: bytes) -> Iterator[str]:
    """Name the signs of it, each of which only the named program or service is known to leave.

    Args:
        texts: of the file: comments of EXIF, texts of PNG.
        source_type: digital source type in XMP, as written.
        iptc: records of IPTC-IIM.
    """
    if where := next(_screens(texts), "XMP source type" if source_type == _SCREEN else ""):
        yield f"a screenshot, says the file ({where}): it has no metadata of what the screen showed"
    if _FACEBOOK.search(iptc[:_MOST]):
        yield "passed on by Facebook or Instagram (IPTC instructions, FBMD), which remove metadata"


def _screens(texts: Iterable[Text]) -> Iterator[str]:
    """Where a text says it: systems by Apple write a comment in EXIF, GNOME's program its name."""
    for text in texts:
        if (text.where, text.key, text.value.strip("\0 ")) == ("EXIF", "UserComment", "Screenshot"):
            yield "EXIF comment"
        if (text.where, text.key, text.value) == ("PNG text", "Software", "gnome-screenshot"):
            yield "PNG text, gnome-screenshot"
