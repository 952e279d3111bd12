"""One image of an archive, before it is labelled; none of what an archive says is believed."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aigdetect.data.layouts.walk import skipped
from aigdetect.errors import DataError
from aigdetect.images.members import Member, Spool

_LONGEST_NAME = 4096
_DEEPEST = 64
# what comes out of an archive may be so many times as large, and a little more: images hardly shrink
_EXPANSION = 100
_ALLOWANCE = 1 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of an archive.

    Attributes:
        name: within the archive, with ``/``; it leads nowhere else.
        member: where its bytes are.
        told: what is told of it, by the names of a list's columns.
        place: its number in the archive, from 1.
    """

    name: str
    member: Member
    told: Mapping[str, object]
    place: int


def fit_name(name: str) -> str | None:
    """A name in an archive, its way straightened out.

    Returns:
        the name; empty if files of that name are passed over; None if it would lead out of the archive, or is
        none for a file.
    """
    if len(name) > _LONGEST_NAME or "\0" in name or name.startswith("/"):
        return None
    parts = posixpath.normpath(name).split("/")
    if parts[0] == ".." or len(parts) > _DEEPEST:
        return None
    return "" if any(map(skipped, parts)) else "/".join(parts)


def most_bytes(path: str) -> int:
    """How many bytes may come out of an archive.

    Raises:
        OSError: if it is not there.
    """
    return _EXPANSION * Path(path).stat().st_size + _ALLOWANCE


def copied(path: str, spool: Spool, data: bytes) -> Member:
    """An image that is copied out of an archive.

    Raises:
        DataError: if there is no room for it, or more comes out of the archive than images would be.
    """
    if spool.size + len(data) > most_bytes(path):
        raise DataError(f"{path!r}: holds more than {_EXPANSION} times its own size; such files are not read")
    try:
        return Member(path, spool, spool.add(data), len(data))
    except OSError as error:
        raise DataError(
            f"{path!r}: its images cannot be copied to {tempfile.gettempdir()} ({error.strerror}); "
            "let TMPDIR name a folder with room for them"
        ) from error
