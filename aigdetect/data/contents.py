"""Which images are one: a file under two names, or two files with the same bytes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aigdetect.data.dataset import digest, map_ordered
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, ImageError

#: a data set of which a larger share is in both classes is refused
CONTRADICTORY_SHARE = 0.05


@dataclass(frozen=True)
class Copy:
    """An image that is there already.

    Attributes:
        sample: the image, which is left out.
        original: the one with the same content, which stays.
    """

    sample: Sample
    original: Sample


@dataclass(frozen=True)
class Distinct:
    """Images of which no two are one.

    Attributes:
        groups: the images, in the groups and in the order in which they were given.
        copies: those left out because another one of their class stays.
        contradictions: those left out, all of them, because one image is there as real and as generated.
    """

    groups: tuple[tuple[Sample, ...], ...]
    copies: tuple[Copy, ...]
    contradictions: tuple[Sample, ...]


def read_contents(samples: Iterable[Sample], *, workers: int) -> dict[str, bytes]:
    """SHA-256 of every file by its path, 32 bytes; empty for one that cannot be read.

    Args:
        samples: the images; a path that comes twice is read once.
        workers: threads that read.
    """
    by_path = {sample.path: sample for sample in samples}
    found = map_ordered(digest, by_path.values(), workers=workers)
    return {
        path: b"" if isinstance(content, ImageError) else content
        for path, content in zip(by_path, found, strict=True)
    }


def keep_distinct(groups: Sequence[Sequence[Sample]], contents: Mapping[str, bytes]) -> Distinct:
    """Keep one of the images with the same content: the first one, of the first group.

    What cannot be read is one image if its real path is the same.

    Args:
        groups: images, such as those held out, and those to learn from.
        contents: digest by path, see :func:`read_contents`.

    Raises:
        DataError: if more than :data:`CONTRADICTORY_SHARE` of the images are in both classes.
    """
    originals: dict[bytes, Sample] = {}
    contradictory: set[bytes] = set()
    every = [sample for group in groups for sample in group]
    keys = {sample.path: _key(sample, contents) for sample in every}
    for sample in every:
        if originals.setdefault(keys[sample.path], sample).label != sample.label:
            contradictory.add(keys[sample.path])
    contradictions = tuple(sample for sample in every if keys[sample.path] in contradictory)
    _refuse_many(contradictions, len(every))
    met = Counter(contradictory)
    kept: list[tuple[Sample, ...]] = []
    copies: list[Copy] = []
    for group in groups:
        of_group = []
        for sample in group:
            key = keys[sample.path]
            if not met[key]:
                of_group.append(sample)
            elif key not in contradictory:
                copies.append(Copy(sample, originals[key]))
            met[key] += 1
        kept.append(tuple(of_group))
    return Distinct(tuple(kept), tuple(copies), contradictions)


def _key(sample: Sample, contents: Mapping[str, bytes]) -> bytes:
    if content := contents[sample.path]:
        return content
    return b"path " + os.fsencode(sample.path if sample.inside else os.path.realpath(sample.path))


def _refuse_many(contradictions: Sequence[Sample], total: int) -> None:
    if len(contradictions) > max(2, CONTRADICTORY_SHARE * total):
        names = " and ".join(
            next(sample.path for sample in contradictions if sample.label == label) for label in (0, 1)
        )
        raise DataError(
            f"{len(contradictions)} of {total} images are given both as real and as generated, such as "
            f"{names}; give each with one class"
        )
