"""Scores of any other detector, from a CSV of path and score, joined to the images of a benchmark."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.evaluation.results import ImageScore
from aigdetect.parsing import DELIMITERS, open_table

_PATHS = ("path", "filename", "file", "image")
_SCORES = ("score", "logit")
_RATIO = "log10_lr"
_NOT_SCORED = "the file of scores has no such image"


@dataclass(frozen=True, slots=True)
class ForeignScores:
    """What a file of scores says of the images.

    Attributes:
        name: of the detector.
        path: the file.
        scale: ``"probability"`` if all scores lie in 0..1, else ``"score"``.
        scores: one per sample, in their order; with an error where the file has none.
        unmatched: paths of rows that fit no image, as they stand there.
    """

    name: str
    path: Path
    scale: str
    scores: tuple[ImageScore, ...] = field(repr=False)
    unmatched: tuple[str, ...] = field(repr=False)


def parse_scores_option(text: str) -> tuple[str, Path]:
    """Name and file of ``--scores NAME=FILE``.

    Raises:
        UsageError: if one of them is missing.
    """
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise UsageError(f"--scores: {text!r} is not NAME=FILE.csv")
    return name, Path(file)


def read_scores(name: str, file: Path, samples: Sequence[Sample]) -> ForeignScores:
    """Read a CSV with columns ``path`` and ``score`` (higher: generated), and perhaps ``log10_lr``.

    Commas, semicolons, tabs or bars separate the columns; with semicolons, numbers may have decimal commas.
    The text is UTF-8, with or without a byte order mark, or UTF-16.

    A row belongs to the image of this path: as given, relative to the file's folder, or relative to the data
    set's root; else to the only image of this file name.

    Args:
        name: of the detector.
        file: the CSV.
        samples: images of the benchmark.

    Raises:
        UsageError: in one line, if the file cannot be read, lacks a column, has two scores for one image, or
            fits no image at all.
    """
    index = _Index(samples)
    found: dict[int, ImageScore] = {}
    unmatched: list[str] = []
    for line, path, score in _rows(file):
        place = index.find(path, file.parent)
        if place is None:
            unmatched.append(path)
        elif found.setdefault(place, score) != score:
            raise UsageError(f"{file}, line {line}: a second score for {samples[place].path!r}; keep one")
    if not any(score.score is not None for score in found.values()):
        raise UsageError(
            f"{file}: fits no image of the data; its paths must be those of the data set, absolute or "
            "relative to its root"
        )
    values = [score.score for score in found.values() if score.score is not None]
    scale = "probability" if all(0 <= value <= 1 for value in values) else "score"
    scores = [found.get(place, ImageScore(error=_NOT_SCORED)) for place in range(len(samples))]
    if scale == "probability":
        scores = [_as_probability(score) for score in scores]
    return ForeignScores(name, file, scale, tuple(scores), tuple(unmatched))


def _as_probability(score: ImageScore) -> ImageScore:
    return ImageScore(score.score, score.score, score.log10_lr, error=score.error)


class _Index:
    """Finds the place of an image by path, by path under its root, or by a file name that only it has."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._paths = {_absolute(sample.path): place for place, sample in enumerate(samples)}
        self._keys = _unique((sample.key, place) for place, sample in enumerate(samples))
        self._names = _unique((Path(sample.path).name, place) for place, sample in enumerate(samples))

    def find(self, path: str, folder: Path) -> int | None:
        # an apostrophe in front is how CSV made for spreadsheets begins a text that looks like a formula
        for text in (path, path[1:]) if path.startswith("'") else (path,):
            for table, name in (
                (self._paths, _absolute(text)),
                (self._paths, _absolute(str(folder / text))),
                (self._keys, os.path.normpath(text).replace(os.sep, "/")),
                (self._names, Path(text).name),
            ):
                if name in table:
                    return table[name]
        return None


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links are not followed


def _unique(pairs: Iterator[tuple[str, int]] | Sequence[tuple[str, int]]) -> Mapping[str, int]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for name, place in pairs:
        places[name].append(place)
    return {name: found[0] for name, found in places.items() if len(found) == 1}


@dataclass(frozen=True, slots=True)
class _Columns:
    """How a file of scores separates its columns, and what they are called in it."""

    delimiter: str
    path: str
    score: str
    ratio: str
    error: str

    def number(self, text: str | None) -> float | None:
        """A number; where semicolons separate columns, commas separate decimals."""
        try:
            value = float((text or "").replace(",", ".") if self.delimiter == ";" else text or "")
        except ValueError:
            return None
        return None if math.isnan(value) else value


def _rows(file: Path) -> Iterator[tuple[int, str, ImageScore]]:
    try:
        with open_table(file) as lines:
            first = lines.readline(1 << 16)
            columns = _columns(file, first)
            reader = csv.DictReader(chain([first], lines), delimiter=columns.delimiter)
            for row in reader:
                if row[columns.path]:
                    yield reader.line_num, row[columns.path], _score(row, columns)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from error
    except (csv.Error, UnicodeError) as error:
        raise UsageError(f"{file}: not a CSV of path,score ({error})") from error


def _columns(file: Path, line: str) -> _Columns:
    """What the first line of a file names.

    Raises:
        UsageError: if it names neither paths nor scores.
    """
    for delimiter in DELIMITERS:
        names = {name.strip().casefold(): name for name in next(csv.reader([line], delimiter=delimiter), [])}
        path = next((names[name] for name in _PATHS if name in names), None)
        score = next((names[name] for name in _SCORES if name in names), None)
        if path is not None and score is not None:
            return _Columns(delimiter, path, score, names.get(_RATIO, ""), names.get("error", ""))
    named = ", ".join(name.strip().casefold() for name in next(csv.reader([line]), []))
    raise UsageError(f"{file}: its first line must name the columns path,score, it names {named or 'none'}")


def _score(row: Mapping[str, str | None], columns: _Columns) -> ImageScore:
    text = row[columns.score]
    if not (text or "").strip():
        return ImageScore(error=row.get(columns.error) or "no score in the file")
    value = columns.number(text)
    if value is None:
        return ImageScore(error=f"score {text!r} is not a number")
    return ImageScore(value, log10_lr=columns.number(row.get(columns.ratio)))
