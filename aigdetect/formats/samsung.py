"""The entries that Samsung's cameras and gallery append to a JPEG file, behind its image.

The trailer ends with a directory ``SEFH`` .. ``SEFT`` that gives, for each entry, how far before it the entry
begins; see Samsung.pm of ExifTool (https://exiftool.org/TagNames/Samsung.html#Trailer).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from aigdetect.formats.block import Block, cut

_MAX_ENTRIES = 100
_MAX_LOOSE = 1 << 16
_EDITOR = b"PhotoEditor_Re_Edit_Data"
_LAST = b"SEFT"


def entries(data: bytes, end: int = 0) -> Iterator[Block]:
    """The entries of a Samsung trailer by their names, none if there is no trailer.

    Where an editor has spoilt the directory, the one entry that tells most is looked for by its name.

    Args:
        data: the whole file.
        end: where its image ends: a trailer lies behind that.
    """
    found = False
    for entry in _listed(data, end):
        found = True
        yield entry
    at = -1 if found else data.find(_EDITOR, end)
    if at >= 0:
        begin = at + len(_EDITOR)
        yield cut(data, _EDITOR.decode(), begin, min(len(data), begin + _MAX_LOOSE))


def _listed(data: bytes, end: int) -> Iterator[Block]:
    """The entries that the directory at the end of the file lists."""
    tail = data[-8:]
    if len(tail) < 8 or not tail.endswith(_LAST):
        return
    begin = len(data) - 8 - int.from_bytes(tail[:4], "little")
    if begin < end or data[begin : begin + 4] != b"SEFH" or begin + 12 > len(data):
        return
    (count,) = struct.unpack_from("<I", data, begin + 8)
    for number in range(min(count, _MAX_ENTRIES, (len(data) - 8 - begin - 12) // 12)):
        back, size = struct.unpack_from("<II", data, begin + 16 + 12 * number)
        start = begin - back
        if start < end or size < 8 or start + size > begin:
            continue
        length = min(int.from_bytes(data[start + 4 : start + 8], "little"), size - 8)
        name = data[start + 8 : start + 8 + min(length, 80)].decode("latin-1")
        yield cut(data, name, start + 8 + length, start + size)
