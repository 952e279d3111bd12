"""A field of the metadata of a file: what all readers yield, and all rules look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        group: the kind of metadata: ``"EXIF"``, ``"XMP"``, ``"IPTC"``, ``"text"`` (named texts and comments
            of a container), ``"trailer"``.
        name: its name within that: the keyword of a PNG text, the name of an EXIF tag, ``"Comment"``.
        value: its text, as long as the file made it, within the limits of its container.
        where: where in the file it was found, in words.
        offset: where the block that holds it begins in the file, in bytes; None where it has no place of its
            own, as what is hidden in pixels.
    """

    group: str
    name: str
    value: str
    where: str
    offset: int | None = None


class Unread(NamedTuple):
    """What is there and could not be read, or only in part, or not without mending it.

    Attributes:
        where: where in the file it is, in words: ``"XMP"``, ``"PNG text"``.
        reason: what is wrong with it.
    """

    where: str
    reason: str
