"""The thumbnails that content credentials keep of what an image was made from."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from aigdetect.evidence.c2pa import open_reader, parsed
from aigdetect.formats.jumbf import stores

MAX_THUMBNAILS = 4
"""Most thumbnails of one file."""

_MAX_BYTES = 4 << 20
_MAX_INGREDIENTS = 100


def read_ingredient_thumbnails(data: bytes, outside: str = "") -> tuple[bytes, ...]:
    """Thumbnails of the ingredients that the manifest of the file names, in its order.

    Whether the credentials hold is for :func:`aigdetect.evidence.c2pa.read_credentials` to say. Nothing is
    fetched.

    Args:
        data: the whole file.
        outside: where its credentials lie if that is not where they belong, as
            :class:`aigdetect.evidence.c2pa.Credentials` has it.

    Returns:
        files of images as found, which may be hostile; empty if there are none; never raises.
    """
    try:
        store = next((each.data for each in stores(data) if each.where == outside), None) if outside else None
        return tuple(_thumbnails(data, store))
    except Exception:  # noqa: BLE001 - whatever it is, they could not be read
        return ()


def _thumbnails(data: bytes, store: bytes | None) -> Iterator[bytes]:
    with open_reader(BytesIO(data), store=store) as reader:
        report = parsed(reader.json())
        manifest = report.get("manifests", {}).get(report.get("active_manifest"), {})
        found = 0
        for ingredient in (manifest.get("ingredients") or [])[:_MAX_INGREDIENTS]:
            thumbnail = _resource(reader, ingredient.get("thumbnail"))
            if thumbnail and found < MAX_THUMBNAILS:
                found += 1
                yield thumbnail


def _resource(reader: Any, named: Any) -> bytes:
    """A resource out of the manifests; empty if it is not there or too large."""
    if not isinstance(named, dict) or not isinstance(named.get("identifier"), str):
        return b""
    room = _Room()
    try:
        reader.resource_to_stream(named["identifier"], room)
    except Exception:  # noqa: BLE001 - of several, one may be missing
        return b""
    return b"" if room.full else room.getvalue()


class _Room(BytesIO):
    """Takes so much and no more.

    Attributes:
        full: whether there was more.
    """

    full = False

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > _MAX_BYTES:
            self.full = True
            return len(data)
        return super().write(data)
