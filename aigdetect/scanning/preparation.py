"""From a file to what a model sees of it: all that touches hostile bytes, and nothing that needs torch."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np

from aigdetect.errors import ImageError
from aigdetect.evidence.ingredients import read_ingredient_thumbnails
from aigdetect.evidence.provenance import Provenance, read_provenance
from aigdetect.files import sha256_of
from aigdetect.images.decode import DecodedImage, decode, require_scorable
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import MAX_BYTES, open_regular, read_bytes, require_unchanged, why_failed
from aigdetect.images.sniff import HEAD_BYTES, sniff_video
from aigdetect.images.video import Sample, Sampling, open_video
from aigdetect.images.views import Picture, Pixels
from aigdetect.scanning.footage import read_video_provenance
from aigdetect.scanning.pictures import Pictures, draw
from aigdetect.scanning.pixel_evidence import with_pixels
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
        frames: of a video, which has no view of its own: the same for each frame that is looked at.
        also: what each further model sees, in their order; None where there is no room for it.
    """

    record: Record
    view: Pixels | None = None
    variants: tuple[Pixels, ...] = ()
    pictures: Pictures | None = None
    trace: str = ""
    frames: tuple[Prepared, ...] = ()
    also: tuple[Pixels | None, ...] = ()

    def seen_by(self, place: int) -> Prepared:
        """The same for a further model, by its place among them: its view, and nothing after mild changes."""
        view = self.also[place] if place < len(self.also) else None
        lost = view is None and self.view is not None
        return Prepared(
            self.record.failed("out of memory", "memory") if lost else self.record,
            view,
            frames=tuple(frame.seen_by(place) for frame in self.frames),
        )


