"""Which folder decides whether the images below it are real or generated."""

from __future__ import annotations

from dataclasses import dataclass

from aigdetect.data.layouts.words import DIGITS, LABELS, NUMBERED, fold_name, read_class
from aigdetect.errors import DataError

#: strength of a class that the user gives: no name of a folder is trusted more
GIVEN = 9


@dataclass(frozen=True, slots=True)
class Mark:
    """The folder that decides the class of what lies below it.

    Attributes:
        label: 1 for generated, 0 for real.
        word: what it calls the class, a key of :data:`aigdetect.data.layouts.words.LABELS`; empty if the user
            gave it.
        strength: how far to trust it; see :func:`read_mark`.
        depth: levels between it and the root; -1 if it is the root.
    """

    label: int
    word: str
    strength: int
    depth: int


def read_mark(name: str, siblings: frozenset[str], depth: int) -> Mark | None:
    """The class that a folder name gives, and how far to trust it.

    A word such as ``photo`` may be a class or a source, so it counts for more beside its opposite, and
    ``0`` and ``1`` may be shards, so they count only as a pair and under no other mark.
    """
    word, _ = read_class(fold_name(name))
    if not word or (word in DIGITS and siblings != DIGITS):
        return None
    label = LABELS[word]
    if word in DIGITS:
        return Mark(label, word, 1, depth)
    if word in NUMBERED:
        return Mark(label, word, 4, depth)
    others = (read_class(sibling)[0] for sibling in siblings - DIGITS)
    paired = any(LABELS.get(other) == 1 - label for other in others)
    return Mark(label, word, 3 if paired else 2, depth)


def deciding_mark(above: Mark | None, here: Mark | None, path: str) -> Mark | None:
    """The mark that counts, of the one that held so far and that of a folder below it.

    Raises:
        DataError: if they contradict each other, and neither is to be trusted more.
    """
    if here is None or above is None:
        return here or above
    if above.strength == GIVEN:
        return above
    if here.strength > above.strength:
        return here
    if here.strength == above.strength and here.label != above.label:
        raise DataError(f"{path!r} lies under both a real and a fake folder: rename one, or give a CSV")
    return above
