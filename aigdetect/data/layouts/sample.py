"""One labelled image, and what was found under one root."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from aigdetect.errors import DataError, UsageError
from aigdetect.files import fingerprint
from aigdetect.images.members import Member

#: splits that a data set may name
SPLITS = ("train", "val", "test")

_HINT = (
    "name folders real and fake, 0_real and 1_fake, or nature and ai, or give a CSV of path,label,generator"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image on disk.

    Attributes:
        path: where it lies; bytes that are not text come as ``os.fsdecode`` gives them. In an archive, the
            path of that and the name within.
        label: 1 for AI-generated, 0 for real.
        generator: generator of a generated image (``"progan"``), source or companion set of a real one
            (``"imagenet"``); never empty.
        split: ``"train"``, ``"val"`` or ``"test"`` when the data set says so, else ``""``.
        root: folder of the data set (of the CSV, if one was given).
        repository: where the image came from, of which whole parts are held out together; empty: not known.
        kind: what kind of picture it is, such as photograph or screenshot; empty: not known.
        inside: where it lies in an archive; None: it is a file by itself.
    """

    path: str
    label: int
    generator: str
    split: str = ""
    root: str = ""
    repository: str = ""
    kind: str = ""
    inside: Member | None = field(default=None, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """By path, size and time of change of the file, or of the archive; see `aigdetect.files`."""
        return fingerprint(self.path, None if self.inside is None else self.inside.archive)

    @property
    def key(self) -> str:
        """The path relative to ``root``, with ``/``: the same wherever the data set lies."""
        relative = self.path.removeprefix(self.root.rstrip(os.sep) + os.sep).lstrip(os.sep)
        return os.path.normpath(relative).replace(os.sep, "/")


@dataclass(frozen=True, slots=True)
class Ignored:
    """How many files were left out, and why.

    Attributes:
        not_images: files that are images neither by name nor by content; hidden files are not counted.
        empty: images of 0 bytes.
        broken: links that lead nowhere, unreadable files, what is neither a file nor a folder.
        unlabelled: images in no folder that says real or fake.
        repeated: rows of a CSV that name an image again, and images of an archive of one name.
        misnamed: images of an archive whose names would lead out of it.
        other_split: images outside the split asked for.
        links: symbolic links inside folders, which are not followed unless that is asked for.
    """

    not_images: int = 0
    empty: int = 0
    broken: int = 0
    unlabelled: int = 0
    repeated: int = 0
    misnamed: int = 0
    other_split: int = 0
    links: int = 0

    def __str__(self) -> str:
        """What was left out in one line, empty if nothing was."""
        told = {
            "not images": self.not_images,
            "empty": self.empty,
            "broken links or unreadable": self.broken,
            "in no real or fake folder": self.unlabelled,
            "named twice": self.repeated,
            "of unfit names": self.misnamed,
            "of another split": self.other_split,
            "symbolic links (--follow-symlinks follows them)": self.links,
        }
        return ", ".join(f"{count} {what}" for what, count in told.items() if count)


@dataclass(frozen=True, slots=True)
class DataSet:
    """What was found under one root.

    Attributes:
        root: folder or CSV as it was given.
        kind: the convention in words, such as ``"0_real/1_fake folders"``.
        samples: the images, in an order that depends on their names only.
        ignored: what was left out.
    """

    root: str
    kind: str
    samples: tuple[Sample, ...] = field(repr=False)
    ignored: Ignored = Ignored()

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that the data set names, out of ``SPLITS`` and in that order; empty if it names none."""
        named = {sample.split for sample in self.samples}
        return tuple(split for split in SPLITS if split in named)

    def pick(self, split: str) -> DataSet:
        """The part of the data set that belongs to ``split``; all of it if it names no splits.

        Raises:
            UsageError: ``split`` is not one of ``SPLITS``.
            DataError: the data set names splits, but not this one.
        """
        if split not in SPLITS:
            raise UsageError(f"unknown split {split!r}: use {', '.join(SPLITS)}")
        if not self.splits:
            return self
        if split not in self.splits:
            raise DataError(f"no {split} images in {self.root!r}: it holds {' and '.join(self.splits)}")
        kept = tuple(sample for sample in self.samples if sample.split == split)
        left_out = len(self.samples) - len(kept)
        return replace(self, samples=kept, ignored=replace(self.ignored, other_split=left_out))


@dataclass(frozen=True, slots=True)
class GeneratorCount:
    """How many images of each class a generator or source has."""

    generator: str
    real: int
    generated: int


def require_images(found: DataSet) -> None:
    """Refuse a data set without images.

    Raises:
        DataError: saying what there is instead.
    """
    if found.samples:
        return
    if found.ignored.unlabelled:
        raise DataError(
            f"{found.ignored.unlabelled} images in {found.root!r}, but no folder says real or fake: {_HINT}"
        )
    what = f" ({found.ignored})" if str(found.ignored) else ""
    raise DataError(f"no images found in {found.root!r}{what}: check that it is the right place")


def require_both_classes(*found: DataSet) -> None:
    """Refuse data sets that together hold one class only: nothing can be learned from them.

    Raises:
        DataError: there are only real or only generated images; the message names the roots.
    """
    labels = {sample.label for data in found for sample in data.samples}
    if labels == {0, 1}:
        return
    present, absent = ("generated", "real") if labels == {1} else ("real", "generated")
    roots = ", ".join(repr(data.root) for data in found)
    left_out = sum(data.ignored.other_split for data in found)
    note = f" ({left_out} images are of another split)" if left_out else ""
    raise DataError(
        f"only {present} images found in {roots}{note}: training needs both classes; add {absent} images"
        " or a further --data folder that holds them"
    )


def count_by_generator(samples: Iterable[Sample]) -> tuple[GeneratorCount, ...]:
    """Count the images per generator (or source) and class, sorted by name."""
    counts = Counter((sample.generator, sample.label) for sample in samples)
    names = sorted({generator for generator, _ in counts})
    return tuple(GeneratorCount(name, counts[name, 0], counts[name, 1]) for name in names)
