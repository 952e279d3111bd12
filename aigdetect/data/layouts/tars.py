"""Images in a tar archive, such as a shard of WebDataset, with what lies beside them.

The archive is read with the standard library, which tells where each image lies, so that nothing is unpacked:
WebDataset's own reader hands images out in a stream of its own order, and keeps no place to come back to.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import posixpath
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from aigdetect.data.layouts.entries import Entry, copied, fit_name, most_bytes
from aigdetect.data.layouts.lists import COLUMNS
from aigdetect.data.layouts.words import fold_name
from aigdetect.errors import DataError
from aigdetect.images.members import FileBytes, Member, Spool
from aigdetect.images.read import MAX_BYTES
from aigdetect.images.sniff import HEAD_BYTES, claims_image, looks_like_image

_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
#: bytes that a header, or what is told of an image, may have
_LONGEST = 1 << 20
_BLOCK = 512
_BROKEN = (
    *(tarfile.TarError, ValueError, OverflowError, EOFError, OSError, RecursionError),
    *(zlib.error, lzma.LZMAError),
)


def read_tar(path: str, ignored: Counter[str]) -> list[Entry]:
    """The images of an archive, by name or content, and what is told of each.

    Beside an image ``a/0001.png`` may lie ``a/0001.cls`` (its class), and ``a/0001.json`` (an object with the
    names of a list's columns), as WebDataset has it.

    Args:
        path: the archive, also one compressed as a whole (gzip, bzip2, xz), whose images are copied out.
        ignored: counts what is left out, by the fields of `aigdetect.data.layouts.sample.Ignored`.

    Raises:
        DataError: if it cannot be read, or what is told of an image cannot be understood.
    """
    images: dict[str, Member] = {}
    told: dict[str, dict[str, object]] = {}
    unclear: dict[str, str] = {}
    with _opened(path) as (file, whole, packed):
        held: Spool | FileBytes = Spool() if packed else FileBytes.of(path)
        for info in _infos(file, whole):
            name = fit_name(info.name)
            if name == "":
                continue
            if name is None:
                ignored["misnamed"] += not info.isdir()
            elif not info.isreg() or info.issparse():
                ignored["broken"] += not info.isdir()
            elif name in images:
                ignored["repeated"] += 1
            elif (sort := _sort(name)) in ("cls", "json"):
                try:
                    told.setdefault(_stem(name), {}).update(_facts(sort, _read(file, info, _LONGEST)))
                except (ValueError, RecursionError):
                    unclear[_stem(name)] = name
            elif not claims_image(name) and not looks_like_image(_read(file, info, HEAD_BYTES, cut=True)):
                ignored["not_images"] += 1
            elif not info.size:
                ignored["empty"] += 1
            elif info.size > (MAX_BYTES if packed else whole - info.offset_data):
                ignored["broken"] += 1
            elif isinstance(held, FileBytes):
                images[name] = Member(path, held, info.offset_data, info.size)
            else:
                images[name] = copied(path, held, _read(file, info, MAX_BYTES))
    about = {each for name in images for each in _told_under(name)}
    if failed := [name for stem, name in unclear.items() if stem in about]:
        raise DataError(f"{path!r}, {failed[0]!r}: does not say of an image what it should")
    ignored["not_images"] += len((told.keys() | unclear.keys()) - about)
    return [
        Entry(name, member, _told_of(name, told), place)
        for place, (name, member) in enumerate(images.items(), 1)
    ]


class _Bounded:
    """A file in which no one call reads or goes far: what a header asks for is not to be believed."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._end = end
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST:
            raise ValueError("a header is too long")
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        if not 0 <= offset <= self._end:
            raise ValueError("a file in it is larger than it can be")
        return self._file.seek(offset)


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, int, bool]]:
    """An archive as if it were not compressed, the most bytes that it may have, and whether it is."""
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            head = file.read(8)
            file.seek(0)
            opener = next((each for magic, each in _OPENERS.items() if head.startswith(magic)), None)
            if opener is None:
                yield file, size, False
            else:
                with opener(file) as unpacked:
                    yield unpacked, most_bytes(path), True
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"cannot read the archive {path!r}: {reason}") from error


def _infos(file: BinaryIO, end: int) -> Iterator[tarfile.TarInfo]:
    """The headers of an archive that ends before ``end``, none of which is kept."""
    with tarfile.open(fileobj=cast(BinaryIO, _Bounded(file, end)), mode="r:") as archive:
        before = -1
        while (info := archive.next()) is not None:
            if info.offset <= before or info.size < 0:
                raise ValueError("it goes round in circles")
            before = info.offset
            yield info
            archive.members = []  # type: ignore[attr-defined] # else all of them stay in memory
        # at a damaged header, the library takes the archive for read
        file.seek(archive.offset)
        if file.read(_BLOCK).strip(b"\0"):
            raise ValueError("damaged, or cut off")


def _read(file: BinaryIO, info: tarfile.TarInfo, most: int, *, cut: bool = False) -> bytes:
    """A file in an archive, or its beginning."""
    if info.size > most and not cut:
        raise ValueError(f"{info.name!r} in it is too large")
    file.seek(info.offset_data)
    return file.read(min(info.size, most))


def _sort(name: str) -> str:
    """What a file says of the image beside it: the last part of its name."""
    return posixpath.splitext(name)[1][1:].casefold()


def _stem(name: str) -> str:
    """The name of a file without its last part, which says what it is."""
    return posixpath.splitext(name)[0]


def _told_under(name: str) -> tuple[str, ...]:
    """Stems of the files that tell of an image, the nearest last.

    WebDataset's names end at the first dot: ``1.cls`` tells of ``1.left.png``. But ``sd1.5_2.cls`` is not to
    tell of ``sd1.5_1.png``.
    """
    folder, own = posixpath.split(name)
    return posixpath.join(folder, own.partition(".")[0]), _stem(name), name


def _told_of(name: str, told: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """What all files beside an image tell of it; the nearest one counts."""
    return {key: value for stem in _told_under(name) for key, value in told.get(stem, {}).items()}


def _facts(sort: str, data: bytes) -> dict[str, object]:
    """What a file says of the image beside it, no more of it than a list could say.

    Raises:
        ValueError: if it says nothing that can be understood.
        RecursionError: likewise.
    """
    text = data.decode("utf-8")
    if sort == "cls":
        return {"label": text.strip()}
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("not an object of JSON")
    return {name: value for name, value in facts.items() if fold_name(name) in COLUMNS}
