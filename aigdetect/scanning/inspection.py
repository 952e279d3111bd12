"""What a file says of itself, without a model: format, size, and the claims of its metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from aigdetect.errors import CameraRawError, ImageError
from aigdetect.evidence.provenance import Provenance, read_provenance
from aigdetect.images.opening import MAX_PIXELS, failures_named, open_image
from aigdetect.images.read import read_bytes, why_failed
from aigdetect.images.upright import displayed_size


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
        error: why the file or its header could not be read; None if they could.
    """

    path: str
    bytes: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    notes: tuple[str, ...] = ()
    provenance: Provenance | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON; ``provenance`` is that of a scan's row."""
        shallow = asdict(replace(self, provenance=None))
        return {
            **shallow,
            "notes": list(self.notes),
            "provenance": self.provenance and self.provenance.as_dict(),
        }


def inspect_file(path: str, *, max_pixels: int = MAX_PIXELS) -> Inspection:
    """Read metadata and header of a file; never raises for what is in it, and decodes no picture for itself.

    Args:
        path: the file.
        max_pixels: images of more pixels are an error, by their header; their metadata is read all the same.
    """
    found = Inspection(path)
    try:
        data = read_bytes(path)
        provenance = read_provenance(data)
        found = replace(found, bytes=len(data), provenance=provenance, notes=provenance.notes)
        image = open_image(data, max_pixels)
        with failures_named(image.format or "", image.size):
            width, height = displayed_size(image)
        return replace(found, format=image.format, width=width, height=height)
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
