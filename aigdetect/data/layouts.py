"""Turn the folder conventions of the field, or a CSV, into one list of labelled images.

A folder's name says the class of everything below it (``0_real``, ``nature``, ``fake``...), other levels say
the generator, the split, or nothing (object classes, shards). No option is needed, and no image is decoded.
"""

from __future__ import annotations

import csv
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from aigdetect.errors import DataError, UsageError
from aigdetect.images.find import HEAD_BYTES, claims_image, looks_like_image

SPLITS = ("train", "val", "test")

# Words as `_word` writes them: casefolded, with underscores.
_REAL = """
    0_real 0 0.0 real reals real_image real_images nature natural photo photos photograph photographs
    authentic original originals genuine pristine
"""
_FAKE = """
    1_fake 1 1.0 fake fakes fake_image fake_images ai ais ai_generated ai_image ai_images aigc aigi gan gans
    generated synthetic synthesized synthesised deepfake deepfakes
"""
_LABELS = dict.fromkeys(_REAL.split(), 0) | dict.fromkeys(_FAKE.split(), 1)
_NUMBERED = frozenset({"0_real", "1_fake"})
_GENIMAGE = frozenset({"nature", "ai"})
_DIGITS = frozenset({"0", "1"})

# The 20 LSUN classes of ProGAN in CNNDetection's training tree, then those that its test tree adds.
_CLASSES_OF_PROGAN = """
    airplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
    sheep sofa train tvmonitor
"""
_PROGAN = frozenset(_CLASSES_OF_PROGAN.split())
_OBJECTS = _PROGAN | {"apple", "orange", "summer", "winter", "zebra", "bedroom", "church"}

_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_SPLIT_FOLDER = re.compile(r"(?:(?P<before>.+)[_-])?(?P<split>train|val|test)(?P<set>_?set)?", re.IGNORECASE)
# Levels that hold data but name no generator: shards, ImageNet synsets, GenImage's extra level; containers.
_SHARD = re.compile(r"\d+|n\d{8}|imagenet_ai(_.*)?", re.IGNORECASE)
_CONTAINER = re.compile(r"(.*_)?datasets?|data|images?|imgs?|pictures|files|all", re.IGNORECASE)
_SKIPPED = frozenset({"__macosx", "thumbs.db", "@eadir"})

