"""The images and extensions of a GIF file (https://www.w3.org/Graphics/GIF/spec-gif89a.txt)."""

from __future__ import annotations

from collections.abc import Iterator

from aigdetect.formats.block import Block, cut

SIGNATURES = (b"GIF87a", b"GIF89a")

_IMAGE, _EXTENSION = b",!"
_EXTENSIONS = {0xFE: "comment", 0xFF: "application"}


def blocks(data: bytes, begin: int = 0) -> Iterator[Block]:
    """The blocks of a GIF file up to its trailer, or to where it is cut off; their number is not bounded.

    Args:
        data: the whole file.
        begin: where the first block is; the one behind the header by default.

    Yields:
        blocks of the kinds ``"image"``, ``"comment"``, ``"application"`` and, for other extensions, their
        label in hexadecimal digits. Their content is that of their sub-blocks with the bytes that give the
        lengths.
    """
    if len(data) < 13:
        return
    at = begin or first_block(data)
    while at + 1 < len(data) and data[at] in (_IMAGE, _EXTENSION):
        if data[at] == _IMAGE:
            kind = "image"
            begin = at + 11 + (_colours(data[at + 9]) if at + 9 < len(data) else 0)
        else:
            kind = _EXTENSIONS.get(data[at + 1], f"{data[at + 1]:02X}")
            begin = at + 2
        end = begin
        while end < len(data) and data[end]:
            end += data[end] + 1
        yield cut(data, kind, begin, end)
        at = end + 1


def first_block(data: bytes) -> int:
    """Where the first block of a GIF file begins, behind a header of 13 bytes and the colours.

    A file that ends inside its header has no colours.
    """
    return 13 + (_colours(data[10]) if len(data) > 10 else 0)


def joined(block: Block, most: int) -> bytes:
    """The content of a block's sub-blocks without the bytes that give their lengths, up to a length."""
    data = block.head(most)
    parts, at = [], 0
    while at < len(data):
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += data[at] + 1
    return b"".join(parts)


def _colours(flags: int) -> int:
    """Bytes of the table of colours that flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
