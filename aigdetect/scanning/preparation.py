"""From a file to what a model sees of it: all that touches hostile bytes, and nothing that needs torch."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from aigdetect.errors import ImageError
from aigdetect.evidence.provenance import Provenance, read_provenance
from aigdetect.images.decode import DecodedImage, decode, require_scorable
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import MAX_BYTES, read_bytes, why_failed
from aigdetect.images.views import Picture, Pixels
from aigdetect.scanning.pictures import Pictures, draw
from aigdetect.scanning.record import Cause, Record
from aigdetect.scanning.stability import MILD


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known of a file before it is scored.

    Attributes:
        record: the row without its score.
        view: what the model sees, uint8; None if the file cannot be scored.
        variants: the same after each of :data:`aigdetect.scanning.stability.MILD`, if asked for.
        pictures: for a page of results, if asked for.
        trace: traceback of an unforeseen error, for those who look for its cause.
    """

    record: Record
    view: Pixels | None = None
    variants: tuple[Pixels, ...] = ()
    pictures: Pictures | None = None
    trace: str = ""


@dataclass(frozen=True)
class Preparation:
    """Reads and decodes files, one call for each; never raises.

    It can be sent to another process if ``take_view`` can.

    Attributes:
        take_view: an image to what the model sees of it; may be called in several threads at once.
        max_pixels: images of more pixels are not decoded.
        max_bytes: files of more bytes are not read.
        stability: also prepare the image after mild changes.
        pictures: also draw pictures for a page of results.
        decode: False reads digest and metadata only.
        metadata: reads the metadata; None leaves them out.
    """

    take_view: Callable[[Picture], Pixels]
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES
    stability: bool = False
    pictures: bool = False
    decode: bool = True
    metadata: Callable[[bytes], Provenance] | None = read_provenance

    def __call__(self, item: Found, file: int | None = None) -> Prepared:
        """Read and decode one file: digest, metadata, pixels; none of these takes away what came before.

        Args:
            item: the file.
            file: descriptor of it, which is closed; None opens it.
        """
        record = Record(item.path)
        if item.kind == "error":
            return Prepared(record.failed(item.reason, "access"))
        try:
            if item.inside is not None:
                data = item.inside.read(self.max_bytes)
            else:
                data = read_bytes(item.path if file is None else file, self.max_bytes)
            record = replace(record, sha256=hashlib.sha256(data).hexdigest())
            record = self._with_metadata(record, data)
            if not self.decode:
                return Prepared(record)
            image = decode(data, max_pixels=self.max_pixels, partial=True)
            record = replace(
                record,
                format=image.format,
                width=image.width,
                height=image.height,
                notes=(*image.notes, *record.notes),
                doubtful=image.doubtful,
            )
            require_scorable(image)
            variants, remarks = self._variants(image)
            return Prepared(
                record.noted(*remarks),
                self._view(image.image),
                variants,
                draw(image.pixels) if self.pictures else None,
            )
        except ImageError as error:
            return Prepared(_with_facts(record, error).failed(why_failed(error), _cause(error)))
        except BaseException as error:  # noqa: BLE001 - a panic in a decoder written in Rust is no Exception
            return Prepared(record.failed(why_failed(error), _cause(error)), trace=traceback.format_exc())

    def without_pixels(self) -> Preparation:
        """The same for digest and metadata only."""
        return replace(self, decode=False)

    def without_metadata(self) -> Preparation:
        """The same for digest and pixels only."""
        return replace(self, metadata=None)

    def pixels(self, path: str, sha256: str, file: int | None = None) -> Pixels | None:
        """All pixels of a file that was prepared before; None if it has changed or cannot be decoded now.

        Args:
            path: the file.
            sha256: what its content must be.
            file: descriptor of it, which is closed; None opens it.
        """
        try:
            data = read_bytes(path if file is None else file, self.max_bytes)
            if hashlib.sha256(data).hexdigest() != sha256:
                return None
            return decode(data, max_pixels=self.max_pixels, partial=True).pixels
        except (ImageError, OSError, MemoryError):
            return None

    def _with_metadata(self, record: Record, data: bytes) -> Record:
        if self.metadata is None:
            return record
        try:
            provenance = self.metadata(data)
        except Exception as error:  # noqa: BLE001 - the pixels have nothing to do with it
            return record.noted(metadata_unread(why_failed(error)))
        return replace(record, provenance=provenance).noted(*provenance.notes)

    def _view(self, picture: Picture) -> Pixels:
        # a copy: a slice would keep all the pixels of its image in memory
        return np.array(self.take_view(picture))

    def _variants(self, image: DecodedImage) -> tuple[tuple[Pixels, ...], tuple[str, ...]]:
        """What the model sees after each mild change, and what to note if it cannot be had."""
        if not self.stability:
            return (), ()
        try:
            return tuple(self._view(change.apply(image.pixels)) for change in MILD), ()
        except MemoryError:  # an image that only just fits is scored all the same
            return (), ("stability not measured: out of memory",)


def metadata_unread(reason: str) -> str:
    """The note of a record whose metadata could not be read at all."""
    return f"metadata not read: {reason}"


def _with_facts(record: Record, error: ImageError) -> Record:
    """What the header told before decoding failed."""
    return replace(
        record,
        format=record.format or error.format or None,
        width=error.width if record.width is None else record.width,
        height=error.height if record.height is None else record.height,
    )


def _cause(error: BaseException) -> Cause:
    """What kind of error it is."""
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return "memory"
    if isinstance(error, OSError) or (isinstance(error, ImageError) and error.passing):
        return "access"
    return "file"
