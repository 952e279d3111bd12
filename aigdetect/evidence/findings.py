"""One finding in the metadata of a file: what it claims, where it was read, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum

MAX_TEXT = 200
"""Longest text kept of one field, in characters."""

MAX_ITEMS = 20
"""Most items kept of any list that a file can make as long as it likes."""

_ESCAPES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}


class Kind(str, Enum):
    """What sort of statement a finding is."""

    CAMERA = "camera"
    SCANNER = "scanner"
    SOFTWARE = "software"
    SOURCE_TYPE = "digital source type"
    CREDIT = "credit"
    LABEL = "AI label"
    CREDENTIAL = "content credential"
    GENERATION = "generation parameters"
    WATERMARK = "watermark"
    METADATA = "metadata"


class Says(str, Enum):
    """What a finding says of how the image came to be."""

    GENERATED = "AI-generated"
    EDITED = "AI-edited"
    POSSIBLY = "possibly AI-generated"
    CAPTURED = "captured"
    NOTHING = "nothing"


class Strength(str, Enum):
    """How far a finding can be trusted, the strongest first.

    What is signed but broken may come from another image: it is worth no more than what anyone can write.
    """

    TRUSTED = "signed and valid"
    UNTRUSTED = "signed and intact, signer on no trust list"
    UNACCEPTED = "signed and intact, certificate not acceptable"
    WATERMARK = "open watermark that anyone can write"
    TEXT = "plain text that anyone can write"
    BROKEN = "signed but broken"

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return list(Strength).index(self)


@dataclass(frozen=True)
class Finding:
    """One statement of the metadata.

    Attributes:
        kind: what sort of statement it is.
        where: where in the file it was read: ``"EXIF"``, ``"XMP"``, ``"PNG text"``...
        claim: what it claims, in words; bounded in length.
        says: what that means for how the image came to be.
        strength: how far it can be trusted.
    """

    kind: Kind
    where: str
    claim: str
    says: Says = Says.NOTHING
    strength: Strength = Strength.TEXT

    def as_dict(self) -> dict[str, str]:
        """An object for JSON."""
        return {
            name: value.value if isinstance(value, Enum) else value for name, value in asdict(self).items()
        }


def clip(text: str, most: int = MAX_TEXT) -> str:
    """Text without the blanks and zero bytes around it, cut to ``most`` characters."""
    return text[: most + 100].strip(" \0\t\r\n")[:most]


def counted(number: int) -> str:
    """A number of things that are two in most cases."""
    return "two" if number == 2 else str(number)


def decoded(data: bytes) -> str:
    """Text of bytes that should be UTF-8; what is not comes out as escapes."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:  # "backslashreplace" does the same in up to three times as long
        return data.decode("utf-8", "surrogateescape").translate(_ESCAPES)
