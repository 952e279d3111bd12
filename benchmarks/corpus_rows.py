"""The list of the corpus: a row for each image of a public repository, checked before anything is fetched."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aigdetect.errors import DataError

#: extension by format, as the list calls it
EXTENSIONS = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "JPEG": ".jpg",
    "JPEG2000": ".jp2",
    "MPO": ".jpg",
    "PNG": ".png",
    "TIFF": ".tif",
    "WEBP": ".webp",
}
#: what is cut from an image before it is used; nothing from most
BOTTOM_ROWS, GRID = "bottom-rows:16", "grid:2x2"
CUTS = ("", BOTTOM_ROWS, GRID)

_PATTERNS = {
    "group": r"\w[\w.-]*",
    "label": r"[01]",
    "repository": r"[\w-]+/\w[\w.-]*",
    "commit": r"[0-9a-f]{40}",
    "blob": r"[0-9a-f]{40}",
    "path": r"[^\0\n]+",
    "sha256": r"[0-9a-f]{64}",
    "bytes": r"[1-9][0-9]*",
    "format": "|".join(EXTENSIONS),
    "cut": "|".join(CUTS),
    "kind": r".*",
    "sure": r"[0-9]*",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the list.

    Attributes:
        group: generator or source of real images; all images of a group have one label.
        label: 1 for AI-generated, 0 for real.
        kind: what kind of picture it is.
        repository: ``owner/name`` on GitHub.
        commit: where ``path`` holds the image.
        path: inside the repository.
        blob: git's id of the bytes.
        sha256: of the bytes.
        size: in bytes.
        format: one of ``EXTENSIONS``.
        sure: 3 if the label is sure, 2 if it is so by the repository's word.
        cut: one of ``CUTS``.
    """

    group: str
    label: int
    kind: str
    repository: str
    commit: str
    path: str
    blob: str
    sha256: str
    size: int
    format: str
    sure: str
    cut: str

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of what is made of it, relative to the folder of images: one, or one for each part."""
        stem = f"{self.group}/{self.sha256[:16]}"
        if self.cut == GRID:
            return tuple(f"{stem}-{part}.png" for part in range(4))
        return (stem + (".png" if self.cut else EXTENSIONS[self.format]),)


@dataclass(frozen=True, slots=True)
class Missing:
    """An image of the list that is not in the corpus, and why."""

    row: Row
    reason: str


def read_rows(path: Path) -> list[Row]:
    """All rows of the list, in its order.

    Raises:
        DataError: it cannot be read, or a row is not as it should be; the message names the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a list of images ({error})") from error
    rows: list[Row] = []
    labels: dict[str, int] = {}
    for number, cells in enumerate(lines, start=2):
        row = _row(cells, f"{path}, line {number}")
        if labels.setdefault(row.group, row.label) != row.label:
            raise DataError(f"{path}, line {number}: group {row.group} has another label above; give it one")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def _row(cells: Mapping[str, str | None], where: str) -> Row:
    for column, pattern in _PATTERNS.items():
        value = cells.get(column)
        if value is None:
            raise DataError(f"{where}: no column {column!r}")
        if not re.fullmatch(pattern, value):
            raise DataError(f"{where}: {column} cannot be {value!r}")
    texts = {name: cells[name] or "" for name in _PATTERNS if name not in ("label", "bytes")}
    return Row(label=int(cells["label"] or ""), size=int(cells["bytes"] or ""), **texts)


def without_doubles(rows: Iterable[Row]) -> tuple[list[Row], list[Missing]]:
    """Each content once, in the first row that has it; the other rows name that one."""
    first: dict[str, Row] = {}
    doubles: list[Missing] = []
    for row in rows:
        known = first.setdefault(row.sha256, row)
        if known is not row:
            doubles.append(Missing(row, f"same content as {known.group}: {known.repository} {known.path}"))
    return list(first.values()), doubles


def at_most(rows: Sequence[Row], most: int | None) -> list[Row]:
    """At most ``most`` images of each group, those of the lowest digests; all of them if it is None."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return [
        row for members in groups.values() for row in sorted(members, key=lambda each: each.sha256)[:most]
    ]
