"""Camera facts from EXIF: what the file says of the camera, the lens, the software and the time."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import islice
from typing import Any

import exifread

MAX_TEXT = 200
"""Longest text kept of one field, in characters."""

_MAX_READS = 200_000  # a damaged or hostile directory can point at itself for ever
_MAX_BYTES = 8 << 20
_MAX_CHUNKS = 1 << 16
_EXIF_ITEM = re.compile(rb"Exif\0\0(II\*\0|MM\0\*)")

# exifread reports odd files on its logger; with no handler at all they would reach standard error
logging.getLogger("exifread").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class ExifFacts:
    """What EXIF says; empty where it says nothing.

    Attributes:
        make: maker of the camera.
        model: model of the camera.
        lens: model of the lens.
        software: program or firmware that wrote the file.
        taken: when the picture was taken, as written: ``"2024:05:06 07:08:09"``.
    """

    make: str = ""
    model: str = ""
    lens: str = ""
    software: str = ""
    taken: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: text for name, text in asdict(self).items() if text}

    def summary(self) -> str:
        """One short line of text."""
        camera = self.model if self.model.startswith(self.make) else f"{self.make} {self.model}"
        parts = {"": camera.strip(), "lens ": self.lens, "software ": self.software, "taken ": self.taken}
        return ", ".join(label + " ".join(text.split()) for label, text in parts.items() if text)


_TAGS = {
    "make": "Image Make",
    "model": "Image Model",
    "lens": "EXIF LensModel",
    "software": "Image Software",
    "taken": "EXIF DateTimeOriginal",
}


def read_exif(data: bytes) -> ExifFacts | None:
    """Read camera facts from the bytes of an image file, with bounded time and memory.

    Args:
        data: the whole file; its pixels need not be decodable.

    Returns:
        the facts, or None if there are none or they cannot be read; never raises.
    """
    try:
        tags: Mapping[str, Any] = exifread.process_file(
            _BoundedFile(_exif_block(data)), details=False, extract_thumbnail=False
        )
        facts = ExifFacts(**{name: _text(tags.get(tag)) for name, tag in _TAGS.items()})
    except Exception:  # noqa: BLE001 - the bytes may be anything, and the parser was not made for that
        return None
    return facts if facts.as_dict() else None


class _BoundedFile(BytesIO):
    """A file in memory that gives up when it has been read too often or too much."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads_left = _MAX_READS
        self._bytes_left = _MAX_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0 or self._bytes_left <= 0:
            raise ValueError("too much EXIF")
        data = super().read(self._bytes_left if size is None or size < 0 else min(size, self._bytes_left))
        self._bytes_left -= len(data)
        return data


def _text(tag: Any) -> str:
    """Text of a tag as far as it is text, clipped; what is not UTF-8 comes out as escapes."""
    values = getattr(tag, "values", "")
    if isinstance(values, bytes):
        values = values[:MAX_TEXT].decode("utf-8", "backslashreplace")
    return values[:MAX_TEXT].strip(" \0\t\r\n") if isinstance(values, str) else ""


def _exif_block(data: bytes) -> bytes:
    """The TIFF structure that holds EXIF, or the whole file where the parser itself knows where to look."""
    if data.startswith(b"\xff\xd8"):
        return next((body[6:] for body in _jpeg_app1(data) if body.startswith(b"Exif\0\0")), b"")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _first_chunk(data, b"eXIf", start=8, form=">I4s", trailer=4, align=1)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _first_chunk(data, b"EXIF", start=12, form="<4sI", trailer=0, align=2).removeprefix(
            b"Exif\0\0"
        )
    if data[4:8] == b"ftyp" and (match := _EXIF_ITEM.search(data)):  # the parser overlooks base offsets
        return data[match.start(1) : match.start(1) + _MAX_BYTES]
    return data


def _jpeg_app1(data: bytes) -> Iterator[bytes]:
    """Bodies of the APP1 segments before the pixels of a JPEG."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (0xD9, 0xDA):  # end of image, start of scan
            return
        (size,) = struct.unpack_from(">H", data, at + 2)
        if marker == 0xE1:
            yield data[at + 4 : at + 2 + size]
        at += 2 + size


def _first_chunk(data: bytes, wanted: bytes, *, start: int, form: str, trailer: int, align: int) -> bytes:
    """Body of the first chunk of a kind in a file made of chunks, empty if there is none."""
    chunks = islice(_chunks(data, start, form, trailer, align), _MAX_CHUNKS)
    return next((data[begin:end] for kind, begin, end in chunks if kind == wanted), b"")


def _chunks(data: bytes, at: int, form: str, trailer: int, align: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= len(data):
        first, second = struct.unpack_from(form, data, at)
        kind, size = (first, second) if isinstance(first, bytes) else (second, first)
        begin = at + 8
        yield kind, begin, begin + size
        at = begin + size + size % align + trailer
