"""How strongly a JPEG was compressed, by its quantisation table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aigdetect.formats.jpeg import LUMA

_LUMA = np.array(LUMA).reshape(1, 64)


def jpeg_quality(table: Sequence[int]) -> int:
    """Estimate the quality behind a JPEG's luma quantisation table.

    Args:
        table: 64 steps row by row, as Pillow gives them.

    Returns:
        The quality, 1 to 100, whose libjpeg table is nearest by mean squared error (as ``compute_qf.py`` of
        UnbiasedGenImage does it); tables of other encoders get their nearest equivalent.
    """
    distance = np.square(_libjpeg_tables() - np.asarray(table, dtype=np.float64)).mean(axis=1)
    return int(distance.argmin()) + 1


def _libjpeg_tables() -> npt.NDArray[np.int64]:
    quality = np.arange(1, 101).reshape(100, 1)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: npt.NDArray[np.int64] = np.clip((_LUMA * scale + 50) // 100, 1, 255)
    return tables


_ZEROS = bytes(64)  # no encoder writes so many in a row, unless its tables make them mean "nothing here"
_START_OF_FRAME, _HUFFMAN_TABLES, _START_OF_SCAN = b"\xc0\xc1", 0xC4, 0xDA


def zeroed_bytes(data: bytes) -> tuple[int, int]:
    """Begin and end of the first long run of zero bytes among the pixels of a JPEG; ``(0, 0)`` without one.

    A hole that lost sectors leave decodes without an error: zero bits are codes, too. With the usual tables
    they mean blocks full of detail of one strength, which no image has. Where the tables make them mean that
    nothing follows, and in a progressive JPEG, they say nothing.
    """
    scan = _first_scan(data)
    begin = data.find(_ZEROS, scan) if scan else -1
    if begin < 0 or data.find(b"\xff\xd9", scan, begin) >= 0:  # behind the end of the image they do no harm
        return 0, 0
    return begin, len(data) - len(data[begin:].lstrip(b"\0"))


def _first_scan(data: bytes) -> int:
    """Where the pixels begin of a sequential JPEG whose tables give zero bits no plain meaning; else 0."""
    plain, sequential, at = [], False, 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        sequential |= marker in _START_OF_FRAME
        if marker == _HUFFMAN_TABLES:
            plain += _meaning_of_zeros(data[at + 4 : at + 2 + size])
        if marker == _START_OF_SCAN:
            return at + 2 + size if sequential and not all(plain) else 0
        at += 2 + size
    return 0


def _meaning_of_zeros(tables: bytes) -> list[bool]:
    """For each table of the detail in blocks, whether its code of zeros means that no detail follows."""
    plain, at = [], 0
    while at + 18 <= len(tables):
        if tables[at] >> 4:
            plain.append(tables[at + 17] == 0)
        at += 17 + sum(tables[at + 1 : at + 17])
    return plain
