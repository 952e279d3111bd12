"""One part of many of a scan, so that several machines can share it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from aigdetect.errors import UsageError
from aigdetect.images.find import Found


@dataclass(frozen=True)
class Shard:
    """One part of a scan.

    A file's part follows from its path as found alone: machines that see the same paths agree on it, also
    when files come and go meanwhile.

    Attributes:
        index: which part, from 1.
        count: how many parts there are.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A part from text such as ``"1/4"``.

        Raises:
            UsageError: if it is none.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
        shard = cls(*map(int, match.groups())) if match else cls(0, 0)
        if not 1 <= shard.index <= shard.count:
            raise UsageError(f"--shard: {text!r} is not I/N with I from 1 to N")
        return shard

    def __str__(self) -> str:
        """As :meth:`parse` takes it."""
        return f"{self.index}/{self.count}"

    def __contains__(self, path: str) -> bool:
        """Whether a file, by its path as found, belongs to this part."""
        digest = blake2b(os.fsencode(path), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    def take(self, numbered: Iterable[tuple[int, Found]]) -> Iterator[tuple[int, Found]]:
        """Those of all files, with their places, that belong to this part."""
        return ((place, item) for place, item in numbered if item.path in self)
