"""The segments of a JPEG file (ITU-T T.81, annex B), before, between and behind its pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from aigdetect.formats.block import MAX_BLOCKS, Block, cut

SIGNATURE = b"\xff\xd8"

LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation steps of the standard's luma table, of quality 50, row by row (ITU-T T.81, K.1)."""

CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
"""The same of its chroma table (K.2)."""

_MAX_SEGMENTS = 1 << 22  # of which scans are counted
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no stuffing, restart or fill
_SCAN, _END = 0xDA, 0xD9
_NAMES = {
    0xC4: "DHT",
    0xCC: "DAC",
    0xDB: "DQT",
    0xDC: "DNL",
    0xDD: "DRI",
    _SCAN: "SOS",
    _END: "EOI",
    0xFE: "COM",
    **{0xE0 + number: f"APP{number}" for number in range(16)},
    **{0xC0 + number: f"SOF{number}" for number in range(16) if number not in (4, 8, 12)},
}


def segments(data: bytes) -> Iterator[Block]:
    """The segments of a JPEG file, up to the end of its image or to a number of them.

    Whatever stands between two segments is passed over, as decoders do it: coded pixels, which follow a
    segment ``"SOS"``, and bytes too many where the length of a segment is wrong.

    Args:
        data: the whole file, from its first marker on.

    Yields:
        segments by the names of the standard, or the marker's second byte in hexadecimal digits. The last
        one, if the image ends at all, is empty and of the kind ``"EOI"``.
    """
    for marker, begin, end in islice(_segments(data), MAX_BLOCKS):
        yield cut(data, _NAMES.get(marker, f"{marker:02X}"), begin, end)


def segments_behind(data: bytes, end: int, beginning: bytes) -> Iterator[tuple[bool, Block]]:
    """Segments behind the end of an image, up to a number of them.

    Args:
        data: the whole file.
        end: where the image ends.
        beginning: the second byte of their marker, and what their content begins with.

    Yields:
        whether another image has begun before it, so that it may be of that one, and the segment.
    """
    marker, content = re.escape(beginning[:1]), re.escape(beginning[1:])
    wanted = re.compile(rb"\xff\xd8\xff|\xff(%b).{2}%b" % (marker, content), re.DOTALL)
    another = False
    for _ in range(MAX_BLOCKS):
        found = wanted.search(data, end)
        if not found:
            return
        if not found[1]:
            another, end = True, found.end()
            continue
        begin = found.start() + 4
        end = begin + max(0, int.from_bytes(data[begin - 2 : begin], "big") - 2)
        yield another, cut(data, _NAMES[beginning[0]], begin, end)


def count_scans(data: bytes, most: int) -> int:
    """Passes over the picture in a JPEG file, counted to a number of them: many in a progressive one."""
    scans = (marker for marker, _, _ in islice(_segments(data), _MAX_SEGMENTS) if marker == _SCAN)
    return sum(1 for _ in islice(scans, most))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The second byte of each marker, and where the content behind its length begins and ends."""
    at = len(SIGNATURE)
    while found := _MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            yield marker, at, at
            return
        if at + 2 > len(data):
            return
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        yield marker, at + 2, end
        at = end
