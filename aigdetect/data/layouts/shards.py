"""From archives of images to labelled images: tar, WebDataset's shards, Parquet, Arrow.

An archive's images are labelled by what is told of them in it, else by folders in their names, as if it had
been unpacked. They come in the order of those folders: an archive gives what the folder
gives that it was made of.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aigdetect.data.layouts.columns import read_columns
from aigdetect.data.layouts.entries import Entry
from aigdetect.data.layouts.generators import name_generator, name_root
from aigdetect.data.layouts.levels import Level, levels_of_root, read_level
from aigdetect.data.layouts.lists import labelled, told_row
from aigdetect.data.layouts.marks import GIVEN, Mark
from aigdetect.data.layouts.sample import DataSet, Ignored, Sample, require_images
from aigdetect.data.layouts.tars import read_tar
from aigdetect.data.layouts.walk import Folder, named_folders, walk_folders
from aigdetect.images.sniff import claims_image

_TABLE = re.compile(r"\.(parquet|arrow)$", re.IGNORECASE)
# with the number of a shard, as in train-00000-of-00002
_ENDING = re.compile(
    r"([-_.]?\d{3,}(-of-\d+)?)?\.(tar|tar\.gz|tgz|tar\.bz2|tbz2|tar\.xz|txz|parquet|arrow)$", re.IGNORECASE
)
_CACHE = "cache-"  # what datasets leaves beside its own files


@dataclass(frozen=True, slots=True)
class Shard:
    """An archive, and the folder that it stands in."""

    path: str
    folder: Folder

    @property
    def split(self) -> str:
        """The split that its name says, as does ``train-00000-of-00002.parquet``; empty if it says none."""
        return read_level(_stem(Path(self.path).name), frozenset(), above_mark=True).split


def find_shards(root: str, label: int | None, *, follow: bool) -> list[Shard]:
    """The archives of a data set: the root itself, or all in a folder that holds no image by its name.

    Args:
        root: a file or folder.
        label: class of all that is in them; None goes by what they say.
        follow: whether links inside a folder are followed.

    Raises:
        DataError: a folder that cannot be read, or one that contradicts those above it.
    """
    mark = None if label is None else Mark(label, "", strength=GIVEN, depth=-1)
    if not Path(root).is_dir():
        is_shard = _ENDING.search(root) and Path(root).is_file()
        return [Shard(root, Folder(root, mark=mark))] if is_shard else []
    found: list[Shard] = []
    for folder, files in walk_folders(Folder(root, mark=mark, follow=follow)):
        for entry in files:
            if claims_image(entry.name):
                return []
            if _is_shard(entry, follow):
                found.append(Shard(entry.path, folder))
    return found


def _is_shard(entry: os.DirEntry[str], follow: bool) -> bool:
    if not _ENDING.search(entry.name) or entry.name.startswith(_CACHE):
        return False
    try:
        return entry.is_file(follow_symlinks=follow)
    except OSError:  # a link to itself
        return False


def from_shards(root: str, shards: Sequence[Shard]) -> DataSet:
    """The labelled images of archives.

    Args:
        root: what was given.
        shards: what :func:`find_shards` found there.

    Raises:
        DataError: no image found, an archive that cannot be read, contradictory folders, a label unknown.
        UsageError: if a library for them is not installed.
    """
    ignored: Counter[str] = Counter()
    found: dict[str, list[tuple[Shard, Entry]]] = {}  # by folder: archives in one name folders together
    for shard in shards:
        read = read_columns if _TABLE.search(shard.path) else read_tar
        found.setdefault(shard.folder.path, []).extend((shard, entry) for entry in read(shard.path, ignored))
    home = levels_of_root(root if Path(root).is_dir() else _stem(root))
    samples = [sample for held in found.values() for sample in _labelled(held, home, ignored)]
    kinds = sorted({"table of images" if _TABLE.search(shard.path) else "tar archive" for shard in shards})
    data = DataSet(root, " and ".join(kinds), tuple(samples), Ignored(**ignored))
    require_images(data)
    return data


def _labelled(
    held: Sequence[tuple[Shard, Entry]], home: Sequence[Level], ignored: Counter[str]
) -> Iterator[Sample]:
    """The images of archives in one folder, in the order of the folders in their names."""
    if not held:
        return
    folders = named_folders((_way(entry)[:-1] for _, entry in held), held[0][0].folder)
    for shard, entry in sorted(held, key=lambda each: (_place(each[1]), each[0].path)):
        sample = _sample(shard, entry, folders[_way(entry)[:-1]], home)
        if sample is None:
            ignored["unlabelled"] += 1
        else:
            yield sample


def _sample(shard: Shard, entry: Entry, folder: Folder, home: Sequence[Level]) -> Sample | None:
    """An image with its class; None if nothing says it."""
    row = told_row(entry.told, entry.place, f"{shard.path!r}, {entry.name!r}")
    mark = folder.mark
    if mark is not None and (mark.strength == GIVEN or not row.label):
        row = replace(row, label=str(mark.label))
    if not row.label:
        return None
    above = [level.generator for level in folder.levels if level.generator]
    own = name_generator(folder.levels, mark, home) if mark else next(iter(above), name_root(home))
    sample = labelled(replace(row, path=entry.name), shard.path, own)
    return replace(sample, split=sample.split or folder.split or shard.split, inside=entry.member)


def _way(entry: Entry) -> tuple[str, ...]:
    return tuple(entry.name.split("/"))


def _place(entry: Entry) -> tuple[tuple[bool, str], ...]:
    """A key to sort by as folders are walked: the images of a folder, then the folders in it."""
    *folders, name = _way(entry)
    return (*((True, folder) for folder in folders), (False, name))


def _stem(path: str) -> str:
    """A path without the number and ending of a shard."""
    return _ENDING.sub("", path)
