"""Lists of files: paths from a stream, a line or a NUL each."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

_CHUNK = 1 << 16


def read_list(stream: BinaryIO, *, null: bool = False) -> Iterator[str]:
    """Read paths from a list, as they come; blank lines are skipped.

    A list of lines may be UTF-8 with a byte order mark, or UTF-16, as PowerShell writes it.

    Args:
        stream: bytes, for example ``sys.stdin.buffer``.
        null: the paths end in NUL (``find -print0``) and not in a newline or CR LF.
    """
    for item in _split(stream, b"\0") if null else _lines(stream):
        path = item if null else item.removesuffix(b"\n").removesuffix(b"\r")
        if path:
            yield os.fsdecode(path)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, in the coding of file names."""
    first = stream.readline()
    if not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from stream
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    rest = decoder.decode(first)
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from (os.fsencode(line) for line in lines)
    yield from (os.fsencode(line) for line in (rest + decoder.decode(b"", final=True)).split("\n"))


def _split(stream: BinaryIO, separator: bytes) -> Iterator[bytes]:
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)  # read1 gives what is there
    rest = b""
    while chunk := read(_CHUNK):
        *items, rest = (rest + chunk).split(separator)
        yield from items
    yield rest
