"""Gathers what the metadata of a file says about where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aigdetect.evidence.exif import ExifFacts, read_exif


@dataclass(frozen=True)
class Provenance:
    """What each kind of metadata claims; None where a kind is missing. All of it can be forged.

    Attributes:
        exif: camera facts.
    """

    exif: ExifFacts | None = None

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON, one key per kind of metadata that was found."""
        return {"exif": self.exif.as_dict()} if self.exif else {}

    def summary(self) -> str:
        """One short line of text, empty if nothing was found."""
        return f"EXIF: {self.exif.summary()}" if self.exif else ""


def read_provenance(data: bytes) -> Provenance:
    """Read all known metadata from the bytes of an image file; never raises.

    Args:
        data: the whole file; its pixels need not be decodable.
    """
    return Provenance(exif=read_exif(data))
