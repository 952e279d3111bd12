"""The account of a scan on disk: which rows are written, up to where in each file, and what was scored.

One row more is one transaction, after the row itself went out to all files. Whatever ends the program, the
journal then says up to where the files are whole, and which images need no row any more. It also remembers
scores by content, so that memory does not grow with the number of files.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigdetect.errors import UsageError
from aigdetect.files import IN_USE, writing
from aigdetect.replacing import Form, require_own
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.record import Record
from aigdetect.scanning.scoring import SAME_CONTENT
from aigdetect.scanning.stability import Stability

VERSION = 1
"""Written into each journal; another one is refused."""

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    place INTEGER NOT NULL,
    ends TEXT NOT NULL,
    outcome TEXT NOT NULL,
    sha256 BLOB,
    score TEXT
);
CREATE TABLE pages (
    number INTEGER PRIMARY KEY, row TEXT NOT NULL, thumbnail BLOB, heatmap BLOB, spectrum BLOB, caption TEXT
);
CREATE INDEX by_fingerprint ON rows (fingerprint);
CREATE INDEX by_content ON rows (sha256) WHERE score IS NOT NULL;
"""


@dataclass(frozen=True)
class Line:
    """One row of a scan as the journal has it.

    Attributes:
        number: place among the rows written, from 1.
        fingerprint: of the file, see :func:`aigdetect.files.fingerprint`.
        place: place among all files met.
        ends: by file, in the journal's order of files, where the row ends, in bytes.
    """

    number: int
    fingerprint: str
    place: int
    ends: tuple[int, ...]


