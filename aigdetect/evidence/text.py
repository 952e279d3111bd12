"""A text out of the metadata of a file, with the name that it goes by and where it was found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """One named text.

    Attributes:
        key: its name: the keyword of a PNG text, the name of an EXIF field, ``"Comment"``.
        value: the text itself, as long as the file made it, within the limits of its container.
        where: where in the file it was found, in words.
    """

    key: str
    value: str
    where: str