_HINT = (
    "name folders real and fake, 0_real and 1_fake, or nature and ai, or give a CSV of path,label,generator"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image on disk.

    Attributes:
        path: where it lies; bytes that are not text come as ``os.fsdecode`` gives them.
        label: 1 for AI-generated, 0 for real.
        generator: generator of a generated image (``"progan"``), source or companion set of a real one
            (``"imagenet"``); never empty.
        split: ``"train"``, ``"val"`` or ``"test"`` when the data set says so, else ``""``.
        root: folder of the data set (of the CSV, if one was given).
    """

    path: str
    label: int
    generator: str
    split: str = ""
    root: str = ""

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
        repeated: rows of a CSV that name an image again.
        other_split: images outside the split asked for.
    """

    not_images: int = 0
    empty: int = 0
    broken: int = 0
    unlabelled: int = 0
    repeated: int = 0
    other_split: int = 0

    def __str__(self) -> str:
        """What was left out in one line, empty if nothing was."""
        told = {
            "not images": self.not_images,
            "empty": self.empty,
            "broken links or unreadable": self.broken,
            "in no real or fake folder": self.unlabelled,
            "named twice": self.repeated,
            "of another split": self.other_split,
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


def find_samples(root: str | os.PathLike[str], *, split: str | None = None) -> DataSet:
    """Find the labelled images of a data set, whatever its layout.

    Args:
        root: a folder (``0_real/1_fake`` at any depth; GenImage's ``ai/nature``; ``real/fake`` and synonyms
            above or below the generators), or a CSV with columns path, label[, generator][, split].
        split: keep only ``"train"``, ``"val"`` or ``"test"`` where the data set has such a level; nothing
            happens where it has none.

    Returns:
        The images with class, generator and split. One class alone is fine here, see
        `require_both_classes`.

    Raises:
        DataError: nothing there, no image found, contradictory folders, a bad row in the CSV.
        UsageError: ``split`` is none of the three.
    """
    place = os.fsdecode(root)
    if Path(place).is_dir():
        found = _from_folder(place)
    elif Path(place).is_file():
        found = _from_csv(place)
    else:
        raise DataError(f"no such folder or CSV: {place!r}; check the path")
    return found if split is None else found.pick(split)


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


# Folders: each level is read once, on the way down, with its siblings in sight.


@dataclass(frozen=True, slots=True)
class _Level:
    """What one folder name says: a generator (or source), a split, both, or neither."""

    name: str
    generator: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class _Mark:
    """The folder that decides the class of what lies below it; its depth is -1 if it is the root."""

    label: int
    word: str
    strength: int
    depth: int


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the way down; ``ancestors`` are device and inode from the root to here."""

    path: str
    levels: tuple[_Level, ...] = ()
    mark: _Mark | None = None
    ancestors: tuple[tuple[int, int], ...] = ()


def _from_folder(root: str) -> DataSet:
    home = _levels_of_root(root)
    found = _collect(root, home, mark=None)
    if not found.samples and found.ignored.unlabelled:
        found = _by_own_name(root, home) or found
    if not found.samples:
        raise DataError(_nothing_found(found))
    return found


def _by_own_name(root: str, home: Sequence[_Level]) -> DataSet | None:
    """The images of a root such as ``progan/0_real``, for evaluation on one class."""
    word = _word(home[-1].name)
    if word in _DIGITS or word not in _LABELS:
        return None
    found = _collect(root, home, mark=_Mark(_LABELS[word], word, strength=0, depth=-1))
    return replace(found, kind=f"one folder of {'generated' if _LABELS[word] else 'real'} images")


def _nothing_found(found: DataSet) -> str:
    if found.ignored.unlabelled:
        return (
            f"{found.ignored.unlabelled} images in {found.root!r}, but no folder says real or fake: {_HINT}"
        )
    what = f" ({found.ignored})" if str(found.ignored) else ""
    return f"no images found in {found.root!r}{what}: check that it is the right place"


def _collect(root: str, home: Sequence[_Level], *, mark: _Mark | None) -> DataSet:
    samples: list[Sample] = []
    ignored: Counter[str] = Counter()
    words: set[str] = set()
    for folder, files in _walk(_Folder(root, mark=mark)):
        flaws = [_flaw(entry) for entry in files]
        ignored.update(flaw for flaw in flaws if flaw)
        paths = [entry.path for entry, flaw in zip(files, flaws, strict=True) if not flaw]
        if folder.mark is None:
            ignored["unlabelled"] += len(paths)
        elif paths:
            words.add(folder.mark.word)
            generator, split = _generator(folder, home), _split(folder)
            samples += [Sample(path, folder.mark.label, generator, split, root) for path in paths]
    has_splits = any(sample.split for sample in samples)
    return DataSet(root, _kind(words, has_splits=has_splits), tuple(samples), Ignored(**ignored))


def _walk(start: _Folder) -> Iterator[tuple[_Folder, list[os.DirEntry[str]]]]:
    """Every folder below ``start`` with its files, by name; links are followed, but never in a circle."""
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        identity = _identity(folder.path)
        if identity in folder.ancestors:
            continue
        folders, files = _listing(folder.path)
        yield folder, files
        here = replace(folder, ancestors=(*folder.ancestors, identity))
        siblings = frozenset(_word(entry.name) for entry in folders)
        waiting += [_below(here, entry, siblings) for entry in reversed(folders)]


def _identity(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_dev, status.st_ino


def _listing(path: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    try:
        with os.scandir(path) as entries:
            visible = sorted((entry for entry in entries if not _skipped(entry.name)), key=lambda e: e.name)
    except OSError as error:
        raise _unreadable(path, error) from error
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    for entry in visible:
        (folders if _is_folder(entry) else files).append(entry)
    return folders, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; `_flaw` counts it
        return False


def _unreadable(path: str, error: OSError) -> DataError:
    # A folder left out in silence would change what is trained on, so this stops.
    return DataError(f"cannot read the folder {path!r}: {error.strerror}; allow it or take it away")


def _skipped(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SKIPPED


def _flaw(entry: os.DirEntry[str]) -> str:
    """Why a file is no sample, as a field of `Ignored`; empty for a good one."""
    try:
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


def _below(folder: _Folder, entry: os.DirEntry[str], siblings: frozenset[str]) -> _Folder:
    level = _read_level(entry.name, siblings, above_mark=folder.mark is None)
    mark = _deciding(folder.mark, _read_mark(entry.name, siblings, len(folder.levels)), entry.path)
    return _Folder(entry.path, (*folder.levels, level), mark, folder.ancestors)


def _read_mark(name: str, siblings: frozenset[str], depth: int) -> _Mark | None:
    """The class that a folder name gives, and how far to trust it.

    A word such as ``photo`` may be a class or a source, so it counts for more beside its opposite, and
    ``0`` and ``1`` may be shards, so they count only as a pair and under no other mark.
    """
    word = _word(name)
    label = _LABELS.get(word)
    if label is None or (word in _DIGITS and siblings != _DIGITS):
        return None
    if word in _DIGITS:
        return _Mark(label, word, 1, depth)
    if word in _NUMBERED:
        return _Mark(label, word, 4, depth)
    paired = any(_LABELS.get(sibling) == 1 - label for sibling in siblings - _DIGITS)
    return _Mark(label, word, 3 if paired else 2, depth)


def _deciding(above: _Mark | None, here: _Mark | None, path: str) -> _Mark | None:
    if here is None or above is None:
        return here or above
    if here.strength > above.strength:
        return here
    if here.strength == above.strength and here.label != above.label:
        raise DataError(f"{path!r} lies under both a real and a fake folder: rename one, or give a CSV")
    return above


def _read_level(name: str, siblings: frozenset[str], *, above_mark: bool) -> _Level:
    word = _word(name)
    # "train" is a split, and one of ProGAN's classes too; there it stands among the others.
    if word == "train" and siblings & (_PROGAN - {"train"}):
        return _Level(name)
    if word in _SPLIT_NAMES and word != "dev":
        return _Level(name, split=_SPLIT_NAMES[word])
    matched = _SPLIT_FOLDER.fullmatch(name)
    if matched and above_mark:  # `progan_train` names a generator, `CNN_synth_testset` none
        generator = "" if matched["set"] else matched["before"] or ""
        return _Level(name, generator, matched["split"].lower())
    silent = word in _OBJECTS or _SHARD.fullmatch(name) or _CONTAINER.fullmatch(name)
    return _Level(name, "" if silent else name)


def _split(folder: _Folder) -> str:
    return next((level.split for level in folder.levels if level.split), "")


def _generator(folder: _Folder, home: Sequence[_Level]) -> str:
    """The generator of a folder's images: from the levels under the root, else from the root's own name."""
    mark = folder.mark
    assert mark is not None
    above, below = folder.levels[: max(mark.depth, 0)], folder.levels[mark.depth + 1 :]
    named = any(level.generator for level in above)
    if mark.word in _NUMBERED and not named and _is_progan_training((*home, *above)):
        return "progan"
    # By convention, 0_real and 1_fake hold only images; real and fake are often divided further.
    nearest = (*above, *below) if mark.word in _NUMBERED else (*below, *above)
    return next((level.generator for level in nearest if level.generator), "") or _own_name(home)


def _is_progan_training(levels: Sequence[_Level]) -> bool:
    """Whether object classes lie right under ``train`` or ``val``, as in CNNDetection's ProGAN tree."""
    return any(
        upper.split in {"train", "val"} and _word(lower.name) in _PROGAN for upper, lower in pairwise(levels)
    )


def _levels_of_root(root: str) -> tuple[_Level, ...]:
    """The root's name and up to two names above it, for roots such as ``progan/train``."""
    names = Path(os.path.abspath(root)).parts[-3:]  # noqa: PTH100 (the user's names, not what links lead to)
    return tuple(_read_level(name, frozenset(), above_mark=True) for name in names)


def _own_name(home: Sequence[_Level]) -> str:
    """The root's name as a generator: that of ``sd1`` for ``sd1/train``, but its own if it is ``images``."""
    for level in reversed(home):
        if _CONTAINER.fullmatch(level.name):
            break
        if level.generator and _word(level.name) not in _LABELS:
            return level.generator
    return home[-1].name


def _kind(words: set[str], *, has_splits: bool) -> str:
    kinds = {
        "0_real/1_fake folders": words & _NUMBERED,
        "GenImage ai/nature" if has_splits else "ai/nature folders": words & _GENIMAGE,
        "real/fake folders": words - _NUMBERED - _GENIMAGE,
    }
    return " and ".join(kind for kind, used in kinds.items() if used)


def _word(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


# CSV: a header that names the columns, in any order, among any others.

_PATHS = ("path", "filename", "file", "filepath", "file_path", "image", "image_path", "img", "img_path")
_CLASSES = ("label", "class", "target", "is_ai", "is_fake", "is_generated", "typ")
_GENERATORS = ("generator", "generator_name", "source", "model", "typ")
_SUBSETS = ("split", "subset")
_TYP = "typ"  # in ClipBased's and B-Free's lists: "real", or else the name of a generator


@dataclass(frozen=True, slots=True)
class _Header:
    """The delimiter of a CSV and where the columns stand; None for a column that is not there."""

    delimiter: str
    names: tuple[str, ...]

    def position(self, known: Sequence[str]) -> int | None:
        return next((self.names.index(name) for name in known if name in self.names), None)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a CSV, and where it begins in words."""

    line: int
    where: str
    path: str
    label: str
    generator: str
    split: str


def _from_csv(path: str) -> DataSet:
    root = str(Path(path).parent)
    own_name = _own_name(_levels_of_root(root))
    samples: list[Sample] = []
    ignored: Counter[str] = Counter()
    known: dict[str, tuple[int, int]] = {}
    for row in _rows(path):
        sample = _sample(row, root, own_name)
        line, label = known.setdefault(sample.path, (row.line, sample.label))
        if label != sample.label:
            raise DataError(f"{row.where}: {row.path!r} has another label on line {line}; keep one")
        if line != row.line:
            ignored["repeated"] += 1
        elif not _size(sample.path, row):
            ignored["empty"] += 1
        else:
            samples.append(sample)
    data = DataSet(path, "CSV", tuple(samples), Ignored(**ignored))
    if not samples:
        raise DataError(_nothing_found(data))
    return data


def _sample(row: _Row, root: str, own_name: str) -> Sample:
    if not row.path:
        raise DataError(f"{row.where}: no path; each row needs one")
    label = _LABELS.get(_word(row.label))
    if label is None:
        raise DataError(f"{row.where}: unknown label {row.label!r}; use 1 or fake, 0 or real")
    split = _SPLIT_NAMES.get(_word(row.split), "")
    if row.split and not split:
        raise DataError(f"{row.where}: unknown split {row.split!r}; use {', '.join(SPLITS)} or nothing")
    return Sample(str(Path(root) / row.path), label, sys.intern(row.generator) or own_name, split, root)


def _size(path: str, row: _Row) -> int:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise DataError(f"{row.where}: no such file: {row.path!r}; relative paths start at the CSV's folder")
    return status.st_size


def _rows(path: str) -> Iterator[_Row]:
    try:
        with Path(path).open(encoding=_encoding(path), errors="surrogateescape", newline="") as file:
            header = _header(path, file.readline(1 << 16))
            yield from _named_rows(path, file, header)
    except OSError as error:
        raise DataError(f"cannot read {path!r}: {error.strerror}") from error
    except csv.Error as error:  # Python 3.10 refuses NUL bytes
        raise DataError(f"{path!r} is no list of images: {error}") from error
    except UnicodeError as error:
        raise DataError(f"cannot read {path!r} as text: {error}; save it as UTF-8") from error


def _encoding(path: str) -> str:
    with Path(path).open("rb") as file:
        return "utf-16" if file.read(2) in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"


def _header(path: str, line: str) -> _Header:
    for delimiter in ",;\t|":
        names = next(csv.reader([line], delimiter=delimiter), [])
        header = _Header(delimiter, tuple(_word(name) for name in names))
        if header.position(_PATHS) is not None and header.position(_CLASSES) is not None:
            return header
    raise DataError(
        f"{path!r} is no list of images: its first line must name the columns path,label[,generator][,split],"
        f" it is {line[:80].rstrip()!r}"
    )


def _named_rows(path: str, lines: Iterable[str], header: _Header) -> Iterator[_Row]:
    columns = [header.position(known) for known in (_PATHS, _CLASSES, _GENERATORS, _SUBSETS)]
    names = [None if at is None else header.names[at] for at in columns]
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    line = 2
    try:
        for cells in reader:
            if any(cells):
                name, label, generator, split = (_cell(cells, at) for at in columns)
                if names[1] == _TYP and label and _word(label) not in _LABELS:
                    label = "fake"
                if names[2] == _TYP and _word(generator) in _LABELS:
                    generator = ""
                where = f"{path!r}, line {line}"
                yield _Row(line, where, name, label.strip(), generator.strip(), split.strip())
            line = reader.line_num + 2
    except csv.Error as error:
        raise DataError(f"{path!r}, line {line}: {error}; check the quotes") from error


def _cell(cells: Sequence[str], at: int | None) -> str:
    return cells[at] if at is not None and at < len(cells) else ""