@dataclass(frozen=True)
class Preparation:
    """Reads and decodes files, one call for each; never raises.

    It can be sent to another process if ``take_view`` and those of ``also`` can.

    Attributes:
        take_view: an image to what the model sees of it; may be called in several threads at once.
        max_pixels: images of more pixels are not decoded.
        max_bytes: files of more bytes are not read, unless they are videos.
        stability: also prepare the image after mild changes.
        pictures: also draw pictures for a page of results.
        decode: False reads digest and metadata only.
        metadata: reads the metadata of an image; None leaves them out, also of a video.
        video: which frames of a video are looked at.
        also: the same as ``take_view`` for each further model.
    """

    take_view: Callable[[Picture], Pixels]
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES
    stability: bool = False
    pictures: bool = False
    decode: bool = True
    metadata: Callable[[bytes], Provenance] | None = read_provenance
    video: Sampling = field(default_factory=Sampling)
    also: tuple[Callable[[Picture], Pixels], ...] = ()

    def __call__(self, item: Found, file: int | None = None) -> Prepared:
        """Read and decode one file: digest, metadata, pixels; none of these takes away what came before.

        Args:
            item: the file.
            file: descriptor of it, which is closed; None opens it.
        """
        prepared = Prepared(Record(item.path))
        if item.kind == "error":
            return Prepared(prepared.record.failed(item.reason, "access"))
        try:
            stages = self._of_video if item.kind == "video" else self._of_image
            for prepared in stages(item, item.path if file is None else file):  # noqa: B007
                pass
            return prepared
        except ImageError as error:
            return Prepared(_with_facts(prepared.record, error).failed(why_failed(error), _cause(error)))
        except BaseException as error:  # noqa: BLE001 - a panic in a decoder written in Rust is no Exception
            record = prepared.record.failed(why_failed(error), _cause(error))
            return Prepared(record, trace=traceback.format_exc())

    def _of_image(self, item: Found, file: str | int) -> Iterator[Prepared]:
        """What is known after each stage."""
        inside = item.inside  # of an archive
        data = read_bytes(file, self.max_bytes) if inside is None else inside.read(self.max_bytes)
        record = Record(item.path, sha256=hashlib.sha256(data).hexdigest())
        yield Prepared(record)
        record = self._with_metadata(record, lambda read: read(data))
        yield Prepared(record)
        if self.decode:
            image = decode(data, max_pixels=self.max_pixels, partial=True)
            record = _with_image(record, image)
            if record.provenance is not None:
                record = replace(record, provenance=with_pixels(record.provenance, data, image))
            yield Prepared(record)
            require_scorable(image)
            yield self._seen(record, image, _ingredients(record, data) if self.pictures else ())

    def _of_video(self, item: Found, file: str | int) -> Iterator[Prepared]:
        """The same of a video, which may be larger than memory."""
        with open_regular(file) as (stream, before):
            sha256 = sha256_of(stream)
            require_unchanged(stream, before)
            stream.seek(0)
            name = sniff_video(stream.read(HEAD_BYTES))
            record = Record(item.path, sha256=sha256, format=name or None)
            yield Prepared(record)
            record = self._with_metadata(record, lambda _: read_video_provenance(stream, name))
            yield Prepared(record)
            if self.decode:
                seen = self._with_frames(record, stream, name)
                require_unchanged(stream, before)
                yield seen

    def _with_frames(self, record: Record, file: BinaryIO, name: str) -> Prepared:
        """A video with the frames that are looked at.

        Raises:
            ImageError: if there is none.
        """
        sample = Sample[Prepared](self.video)
        failure = ImageError("no key frame", format=name)
        notes: list[str] = []
        undecoded = 0
        end = time.monotonic() + self.video.seconds
        with open_video(file, name, self.max_pixels) as video:
            try:
                for frame in video.frames():
                    if time.monotonic() > end:
                        notes.append(
                            f"what comes after {frame.time:.1f} s was not looked at: it takes too long"
                        )
                        break
                    if not (frame.key and sample.wants(frame.time)):
                        continue
                    try:
                        image = video.decode(frame)
                    except ImageError as error:
                        failure, undecoded = error, undecoded + 1
                        continue
                    require_scorable(image)
                    one = Record(record.path, sha256=record.sha256, time=round(frame.time, 3))
                    sample.add(frame.time, self._seen(_with_image(one, image), image))
            except ImageError as error:
                failure = error
                notes.append(why_failed(error))
        frames = tuple(frame for _, frame in sample.taken)
        if not frames:
            raise failure
        if undecoded:
            notes.append(f"{undecoded} key frames could not be decoded")
        first = frames[0].record
        record = replace(record, width=first.width, height=first.height, frames=len(frames))
        return Prepared(record.noted(*notes), frames=frames)

    def most_views(self, item: Found) -> int:
        """How many pictures there may be to score in a file."""
        return self.video.most if item.kind == "video" else 1

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

    def _with_metadata(
        self, record: Record, read: Callable[[Callable[[bytes], Provenance]], Provenance]
    ) -> Record:
        if self.metadata is None:
            return record
        try:
            provenance = read(self.metadata)
        except Exception as error:  # noqa: BLE001 - the pixels have nothing to do with it
            return record.noted(metadata_unread(why_failed(error)))
        return replace(record, provenance=provenance).noted(*provenance.notes)

    def _seen(self, record: Record, image: DecodedImage, ingredients: tuple[bytes, ...] = ()) -> Prepared:
        """What a model and a page are to see of an image."""
        variants, remarks = self._variants(image)
        return Prepared(
            record.noted(*remarks),
            self._view(image.image),
            variants,
            draw(image.pixels, ingredients) if self.pictures else None,
            also=tuple(_further_view(take_view, image.image) for take_view in self.also),
        )

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


def _further_view(take_view: Callable[[Picture], Pixels], picture: Picture) -> Pixels | None:
    """What a further model sees; its own want of memory costs its own opinion."""
    try:
        return np.array(take_view(picture))
    except MemoryError:
        return None


def _ingredients(record: Record, data: bytes) -> tuple[bytes, ...]:
    """Pictures of what the image was made from, where its credentials name such."""
    if record.provenance is None or record.provenance.c2pa is None:
        return ()
    return read_ingredient_thumbnails(data, record.provenance.c2pa.outside)


def metadata_unread(reason: str) -> str:
    """The note of a record whose metadata could not be read at all."""
    return f"metadata not read: {reason}"


def _with_image(record: Record, image: DecodedImage) -> Record:
    """A row with what is known of its picture."""
    return replace(
        record,
        format=image.format,
        width=image.width,
        height=image.height,
        notes=(*image.notes, *record.notes),
        doubtful=image.doubtful,
    )


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
