"""EXIF: what the file says of the camera, the lens, the software and the times, and the comments in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

from aigdetect.evidence.containers import find_blocks
from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.findings import clip, counted, decoded
from aigdetect.formats.block import Block
from aigdetect.formats.tiff import read_values

_MAX_READS = 20_000  # a damaged or hostile directory can name others without end
_MAX_BYTES = 1 << 20

# exifread warns of every odd entry; with no handler its warnings would reach standard error
logging.getLogger("exifread").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class ExifFacts:
    """What EXIF says; empty where it says nothing.

    Attributes:
        make: maker of the camera.
        model: model of the camera.
        lens: model of the lens.
        software: program or firmware that wrote the file.
        taken: when the picture was taken, as written: ``"2024:05:06 07:08:09"``.
        digitized: when it was turned into numbers.
        modified: when the file was last changed.
        gps_date: the day by the satellites' clock.
    """

    make: str = ""
    model: str = ""
    lens: str = ""
    software: str = ""
    taken: str = ""
    digitized: str = ""
    modified: str = ""
    gps_date: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: text for name, text in asdict(self).items() if text}

    @property
    def camera(self) -> str:
        """Maker and model, the maker named once; empty if it is no camera's but a program's own text."""
        if "{" in self.make + self.model:  # ComfyUI keeps its graph there
            return ""
        return (self.model if self.model.startswith(self.make) else f"{self.make} {self.model}").strip()

    def summary(self) -> str:
        """One short line of text."""
        parts = {"": self.camera, "lens ": self.lens, "software ": self.software, "taken ": self.taken}
        return ", ".join(label + " ".join(text.split()) for label, text in parts.items() if text)


@dataclass(frozen=True)
class Exif:
    """What EXIF holds.

    Attributes:
        facts: camera, software and times; of several blocks the first that says something counts. None if
            none says anything of them.
        blocks: the facts of each block that says something, where there are several.
        fields: all of these, the comments, and the other tags in which programs are known to sign or to keep
            how they made an image.
        scanned: whether it says that a scanner was the source.
        unread: what is there and could not be read, in words.
    """

    facts: ExifFacts | None = None
    blocks: tuple[ExifFacts, ...] = ()
    fields: tuple[Field, ...] = ()
    scanned: bool = False
    unread: tuple[Unread, ...] = ()


# name by exifread, and number
_FACTS = {
    "make": ("Image Make", 0x010F),
    "model": ("Image Model", 0x0110),
    "lens": ("EXIF LensModel", 0xA434),
    "software": ("Image Software", 0x0131),
    "taken": ("EXIF DateTimeOriginal", 0x9003),
    "digitized": ("EXIF DateTimeDigitized", 0x9004),
    "modified": ("Image DateTime", 0x0132),
    "gps_date": ("GPS GPSDate", 0x001D),
}
_TEXTS = {
    "ImageDescription": ("Image ImageDescription", 0x010E),
    "Make": _FACTS["make"],
    "Model": _FACTS["model"],
    "Software": _FACTS["software"],
    "Artist": ("Image Artist", 0x013B),
    "HostComputer": ("Image HostComputer", 0x013C),
    "Copyright": ("Image Copyright", 0x8298),
}
_WIDE_TEXTS = {"XPTitle": 0x9C9B, "XPComment": 0x9C9C, "XPAuthor": 0x9C9D, "XPKeywords": 0x9C9E}
_USER_COMMENT = 0x9286
_FILE_SOURCE = 0xA300
_SCANNERS = (1, 2)  # of film, of prints; 3 is a camera (CIPA DC-008, FileSource)
_EVERY_TAG = frozenset(
    {_USER_COMMENT, _FILE_SOURCE, *_WIDE_TEXTS.values()}
    | {tag for _, tag in (*_FACTS.values(), *_TEXTS.values())}
)


def read_exif(data: bytes) -> ExifFacts | None:
    """Read camera facts from the bytes of an image file, with bounded time and memory.

    Args:
        data: the whole file; its pixels need not be decodable.

    Returns:
        the facts, or None if there are none or they cannot be read; never raises.
    """
    return read_exif_blocks(find_blocks(data).exif).facts


def read_exif_blocks(blocks: Sequence[Block]) -> Exif:
    """Read the blocks of EXIF of one file, in bounded time and memory, however damaged they are.

    Args:
        blocks: TIFF structures, as ``find_blocks`` finds them; of a TIFF it is the whole file.
    """
    read = [_read_block(block) for block in blocks]
    said = tuple(each.facts for each in read if each.facts)
    merged = {name: next((v for each in said if (v := getattr(each, name))), "") for name in _FACTS}
    unread = [reason for each in read for reason in each.unread]
    differing = [
        name
        for name in ("make", "model", "software", "taken")
        if len({getattr(each, name) for each in said} - {""}) > 1
    ]
    if differing:
        unread.append(Unread("EXIF", f"{counted(len(said))} blocks that disagree on {', '.join(differing)}"))
    return Exif(
        facts=ExifFacts(**merged) if said else None,
        blocks=said if len(said) > 1 else (),
        fields=tuple(field for each in read for field in each.fields),
        scanned=any(each.scanned for each in read),
        unread=tuple(dict.fromkeys(unread)),
    )


def _read_block(block: Block) -> Exif:
    data = block.head(len(block.data))
    parsed, raw = _parsed(data), read_values(data, _EVERY_TAG)
    cut_off = [name for name, (_, tag) in _TEXTS.items() if tag in raw and not raw[tag].whole]
    values = {tag: found.head(len(found.data)) for tag, found in raw.items() if found.whole}
    facts = ExifFacts(**{field: clip(_text(parsed, values, *names)) for field, names in _FACTS.items()})
    texts = {"UserComment": (user_comment(values.get(_USER_COMMENT, b"")), _USER_COMMENT)}
    texts |= {key: (_text(parsed, values, *names), names[1]) for key, names in _TEXTS.items()}
    texts |= {
        key: (values.get(tag, b"").decode("utf-16-le", "replace"), tag) for key, tag in _WIDE_TEXTS.items()
    }
    if _USER_COMMENT in raw and not raw[_USER_COMMENT].whole:
        cut_off.append("UserComment")
    unread = [Unread("EXIF", f"truncated: {', '.join(cut_off)}")] if cut_off else []
    if not parsed and not raw and not (data.startswith((b"II", b"MM")) and len(data) > 8):
        unread.append(Unread("EXIF", "present, unreadable: no TIFF structure"))
    return Exif(
        facts=facts if facts.as_dict() else None,
        fields=tuple(
            Field("EXIF", key, kept, "EXIF", block.offset + (raw[tag].offset if tag in raw else 0))
            for key, (text, tag) in texts.items()
            if (kept := text.strip("\0 "))
        ),
        scanned=values.get(_FILE_SOURCE, b"")[:1] in [bytes([number]) for number in _SCANNERS],
        unread=tuple(unread),
    )


def _parsed(block: bytes) -> Mapping[str, Any]:
    """What exifread finds; nothing if one entry is so damaged that it fails, or if it reads too much."""
    if not block.startswith((b"II", b"MM")):  # it would look for a file of another kind
        return {}
    import exifread  # loaded for files that need it

    try:
        tags: Mapping[str, Any] = exifread.process_file(
            _BoundedFile(block), details=False, extract_thumbnail=False
        )
    except Exception:  # noqa: BLE001 - it raises whatever the damage leads to
        return {}
    return tags


class _BoundedFile(BytesIO):
    """A file in memory that fails when it has been read too often or too much."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads_left = _MAX_READS
        self._bytes_left = _MAX_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        most = self._bytes_left + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        self._reads_left -= 1
        self._bytes_left -= len(data)
        if self._reads_left < 0 or self._bytes_left < 0:
            raise ValueError("too much EXIF")
        return data


def _text(parsed: Mapping[str, Any], raw: Mapping[int, bytes], name: str, tag: int) -> str:
    """A text by exifread; where that gives none, up to the first zero byte of the raw value."""
    found = getattr(parsed.get(name), "values", "")
    if isinstance(found, str) and found:
        return found
    value = found if isinstance(found, bytes) and found else raw.get(tag, b"")  # bytes are not UTF-8
    return decoded(value.split(b"\0", 1)[0])


def user_comment(value: bytes) -> str:
    """The text of a UserComment: eight bytes that name the coding, if the program kept to the standard."""
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        # many write the order they please; all of it counts, as a prompt may have no Latin letter for long
        even, odd = text[0::2].count(0), text[1::2].count(0)
        order = "utf-16-be" if text.startswith(b"\xfe\xff") or even > odd else "utf-16-le"
        return text.decode(order, "replace").lstrip("\ufeff")
    return decoded(text if code in (b"ASCII\0\0\0", bytes(8)) else value)
