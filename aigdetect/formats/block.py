"""One block of a file: what the walkers of all containers yield."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_BLOCKS = 1 << 16
"""Most blocks that a walker yields of one file, or of one box in it."""


@dataclass(frozen=True)
class Block:
    """One block: a chunk, a segment, a box, an extension, the value of a tag.

    Attributes:
        kind: what the container calls it: ``"tEXt"``, ``"APP1"``, ``"uuid"``, ``"comment"``.
        offset: where its content begins in the data that was walked, in bytes.
        length: of its content, in bytes, as the file has it.
        data: its content, shorter than ``length`` where the file is cut off; not copied.
    """

    kind: str
    offset: int
    length: int
    data: memoryview = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether all of it is there."""
        return len(self.data) == self.length

    @property
    def end(self) -> int:
        """Where its content ends, or where the data does."""
        return self.offset + len(self.data)

    def part(self, begin: int, end: int | None = None) -> Block:
        """A part of it, up to its end by default."""
        stop = self.length if end is None else end
        return Block(self.kind, self.offset + begin, max(0, stop - begin), self.data[begin:stop])

    def head(self, most: int) -> bytes:
        """Its content up to a number of bytes: a copy, unless it is all of the data that was walked."""
        whole = self.data.obj
        if isinstance(whole, bytes) and len(whole) == len(self.data) <= most:
            return whole
        return bytes(self.data[:most])


def cut(data: bytes | memoryview, kind: str, begin: int, end: int, stop: int | None = None) -> Block:
    """The block between two places of the data, which may lie outside of it or of an outer block's end."""
    view = memoryview(data)
    last = min(end, len(view) if stop is None else stop)
    return Block(kind, begin, max(0, end - begin), view[begin : max(begin, last)])
