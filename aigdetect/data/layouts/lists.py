"""From a list to labelled images: a CSV, whose header names its columns in any order, or JSON Lines."""

from __future__ import annotations

import csv
import json
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aigdetect.data.layouts.generators import name_root
from aigdetect.data.layouts.levels import levels_of_root
from aigdetect.data.layouts.sample import SPLITS, DataSet, Ignored, Sample, require_images
from aigdetect.data.layouts.words import LABELS, SPLIT_NAMES, fold_name
from aigdetect.errors import DataError
from aigdetect.parsing import DELIMITERS, open_table

#: columns of paths, and of classes
PATHS = ("path", "filename", "file", "filepath", "file_path", "image", "image_path", "img", "img_path")
CLASSES = ("label", "class", "target", "is_ai", "is_fake", "is_generated", "typ")
_GENERATORS = ("generator", "generator_name", "source", "model", "typ")
_SUBSETS = ("split", "subset")
_REPOSITORIES = ("repository", "group")
_KINDS = ("kind",)
#: all of them
COLUMNS = frozenset((*PATHS, *CLASSES, *_GENERATORS, *_SUBSETS, *_REPOSITORIES, *_KINDS))
# as pandas writes a column such as is_ai
_LABELS = LABELS | {"true": 1, "false": 0}
_TYP = "typ"  # in ClipBased's and B-Free's lists: "real", or else the name of a generator


@dataclass(frozen=True, slots=True)
class _Header:
    """The delimiter of a CSV and where the columns stand; None for a column that is not there."""

    delimiter: str
    names: tuple[str, ...]

    def position(self, known: Sequence[str]) -> int | None:
        return next((self.names.index(name) for name in known if name in self.names), None)


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of one image, as text, and where that stands in words.

    Attributes:
        line: number of the line or row.
        where: the same with the file.
        path: of the image.
        label: class in a word.
        generator: generator or source; empty if none is told, like all that follow.
        split: see `aigdetect.data.layouts.sample.Sample`.
        repository: likewise.
        kind: likewise.
    """

    line: int
    where: str
    path: str
    label: str
    generator: str
    split: str
    repository: str
    kind: str


def from_list(path: str) -> DataSet:
    """The labelled images of a CSV, or of JSON Lines: an object for each image, with the same names.

    Raises:
        DataError: no image in it, or a bad row; the message names the line.
    """
    root = str(Path(path).parent)
    own_name = name_root(levels_of_root(root))
    samples: list[Sample] = []
    ignored: Counter[str] = Counter()
    known: dict[str, tuple[int, int]] = {}
    for row in _rows(path):
        sample = labelled(row, root, own_name)
        line, label = known.setdefault(sample.path, (row.line, sample.label))
        if label != sample.label:
            raise DataError(f"{row.where}: {row.path!r} has another label on line {line}; keep one")
        if line != row.line:
            ignored["repeated"] += 1
        elif not _size(sample.path, row):
            ignored["empty"] += 1
        else:
            samples.append(sample)
    kind = "JSON Lines" if _is_json(path) else "CSV"
    data = DataSet(path, kind, tuple(samples), Ignored(**ignored))
    require_images(data)
    return data


def labelled(row: Row, root: str, own_name: str) -> Sample:
    """The image that is told of.

    Args:
        row: what is told.
        root: where relative paths begin.
        own_name: generator or source where none is told.

    Raises:
        DataError: if it has no path, or another class or split than there is.
    """
    if not row.path:
        raise DataError(f"{row.where}: no path; each row needs one")
    label = _LABELS.get(fold_name(row.label))
    if label is None:
        raise DataError(f"{row.where}: unknown label {row.label!r}; use 1 or fake, 0 or real")
    split = SPLIT_NAMES.get(fold_name(row.split), "")
    if row.split and not split:
        raise DataError(f"{row.where}: unknown split {row.split!r}; use {', '.join(SPLITS)} or nothing")
    return Sample(
        str(Path(root) / row.path),
        label,
        sys.intern(row.generator) or own_name,
        split,
        root,
        repository=sys.intern(row.repository),
        kind=sys.intern(row.kind),
    )


def _size(path: str, row: Row) -> int:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise DataError(f"{row.where}: no such file: {row.path!r}; relative paths start at the CSV's folder")
    return status.st_size


def _rows(path: str) -> Iterator[Row]:
    try:
        with open_table(Path(path)) as file:
            if _is_json(path):
                yield from _objects(path, file)
            else:
                yield from _named_rows(path, file, _header(path, file.readline(1 << 16)))
    except OSError as error:
        raise DataError(f"cannot read {path!r}: {error.strerror}") from error
    except csv.Error as error:  # Python 3.10 refuses NUL bytes
        raise DataError(f"{path!r} is no list of images: {error}") from error
    except UnicodeError as error:
        raise DataError(f"cannot read {path!r} as text: {error}; save it as UTF-8") from error


def _is_json(path: str) -> bool:
    with open_table(Path(path)) as file:
        return file.read(1 << 10).lstrip().startswith("{")


def _header(path: str, line: str) -> _Header:
    for delimiter in DELIMITERS:
        names = next(csv.reader([line], delimiter=delimiter), [])
        header = _Header(delimiter, tuple(fold_name(name) for name in names))
        if header.position(PATHS) is not None and header.position(CLASSES) is not None:
            return header
    raise DataError(
        f"{path!r} is no list of images: its first line must name the columns path,label[,generator][,split],"
        f" it is {line[:80].rstrip()!r}"
    )


def _named_rows(path: str, lines: Iterable[str], header: _Header) -> Iterator[Row]:
    known = (PATHS, CLASSES, _GENERATORS, _SUBSETS, _REPOSITORIES, _KINDS)
    columns = [header.position(each) for each in known]
    names = [None if at is None else header.names[at] for at in columns]
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    line = 2
    try:
        for cells in reader:
            if any(cells):
                name, label, *others = (_cell(cells, at) for at in columns)
                generator, split, repository, kind = (each.strip() for each in others)
                if names[1] == _TYP and label and fold_name(label) not in LABELS:
                    label = "fake"
                if names[2] == _TYP and fold_name(generator) in LABELS:
                    generator = ""
                where = f"{path!r}, line {line}"
                yield Row(line, where, name, label.strip(), generator, split, repository, kind)
            line = reader.line_num + 2
    except csv.Error as error:
        raise DataError(f"{path!r}, line {line}: {error}; check the quotes") from error


def _objects(path: str, lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        where = f"{path!r}, line {number}"
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not an object of JSON") from error
        if not isinstance(told, dict):
            raise DataError(f"{where}: not an object of JSON")
        yield told_row(told, number, where)


def told_row(told: Mapping[str, object], line: int, where: str) -> Row:
    """A row out of values by the names of columns; those that are None are not told."""
    named = {fold_name(name): value for name, value in told.items() if value is not None}
    values = [
        next((_text(named[name]) for name in known if name in named), "")
        for known in (PATHS, CLASSES, _GENERATORS, _SUBSETS, _REPOSITORIES, _KINDS)
    ]
    return Row(line, where, values[0], *(value.strip() for value in values[1:]))


def _text(value: object) -> str:
    """A value of JSON as a CSV would hold it: true is 1, false 0."""
    return str(int(value) if isinstance(value, bool) else value)


def _cell(cells: Sequence[str], at: int | None) -> str:
    return cells[at] if at is not None and at < len(cells) else ""
