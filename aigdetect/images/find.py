"""Find the images among files, folders and lists, one at a time and in a fixed order."""

# paths stay strings as given: pathlib would tidy them, and costs more than the rest of a walk
# ruff: noqa: PTH114, PTH116, PTH118, PTH119, PTH120

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aigdetect.images.read import open_without_waiting
from aigdetect.images.sniff import HEAD_BYTES, claims_image, looks_like_image, sniff_video

if TYPE_CHECKING:
    from aigdetect.images.members import Member

VIDEO = "video"
"""The reason of a file that holds moving pictures, none of which is looked at."""

LINK = "symbolic link"
"""The reason of what is passed over because links inside folders are not followed."""

COMPANION = "companion file of macOS"
"""The reason of a file ``._name`` beside a file: what macOS keeps of it where it cannot be kept in it."""

_COMPANION_HEAD = b"\0\5\x16\7"


@dataclass(frozen=True)
class Found:
    """One thing met on the way.

    Attributes:
        path: as given, or joined to the folder as given; ``os.fsencode`` brings back its bytes.
        kind: ``"image"`` deserves a row; so does ``"video"``, where these are asked for; ``"other"`` is only
            counted; ``"error"`` could not be looked at.
        reason: why it is an error or was passed over; one line without the path, empty for images. A file of
            another kind may be :data:`LINK`, :data:`COMPANION` or :data:`VIDEO`.
        inside: where it lies in an archive; None: it is a file by itself.
    """

    path: str
    kind: Literal["image", "video", "other", "error"]
    reason: str = ""
    inside: Member | None = None


def find_files(
    paths: Iterable[str | os.PathLike[str]], *, follow_symlinks: bool = False, videos: bool = False
) -> Iterator[Found]:
    """Walk files and folders, lazily, each folder in the order of its names' bytes.

    A file named in ``paths`` is always an image, unless it is a :data:`COMPANION`: the user asked for it. A
    file inside a folder is one when its name or its content says so. A file reached twice by one absolute
    path is given once; memory grows with ``paths`` and the largest folder, not with the number of files met
    (with ``follow_symlinks``, also with the number of folders, each of which is entered once).

    Args:
        paths: files and folders; a symbolic link named here is followed.
        follow_symlinks: also follow symbolic links met inside folders.
        videos: take videos, known by their content whatever they are called, for what deserves a row.

    Yields:
        what is met; never raises for what is on the disk.
    """
    seen = _Seen(videos)
    for path in map(os.fsdecode, paths):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            yield Found(path, "error", _reason(error))
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(path, seen, follow_symlinks)
        elif not stat.S_ISREG(mode):
            yield Found(path, "error", "not a regular file")
        elif seen.is_new_file(path, follow_symlinks):
            yield _companion(path) or Found(path, "video" if videos and _is_video(path) else "image")


@dataclass
class _Seen:
    """What was given before; folders stand for all that is in them."""

    videos: bool = False  # whether these are given
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def is_new_file(self, path: str, follow_symlinks: bool) -> bool:
        """Remember a file named by the user; False if it has been given already."""
        key = _absolute(path)
        if key in self.files:
            return False
        self.files.add(key)
        if not self._inside_folder(key) or (os.path.islink(path) and not follow_symlinks):
            return True
        # inside a folder it was given only if it is an image of itself: now the user insists
        found = _classify(path, self.videos)
        return found.kind == "other" and found.reason != COMPANION

    def is_new_folder(self, key: str) -> bool:
        """Remember a folder named by the user; False if it or one around it has been walked."""
        if key in self.folders or self._inside_folder(key):
            return False
        self.folders.add(key)
        return True

    def _inside_folder(self, key: str) -> bool:
        while self.folders and key != (key := os.path.dirname(key)):
            if key in self.folders:
                return True
        return False


def _absolute(path: str) -> str:
    """The absolute path of a file: links are resolved in its folder, not in its name."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _walk(root: str, seen: _Seen, follow: bool) -> Iterator[Found]:
    key = os.path.realpath(root)
    if not seen.is_new_folder(key):
        return
    visited: set[tuple[int, int]] = set()  # only when following: links can make loops
    pending = [(key, _entries(root, visited, follow))]
    while pending:  # an explicit stack: a tree can be deeper than Python's
        folder, entries = pending[-1]
        entry = next(entries, None)
        if entry is None:
            pending.pop()
        elif isinstance(entry, Found):
            yield entry
        elif _is(entry.is_dir, follow):
            key = os.path.join(folder, entry.name)
            if key not in seen.folders:
                pending.append((key, _entries(entry.path, visited, follow)))
        elif not _is(entry.is_file, follow):
            yield Found(entry.path, "other", _why_passed_over(entry))
        elif not seen.files or os.path.join(folder, entry.name) not in seen.files:
            yield _classify(entry.path, seen.videos)


def _entries(folder: str, visited: set[tuple[int, int]], follow: bool) -> Iterator[os.DirEntry[str] | Found]:
    """A folder's entries in order, then a :class:`Found` if the folder could not be read to its end."""
    entries: list[os.DirEntry[str]] = []
    failure = ""
    try:
        if follow and not _first_visit(folder, visited):
            return
        with os.scandir(folder) as listing:
            for entry in listing:  # what was read before an error counts
                entries.append(entry)
    except OSError as error:
        failure = _reason(error)
    yield from sorted(entries, key=lambda entry: os.fsencode(entry.name))
    if failure:
        yield Found(folder, "error", failure)


def _first_visit(folder: str, visited: set[tuple[int, int]]) -> bool:
    info = os.stat(folder)
    identity = (info.st_dev, info.st_ino)
    if identity in visited:
        return False
    visited.add(identity)
    return True


def _is(test: Callable[..., bool], follow: bool) -> bool:
    try:
        return test(follow_symlinks=follow)
    except OSError:  # vanished meanwhile, or a loop of links
        return False


def _why_passed_over(entry: os.DirEntry[str]) -> str:
    return LINK if entry.is_symlink() else "not a regular file"


def _companion(path: str) -> Found | None:
    """A companion file, by name and content; None for any other, or one that cannot be read."""
    if not os.path.basename(path).startswith("._"):
        return None
    try:
        return Found(path, "other", COMPANION) if _head(path).startswith(_COMPANION_HEAD) else None
    except OSError:
        return None


def _is_video(path: str) -> bool:
    """Whether a file is a video by its content; False for one that cannot be read."""
    try:
        head = _head(path)
    except OSError:
        return False
    return not looks_like_image(head) and bool(sniff_video(head))


def _classify(path: str, videos: bool = False) -> Found:
    if companion := _companion(path):
        return companion
    if claims_image(path):
        return Found(path, "video" if videos and _is_video(path) else "image")
    try:
        head = _head(path)
    except OSError as error:
        return Found(path, "error", _reason(error))
    if looks_like_image(head):
        return Found(path, "image")
    if sniff_video(head):
        return Found(path, "video") if videos else Found(path, "other", VIDEO)
    return Found(path, "other")


def _head(path: str) -> bytes:
    with open(path, "rb", buffering=0, opener=open_without_waiting) as file:
        return file.read(HEAD_BYTES) or b""


def _reason(error: OSError | ValueError) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
