"""The way down through folders: each level is read once, with its siblings in sight."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from aigdetect.data.layouts.levels import Level, read_level
from aigdetect.data.layouts.marks import Mark, deciding_mark, read_mark
from aigdetect.data.layouts.words import fold_name
from aigdetect.errors import DataError
from aigdetect.images.sniff import HEAD_BYTES, claims_image, looks_like_image

_SKIPPED = frozenset({"__macosx", "thumbs.db", "@eadir"})


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on the way down.

    Attributes:
        path: where it lies.
        levels: from below the root down to it.
        mark: what decides the class here; None if nothing has yet.
        ancestors: device and inode of each folder from the root to here.
        follow: whether links are followed below.
    """

    path: str
    levels: tuple[Level, ...] = ()
    mark: Mark | None = None
    ancestors: tuple[tuple[int, int], ...] = ()
    follow: bool = False

    @property
    def split(self) -> str:
        """The split that the highest level names; empty if none does."""
        return next((level.split for level in self.levels if level.split), "")


def walk_folders(start: Folder) -> Iterator[tuple[Folder, list[os.DirEntry[str]]]]:
    """Every folder below ``start`` with its files, by name; links count as files unless they are followed.

    They are never followed in a circle.

    Raises:
        DataError: a folder that cannot be read, or one that contradicts those above it.
    """
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        identity = _identity(folder.path)
        if identity in folder.ancestors:
            continue
        folders, files = _listing(folder.path, folder.follow)
        yield folder, files
        here = replace(folder, ancestors=(*folder.ancestors, identity))
        siblings = frozenset(fold_name(entry.name) for entry in folders)
        waiting += [_below(here, entry.name, siblings) for entry in reversed(folders)]


def _below(folder: Folder, name: str, siblings: frozenset[str]) -> Folder:
    path = os.path.join(folder.path, name)  # noqa: PTH118 - paths stay as given
    level = read_level(name, siblings, above_mark=folder.mark is None)
    mark = deciding_mark(folder.mark, read_mark(name, siblings, len(folder.levels)), path)
    return replace(folder, path=path, levels=(*folder.levels, level), mark=mark)


def named_folders(names: Iterable[tuple[str, ...]], start: Folder) -> dict[tuple[str, ...], Folder]:
    """Folders that are only named, as in an archive, by the names on the way to each.

    Args:
        names: on the way from ``start`` down to each folder.
        start: where they begin.

    Raises:
        DataError: if one contradicts those above it.
    """
    below: dict[tuple[str, ...], set[str]] = {}
    for way in set(names):
        for depth in range(len(way)):
            below.setdefault(way[:depth], set()).add(way[depth])
    found: dict[tuple[str, ...], Folder] = {(): start}
    for above in sorted(below, key=len):
        siblings = frozenset(map(fold_name, below[above]))
        found |= {(*above, name): _below(found[above], name, siblings) for name in below[above]}
    return found


def _identity(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_dev, status.st_ino


def _listing(path: str, follow: bool) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    try:
        with os.scandir(path) as entries:
            visible = sorted((entry for entry in entries if not skipped(entry.name)), key=lambda e: e.name)
    except OSError as error:
        raise _unreadable(path, error) from error
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    for entry in visible:
        (folders if _is_folder(entry, follow) else files).append(entry)
    return folders, files


def _is_folder(entry: os.DirEntry[str], follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a link to itself; `find_flaw` counts it
        return False


def _unreadable(path: str, error: OSError) -> DataError:
    # A folder left out in silence would change what is trained on, so this stops.
    return DataError(f"cannot read the folder {path!r}: {error.strerror}; allow it or take it away")


def skipped(name: str) -> bool:
    """Whether files and folders of a name are passed over without a word."""
    return name.startswith(".") or name.casefold() in _SKIPPED


def find_flaw(entry: os.DirEntry[str], *, follow: bool) -> str:
    """Why a file is no sample, as a field of `Ignored`; empty for a good one."""
    try:
        if entry.is_symlink() and not follow:
            return "links"
        if not entry.is_file():
            return "broken"
        if not claims_image(entry.name) and not _is_image_inside(entry.path):
            return "not_images"
        return "" if entry.stat().st_size else "empty"
    except OSError:
        return "broken"


def _is_image_inside(path: str) -> bool:
    # Link farms often name their files by digest, without an extension.
    with Path(path).open("rb", buffering=0) as file:
        return looks_like_image(file.read(HEAD_BYTES))
