"""What a file says of itself, without a model: format, size, and the claims of its metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from aigdetect.errors import CameraRawError, ImageError
from aigdetect.evidence.provenance import Provenance, read_provenance
from aigdetect.images.opening import MAX_PIXELS, failures_named, open_image
from aigdetect.images.read import read_bytes, why_failed
from aigdetect.images.upright import displayed_size

if TYPE_CHECKING:
    from aigdetect.evidence.raw_blocks import RawField


@dataclass(frozen=True)
class Inspection:
    """What a file says of itself; None for what is not known.

    Attributes:
        path: as given, or joined to the folder as given.
        bytes: size of the file.
        format: container by content, as in a row of a scan.
        width: in pixels, as displayed.
        height: in pixels, as displayed.
        notes: what limits what is told here.
        provenance: what the metadata claims; also there where the header cannot be read.
        fields: every field with its place in the file; None if that was not asked for.
        error: why the file or its header could not be read; None if they could.
    """

    path: str
    bytes: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    notes: tuple[str, ...] = ()
    provenance: Provenance | None = None
    fields: tuple[RawField, ...] | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON; ``provenance`` is that of a scan's row, ``fields`` are there if asked for."""
        shallow = asdict(replace(self, provenance=None, fields=None))
        shallow.pop("fields")
        fields = {} if self.fields is None else {"fields": [asdict(each) for each in self.fields]}
        return {
            **shallow,
            "notes": list(self.notes),
            "provenance": self.provenance and self.provenance.as_dict(),
            **fields,
        }


def inspect_file(path: str, *, max_pixels: int = MAX_PIXELS, raw: bool = False) -> Inspection:
    """Read metadata, header and open watermarks of a file; never raises for what is in it.

    Args:
        path: the file.
        max_pixels: images of more pixels are an error, by their header; their metadata is read all the same.
        raw: also list every field with its place.
    """
    found = Inspection(path)
    try:
        data = read_bytes(path)
        provenance = read_provenance(data)
        found = replace(found, bytes=len(data), provenance=provenance, notes=provenance.notes)
        if raw:
            found = _with_fields(found, data)
        image = open_image(data, max_pixels)
        with failures_named(image.format or "", image.size):
            width, height = displayed_size(image)
        found = replace(found, format=image.format, width=width, height=height)
        return replace(found, provenance=_seen(provenance, data, width, height))
    except CameraRawError as error:  # its size is that of no picture in it
        return replace(found, format=error.format, notes=(*found.notes, "camera raw"))
    except ImageError as error:
        return replace(
            found,
            format=error.format or None,
            width=error.width,
            height=error.height,
            error=why_failed(error),
        )
    except Exception as error:  # noqa: BLE001 - whatever a decoder throws at hostile bytes
        return replace(found, error=why_failed(error))


def _with_fields(found: Inspection, data: bytes) -> Inspection:
    """The same with every field of the file."""
    from aigdetect.evidence.raw_fields import read_raw_fields  # with all their names

    listed = read_raw_fields(data)
    in_part = (f"fields listed in part: {listed.limit}",) if listed.limit else ()
    return replace(found, notes=(*found.notes, *in_part), fields=listed.fields)


def _seen(provenance: Provenance, data: bytes, width: int, height: int) -> Provenance:
    """Provenance with what the pixels add; they are decoded only where that can be something."""
    if not provenance.wants_pixels(width, height):
        return provenance
    from aigdetect.images.decode import decode  # numpy takes a while to import
    from aigdetect.scanning.pixel_evidence import with_pixels

    try:
        return with_pixels(provenance, data, decode(data, max_pixels=width * height, partial=True))
    except (ImageError, MemoryError):  # the header is all that is asked for
        return provenance
