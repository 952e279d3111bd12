"""What a video says of where it comes from: content credentials, XMP, and the tags of its container."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, BinaryIO

from aigdetect.evidence.apply_rules import tool_says
from aigdetect.evidence.containers import MAX_BYTES, Blocks, find_blocks
from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.findings import Finding, Kind, Says, clip
from aigdetect.evidence.provenance import SECONDS, Provenance, Within, understood
from aigdetect.formats.boxes import boxes
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.video import open_video

_MAX_PARTS = 1 << 12  # boxes or chunks of a file that are looked at
_KEPT = (b"ftyp", b"uuid", b"meta")
_MAX_KEPT = 4 * MAX_BYTES  # of these together
_HEAD = 64  # bytes of a box that tell whether it holds credentials
_MAKES = ("make", "com.apple.quicktime.make", "com.android.manufacturer")
_MODELS = ("model", "com.apple.quicktime.model", "com.android.model")
_PROGRAMS = ("software", "com.apple.quicktime.software", "encoder")
_RENAMED = {"comment": "Comment", "description": "ImageDescription"}  # as in images


def read_video_provenance(file: BinaryIO, name: str, seconds: float = SECONDS) -> Provenance:
    """Read all known metadata of a video; never raises.

    Args:
        file: open for reading.
        name: its container, as :func:`aigdetect.images.sniff.sniff_video` names it.
        seconds: after which no further kind of metadata is begun.
    """
    within = Within(seconds)
    if name in ("MP4", "MOV"):
        blocks = within.attempt("boxes", _blocks_of_boxes, file) or Blocks()
    else:
        blocks = Blocks(
            credentials=name == "AVI" and bool(within.attempt("C2PA", _has_chunk_of_credentials, file))
        )
    tags = within.attempt("tags", lambda file: _tags(file, name), file) or {}
    texts = tuple(Field("text", _RENAMED.get(key, key), value, f"{name} tag") for key, value in tags.items())
    file.seek(0)
    return understood(replace(blocks, texts=texts), file, within, tuple(_claims(tags, f"{name} tag")))


def _tags(file: BinaryIO, name: str) -> Mapping[str, str]:
    """The tags of the container, by name in lower case, but for one that a standard writes in capitals."""
    with open_video(file, name, MAX_PIXELS) as video:
        return {key if key == "AIGC" else key.lower(): value for key, value in video.tags.items()}


def _claims(tags: Mapping[str, str], where: str) -> Iterator[Finding]:
    """The camera, unless what stands in its place is a program; and the software."""
    make, model = (next((tags[key] for key in keys if tags.get(key)), "") for keys in (_MAKES, _MODELS))
    if camera := clip(f"{make} {model}".strip()):
        says = tool_says(make) if tool_says(make) is not Says.NOTHING else tool_says(model)
        yield Finding(Kind.CAMERA, where, camera, Says.CAPTURED if says is Says.NOTHING else says)
    if program := clip(next((tags[key] for key in _PROGRAMS if tags.get(key)), "")):
        yield Finding(Kind.SOFTWARE, where, program, tool_says(program))


def _blocks_of_boxes(file: BinaryIO) -> Blocks:
    """Blocks of metadata in the boxes of an MP4, of which the media are not read."""
    kept, moov, left = [], b"", _MAX_KEPT
    for kind, begin, size in _boxes(file):
        if kind in _KEPT or (kind == b"moov" and not moov):
            file.seek(begin)
            if kind == b"moov":
                moov = file.read(min(size, MAX_BYTES))
                continue
            body = file.read(min(size, MAX_BYTES, max(left, _HEAD)))
            left -= len(body)
            kept.append(struct.pack(">I4s", len(body) + 8, kind) + body)
    found = find_blocks(b"".join(kept))
    if left <= 0:
        lost = Unread("boxes", f"more than {_MAX_KEPT >> 20} MiB")
        found = replace(found, unread=(*found.unread, lost))
    if found.xmp:
        return found
    inner = (
        block
        for outer in boxes(moov)
        if outer.kind == "udta"
        for block in boxes(moov, outer.offset, outer.end)
        if block.kind == "XMP_"
    )
    return replace(found, xmp=tuple(islice(inner, 1)))


def _has_chunk_of_credentials(file: BinaryIO) -> bool:
    """Whether an AVI has a chunk for content credentials beside its media."""
    at = 12
    for _ in range(_MAX_PARTS):
        kind, size = _header(file, at, "<4sI")
        if kind in (b"C2PA", bytes(4)):
            return bool(kind == b"C2PA")
        at += 8 + size + size % 2
    return False


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and size of the content of the outermost boxes of an MP4."""
    whole, at = file.seek(0, os.SEEK_END), 0
    for _ in range(_MAX_PARTS):
        size, kind = _header(file, at, ">I4s")
        begin = at + 8
        if size == 1:
            (size,), begin = _header(file, begin, ">Q"), at + 16
        at = at + size if size else whole
        if not begin <= at <= whole:
            return
        yield kind, begin, at - begin


def _header(file: BinaryIO, at: int, form: str) -> tuple[Any, ...]:
    """The numbers at a place; those of no box and no chunk where the file ends."""
    file.seek(at)
    return struct.unpack(form, file.read(struct.calcsize(form)).ljust(struct.calcsize(form), b"\0"))
