"""What a worker may say of a file: a text of a checked form, then bytes of stated sizes; no pickles.

Whoever has taken a worker over can say what he likes of its files, but can neither name another file, nor
give a score, nor make the program that listens do anything.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from aigdetect.evidence.provenance import Provenance
from aigdetect.images.find import Found
from aigdetect.images.views import Pixels
from aigdetect.scanning.decoding.form import FormError, read_form
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.preparation import Preparation, Prepared
from aigdetect.scanning.record import Cause, Record

_LONGEST = 16 << 20
"""Bytes of a text, at most; what is kept of a file's metadata is far less."""

_MOST = 64 << 20
"""Bytes of the views of one file, for each model, and of its pictures, at most."""

_PICTURES = ("thumbnail", "spectrum", "before")
"""What a worker draws, in the order in which it is sent."""

_LONGEST_OF_FRAME, _MOST_OF_FRAME = 1 << 16, 4 << 20
"""The same of one frame of a video."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Facts:
    """What a worker may say of a file, or of a frame; the attributes are those of :class:`Record`."""

    sha256: str | None
    format: str | None
    width: int | None
    height: int | None
    notes: tuple[str, ...]
    provenance: Provenance | None
    error: str | None
    cause: Cause
    doubtful: bool
    time: float | None


@dataclass(frozen=True)
class _Statement:
    """What a worker says of a file, or of a frame, and what follows.

    Attributes:
        facts: the row without its score.
        view: shape of what the model sees.
        variants: shapes of the same after mild changes.
        pictures: sizes of :data:`_PICTURES` in bytes; None if none were drawn, 0 for one that was not.
        trace: traceback of an unforeseen error.
        frames: how many statements of frames follow behind the bytes.
        also: shapes of what further models see; None for one for which there was no room.
    """

    facts: _Facts
    view: tuple[int, ...] | None
    variants: tuple[tuple[int, ...], ...]
    pictures: tuple[int, ...] | None
    trace: str
    frames: int
    also: tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True)
class _Shape:
    """The shape of pixels that follow; None if there are none."""

    shape: tuple[int, ...] | None


# -- in a worker -------------------------------------------------------------------------------------------


def answer_prepared(
    connection: Connection, prepare: Preparation, item: Found, *, file: int | None = None
) -> None:
    """Prepare a file, and say what came of it; :func:`receive_prepared` understands it.

    Args:
        connection: where to say it.
        prepare: what is done with the file.
        item: the file.
        file: descriptor of the file if it is open, which is closed.
    """
    prepared = prepare(item, file)
    for part in (prepared, *prepared.frames):
        _send_prepared(connection, part)


def _send_prepared(connection: Connection, prepared: Prepared) -> None:
    arrays = [*([] if prepared.view is None else [prepared.view]), *prepared.variants]
    arrays += [view for view in prepared.also if view is not None]
    pictures = prepared.pictures
    drawn = None if pictures is None else tuple(getattr(pictures, name) or b"" for name in _PICTURES)
    statement = _Statement(
        _Facts(**{each.name: getattr(prepared.record, each.name) for each in fields(_Facts)}),
        None if prepared.view is None else prepared.view.shape,
        tuple(variant.shape for variant in prepared.variants),
        None if drawn is None else tuple(map(len, drawn)),
        prepared.trace,
        len(prepared.frames),
        tuple(None if view is None else view.shape for view in prepared.also),
    )
    _send_text(connection, statement)
    for array in arrays:
        connection.send_bytes(_bytes_of(array))
    for picture in drawn or ():
        connection.send_bytes(picture)


def answer_pixels(
    connection: Connection, prepare: Preparation, path: str, sha256: str, *, file: int | None = None
) -> None:
    """Decode all pixels of a file, and send them; :func:`receive_pixels` understands it.

    Args:
        connection: where to.
        prepare: how the file is decoded.
        path: the file.
        sha256: what its content must be.
        file: descriptor of the file if it is open, which is closed.
    """
    pixels = prepare.pixels(path, sha256, file)
    _send_text(connection, _Shape(None if pixels is None else pixels.shape))
    if pixels is not None:
        connection.send_bytes(_bytes_of(pixels))


def _send_text(connection: Connection, statement: Any) -> None:
    connection.send_bytes(json.dumps(asdict(statement)).encode("ascii"))


def _bytes_of(array: Pixels) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).data


# -- in the program ----------------------------------------------------------------------------------------


def receive_prepared(connection: Connection, path: str, frames: int | None = None, also: int = 0) -> Prepared:
    """What a worker says of a file.

    Args:
        connection: from the worker.
        path: the file.
        frames: of a video: how many frames there may be; None for an image.
        also: how many further models see it.

    Raises:
        FormError: if it is not what :func:`answer_prepared` sends.
        EOFError: if the worker has ended.
        OSError: likewise, or if it says more than there can be to say.
    """
    prepared, count = _receive_prepared(connection, path, _LONGEST, _MOST, also)
    if frames is None:
        if count or prepared.record.time is not None:
            raise FormError("frames of an image")
        return prepared
    if not 0 <= count <= frames or prepared.view is not None:
        raise FormError("too many frames")
    parts = tuple(_receive_frame(connection, prepared.record, also) for _ in range(count))
    return replace(prepared, record=replace(prepared.record, time=None, frames=count or None), frames=parts)


def _receive_frame(connection: Connection, video: Record, also: int) -> Prepared:
    """What a worker says of a frame; it belongs to the video, whatever the worker says."""
    prepared, count = _receive_prepared(connection, video.path, _LONGEST_OF_FRAME, _MOST_OF_FRAME, also)
    time = prepared.record.time
    if count or prepared.view is None or time is None or not 0 <= time < math.inf:
        raise FormError("no frame")
    return replace(prepared, record=replace(prepared.record, sha256=video.sha256))


def _receive_prepared(
    connection: Connection, path: str, longest: int, most: int, also: int
) -> tuple[Prepared, int]:
    """A statement with its bytes, and how many of frames follow."""
    statement = _receive_text(connection, _Statement, longest)
    facts = statement.facts
    if facts.sha256 is not None and not _DIGEST.fullmatch(facts.sha256):
        raise FormError("no SHA-256")
    if len(statement.also) not in (0, also):
        raise FormError("views for models that there are not")
    shapes = [statement.view, *statement.variants, *statement.also]
    if sum(_size(shape) for shape in shapes if shape is not None) > most * (1 + also):
        raise FormError("too much to see")
    view, *others = (None if shape is None else _receive_array(connection, shape) for shape in shapes)
    variants, further = others[: len(statement.variants)], others[len(statement.variants) :]
    prepared = Prepared(
        Record(path, **{each.name: getattr(facts, each.name) for each in fields(facts)}),
        view,
        tuple(variant for variant in variants if variant is not None),
        statement.pictures and _receive_pictures(connection, statement.pictures, most),
        statement.trace,
        also=tuple(further),
    )
    return prepared, statement.frames


def receive_pixels(connection: Connection, most: int) -> Pixels | None:
    """All pixels of a file, ``(H, W, 3)`` uint8; None if it has changed or cannot be decoded now.

    Args:
        connection: from the worker.
        most: how many pixels there may be.

    Raises:
        FormError: if it is not what :func:`answer_pixels` sends.
        EOFError: if the worker has ended.
        OSError: likewise.
    """
    shape = _receive_text(connection, _Shape).shape
    if shape is None:
        return None
    if len(shape) != 3 or shape[2] != 3 or _size(shape) > 3 * most:
        raise FormError(f"no image: {shape}")
    return _receive_array(connection, shape)


def _receive_text(connection: Connection, form: type[Any], longest: int = _LONGEST) -> Any:
    text = connection.recv_bytes(longest)
    try:
        return read_form(form, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise FormError(str(error)) from error


def _receive_array(connection: Connection, shape: tuple[int, ...]) -> Pixels:
    array = np.empty(shape, np.uint8)
    _receive_into(connection, array.reshape(-1).data)
    return array


def _receive_pictures(connection: Connection, sizes: tuple[int, ...], most: int) -> Pictures:
    if len(sizes) != len(_PICTURES) or min(sizes) < 0 or sum(sizes) > most:
        raise FormError("no pictures")
    drawn = [bytearray(size) for size in sizes]
    for picture in drawn:
        _receive_into(connection, memoryview(picture))
    thumbnail, spectrum, before = (bytes(picture) or None for picture in drawn)
    return Pictures(thumbnail, spectrum, before=before)


def _receive_into(connection: Connection, room: memoryview) -> None:
    """Take as many bytes as there is room for, no more and no less."""
    data = connection.recv_bytes(len(room))
    if len(data) != len(room):
        raise FormError("fewer bytes than stated")
    room[:] = data


def _size(shape: tuple[int, ...]) -> int:
    """How many bytes an array of this shape has."""
    if not 1 <= len(shape) <= 4 or min(shape) < 0:
        raise FormError(f"no shape: {shape}")
    return math.prod(shape)