class Journal:
    """An open journal; a context manager that closes it.

    Args:
        path: the file.
        frozen: only read one that nothing writes to; its folder may be read-only.

    Raises:
        UsageError: if it cannot be opened, is in use, or is no journal of this version.
    """

    def __init__(self, path: Path, *, frozen: bool = False) -> None:
        self.path: Path | None = path
        with self._named():
            if frozen:
                self._database = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
            else:
                self._database = _connect(str(path))
            held = self.fact("version")
        if held != VERSION:
            raise UsageError(f"{path}: journal version {held!r} is not {VERSION}; --force begins anew")

    @classmethod
    def begin(cls, path: Path | None, facts: Mapping[str, Any]) -> Journal:
        """A new journal in the place of any other; it appears with its first facts or not at all.

        Args:
            path: the file; None for a temporary one.
            facts: about the whole scan.

        Raises:
            UsageError: if it cannot be written, if something else has its name, or if another scan is
                writing to the one that is there.
        """
        if path and path.exists():
            require_own(path, Form.JOURNAL)
            _require_free(path)
        # what is unfinished must not be taken for a journal
        draft = path and path.with_name(f"{path.name}.new")
        if draft:
            _remove(draft, "", "-wal", "-shm")
        journal = cls.__new__(cls)
        journal.path = path
        with journal._named():
            journal._database = _connect(str(draft or ""))
            journal._database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            for name, value in {"version": VERSION, **facts}.items():
                journal.note(name, value)
            if path is None or draft is None:
                return journal
            journal.close()
        _remove(path, "-wal", "-shm")  # what belongs to an earlier one
        with writing(path):
            draft.replace(path)
        return cls(path)

    def __enter__(self) -> Journal:
        """Nothing more to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the journal; a temporary one is gone."""
        self._database.close()

    # -- facts ---------------------------------------------------------------------------------------------

    def note(self, name: str, value: Any) -> None:
        """Write down a fact about the whole scan."""
        with self._named():
            self._database.execute("REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def fact(self, name: str) -> Any:
        """A fact about the whole scan; None if there is none."""
        with self._named():
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    # -- rows ----------------------------------------------------------------------------------------------

    def add(
        self,
        record: Record,
        *,
        fingerprint: str,
        place: int,
        ends: Sequence[int],
        pictures: Pictures | None = None,
    ) -> None:
        """Write down that the row of a record is on disk.

        Args:
            record: the row.
            fingerprint: of its file (:func:`aigdetect.files.fingerprint`).
            place: of its file among all files met.
            ends: see :class:`Line`.
            pictures: to be shown beside the row on a page; None keeps nothing for a page.
        """
        first = record.verdict is not None and SAME_CONTENT not in record.notes
        values = (
            bytes.fromhex(fingerprint),
            place,
            json.dumps(ends),
            record.verdict or record.status,
            record.sha256 and bytes.fromhex(record.sha256),
            _score(record) if first else None,
        )
        with self._named(), self._database:
            self._database.execute("BEGIN")
            number = self._database.execute(
                "INSERT INTO rows VALUES (NULL, ?, ?, ?, ?, ?, ?)", values
            ).lastrowid
            if pictures is not None:
                shown = (pictures.thumbnail, pictures.heatmap, pictures.spectrum, pictures.heatmap_caption)
                self._database.execute(
                    "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)",
                    (number, json.dumps(record.as_dict()), *shown),
                )

    def holds(self, fingerprint: str) -> bool:
        """Whether a file has a row."""
        query = "SELECT 1 FROM rows WHERE fingerprint = ? LIMIT 1"
        with self._named():
            return self._database.execute(query, (bytes.fromhex(fingerprint),)).fetchone() is not None

    def find(self, sha256: str, /) -> Record | None:
        """See :class:`aigdetect.scanning.scoring.Known`."""
        query = "SELECT score FROM rows WHERE sha256 = ? AND score IS NOT NULL LIMIT 1"
        with self._named():
            row = self._database.execute(query, (bytes.fromhex(sha256),)).fetchone()
        return None if row is None else _record(json.loads(row[0]))

    def lines(self, *, backwards: bool = False) -> Iterator[Line]:
        """All rows, in the order written or from the last one on."""
        order = "DESC" if backwards else "ASC"
        with self._named():
            for number, mark, place, ends in self._database.execute(
                f"SELECT number, fingerprint, place, ends FROM rows ORDER BY number {order}"
            ):
                yield Line(number, mark.hex(), place, tuple(json.loads(ends)))

    def page_rows(self) -> Iterator[PageRow]:
        """What was kept for a page, in the order of the rows."""
        with self._named():
            for row, thumbnail, heatmap, spectrum, caption in self._database.execute(
                "SELECT row, thumbnail, heatmap, spectrum, caption FROM pages ORDER BY number"
            ):
                yield PageRow(json.loads(row), thumbnail, heatmap, spectrum, caption)

    def forget_after(self, number: int) -> int:
        """Drop the rows after one; how many they were."""
        with self._named():
            self._database.execute("DELETE FROM pages WHERE number > ?", (number,))
            return self._database.execute("DELETE FROM rows WHERE number > ?", (number,)).rowcount

    def outcomes(self) -> Mapping[str, int]:
        """How many rows say what: verdicts, and ``error``."""
        with self._named():
            return dict(
                self._database.execute("SELECT outcome, COUNT(*) FROM rows GROUP BY outcome").fetchall()
            )

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise UsageError(f"{self.path}: not a journal; --force begins anew") from error
            reason = IN_USE if "locked" in str(error) else f"cannot be written ({error})"
            raise UsageError(f"{self.path or 'temporary files'}: {reason}") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise UsageError(f"{self.path}: not a journal ({error}); --force begins anew") from error


def _connect(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=0, isolation_level=None)
    # exclusive: no second scan may write to the same files; write-ahead: one small write per row
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def _require_free(path: Path) -> None:
    """Refuse a journal that another scan is writing to; one that is damaged may be replaced."""
    try:
        with contextlib.closing(_connect(str(path))) as database:
            database.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise UsageError(f"{path}: {IN_USE}") from error


def _remove(path: Path, *endings: str) -> None:
    for ending in endings:
        try:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{path}: cannot be removed ({error.strerror})") from error


def _score(record: Record) -> str:
    """What records of the same content have in common beyond what the file itself tells."""
    row = record.as_dict()
    names = ("verdict", "score", "logit", "log10_lr", "notes", "model", "precision", "stability")
    return json.dumps({name: row[name] for name in names})


def _record(score: Mapping[str, Any]) -> Record:
    stability = score["stability"]
    return Record(
        "",
        status="scored",
        verdict=score["verdict"],
        score=score["score"],
        logit=score["logit"],
        log10_lr=score["log10_lr"],
        notes=tuple(score["notes"]),
        error=None,
        model=score["model"],
        precision=score["precision"],
        stability=stability and Stability.from_dict(stability),
    )
