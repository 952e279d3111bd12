"""The account of a scan on disk: which rows are written, up to where in each file, and what was scored.

One row more is one transaction, after the row itself went out to all files. Whatever ends the program, the
journal then says up to where the files are whole, and which images need no row any more. It also remembers
scores by content, so that memory does not grow with the number of files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigdetect.errors import UsageError
from aigdetect.files import IN_USE, draft_beside, writing
from aigdetect.replacing import Form, require_own
from aigdetect.scanning.journal_file import connect, connect_frozen, errors_of, remove_beside, require_free
from aigdetect.scanning.opinion import Opinion
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.record import Cause, Record
from aigdetect.scanning.scoring import SAME_CONTENT, notes_on_pixels
from aigdetect.scanning.stability import Stability

VERSION = 3
"""Written into each journal; another one is refused."""

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    path BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    place INTEGER NOT NULL,
    ends TEXT NOT NULL,
    outcome TEXT NOT NULL,
    cause TEXT NOT NULL,
    error TEXT,
    superseded_by INTEGER,
    sha256 BLOB,
    score TEXT
);
CREATE TABLE pages (
    number INTEGER NOT NULL, part INTEGER NOT NULL, row TEXT NOT NULL,
    thumbnail BLOB, heatmap BLOB, spectrum BLOB, caption TEXT, before BLOB,
    PRIMARY KEY (number, part)
);
CREATE UNIQUE INDEX by_path ON rows (path) WHERE superseded_by IS NULL;
CREATE INDEX superseded ON rows (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX by_content ON rows (sha256) WHERE score IS NOT NULL;
"""


@dataclass(frozen=True)
class Line:
    """One row of a scan as the journal has it.

    Attributes:
        number: place among the rows written, from 1; numbers of rows that were dropped are missing.
        place: place among all files met.
        ends: by file, in the journal's order of files, where the row ends, in bytes.
        superseded: whether there is a later row of the same path.
    """

    number: int
    place: int
    ends: tuple[int, ...]
    superseded: bool = False


@dataclass(frozen=True)
class Held:
    """What the journal knows of the row of a path.

    Attributes:
        number: see :class:`Line`.
        fingerprint: of the file as it was, see :func:`aigdetect.files.fingerprint`.
        outcome: its verdict, or ``error``.
        cause: what kind of error, if it is one.
        error: why it has no score.
    """

    number: int
    fingerprint: str
    outcome: str
    cause: Cause
    error: str | None


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
        with errors_of(self.path):
            self._database = connect_frozen(path) if frozen else connect(str(path))
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
            require_free(path)
        if path is None:
            return cls._new("", path, facts)
        # what is unfinished must not be taken for a journal
        with draft_beside(path) as draft:
            try:
                with cls._new(str(draft.path), path, facts) as made:
                    made._settle()
            finally:
                remove_beside(draft.path)
            remove_beside(path)
            with writing(path):
                draft.path.replace(path)
        return cls(path)

    @classmethod
    def _new(cls, name: str, path: Path | None, facts: Mapping[str, Any]) -> Journal:
        journal = cls.__new__(cls)
        journal.path = path
        with errors_of(path), ExitStack() as on_failure:
            journal._database = connect(name)
            on_failure.callback(journal.close)
            journal._database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            for fact, value in {"version": VERSION, **facts}.items():
                journal.note(fact, value)
            on_failure.pop_all()
        return journal

    def _settle(self) -> None:
        """Bring all of it into its own file; to close it would do so, too, and say nothing if that fails."""
        with errors_of(self.path):
            busy, *_ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise UsageError(f"{self.path}: {IN_USE}")

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
        with errors_of(self.path):
            self._database.execute("REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def fact(self, name: str) -> Any:
        """A fact about the whole scan; None if there is none."""
        with errors_of(self.path):
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    # -- rows ----------------------------------------------------------------------------------------------

    def add(
        self,
        record: Record,
        *,
        path: bytes,
        fingerprint: str,
        place: int,
        ends: Sequence[int],
        pictures: Sequence[Pictures] = (),
    ) -> None:
        """Write down that the rows of a record are on disk; it supersedes an earlier one of the same path.

        Args:
            record: the row.
            path: of its file (:func:`aigdetect.files.path_digest`).
            fingerprint: of its file (:func:`aigdetect.files.fingerprint`).
            place: of its file among all files met.
            ends: see :class:`Line`.
            pictures: to be shown beside each row on a page; empty keeps nothing for a page.
        """
        first = record.verdict is not None and record.frames is None and SAME_CONTENT not in record.notes
        # what a further model could not say this time it may say of a file that is yet to come
        first = first and all(opinion.verdict is not None for opinion in record.also)
        values = (
            path,
            bytes.fromhex(fingerprint),
            place,
            json.dumps(ends),
            record.verdict or record.status,
            record.cause,
            record.error,
            record.sha256 and bytes.fromhex(record.sha256),
            _score(record) if first else None,
        )
        with errors_of(self.path), self._database:
            self._database.execute("BEGIN")
            number = self.last + 1
            self._database.execute(
                "UPDATE rows SET superseded_by = ? WHERE path = ? AND superseded_by IS NULL", (number, path)
            )
            self._database.execute(
                "INSERT INTO rows "
                "(number, path, fingerprint, place, ends, outcome, cause, error, sha256, score) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, *values),
            )
            rows = record.rows if pictures else ()
            for part, (row, shown) in enumerate(zip(rows, pictures, strict=True)):
                self._database.execute(
                    "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(number, part, json.dumps(row.as_dict()), shown.thumbnail, shown.heatmap),
                        *(shown.spectrum, shown.heatmap_caption, shown.before),
                    ),
                )

    @property
    def last(self) -> int:
        """The number of the last row; 0 if there is none."""
        with errors_of(self.path):
            return int(self._database.execute("SELECT MAX(number) FROM rows").fetchone()[0] or 0)

    def row_of(self, path: bytes) -> Held | None:
        """What is known of the row of a path, by its digest; None if it has none."""
        query = (
            "SELECT number, fingerprint, outcome, cause, error FROM rows "
            "WHERE path = ? AND superseded_by IS NULL"
        )
        with errors_of(self.path):
            row = self._database.execute(query, (path,)).fetchone()
        return None if row is None else Held(row[0], row[1].hex(), *row[2:])

    def paths(self) -> Generator[tuple[bytes, int], None, None]:
        """The digests of all paths that have a row, in their own order, with the row's number."""
        with errors_of(self.path):
            yield from self._database.execute(
                "SELECT path, number FROM rows WHERE superseded_by IS NULL ORDER BY path"
            )

    def find(self, sha256: str, path: bytes, /) -> Record | None:
        """See :class:`aigdetect.scanning.scoring.EarlierRecords`; the path is given by its digest."""
        query = (
            "SELECT score FROM rows "
            "WHERE sha256 = ? AND score IS NOT NULL AND path != ? AND superseded_by IS NULL LIMIT 1"
        )
        with errors_of(self.path):
            row = self._database.execute(query, (bytes.fromhex(sha256), path)).fetchone()
        return None if row is None else _record(json.loads(row[0]))

    def lines(self, *, backwards: bool = False) -> Iterator[Line]:
        """All rows, in the order written or from the last one on."""
        order = "DESC" if backwards else "ASC"
        with errors_of(self.path):
            for number, place, ends, later in self._database.execute(
                f"SELECT number, place, ends, superseded_by FROM rows ORDER BY number {order}"
            ):
                yield Line(number, place, tuple(json.loads(ends)), later is not None)

    def page_rows(self) -> Iterator[PageRow]:
        """What was kept for a page, in the order of the rows."""
        with errors_of(self.path):
            for row, *pictures in self._database.execute(
                "SELECT row, thumbnail, heatmap, spectrum, caption, before FROM pages "
                "WHERE number IN (SELECT number FROM rows WHERE superseded_by IS NULL) ORDER BY number, part"
            ):
                yield PageRow(json.loads(row), *pictures)

    def forget_after(self, number: int) -> int:
        """Drop the rows after one; how many they were."""
        with errors_of(self.path), self._database:
            self._database.execute("BEGIN")
            self._database.execute("DELETE FROM pages WHERE number > ?", (number,))
            dropped = self._database.execute("DELETE FROM rows WHERE number > ?", (number,)).rowcount
            self._database.execute("UPDATE rows SET superseded_by = NULL WHERE superseded_by > ?", (number,))
            return dropped

    def outcomes(self) -> Mapping[str, int]:
        """How many rows say what: verdicts, and ``error``."""
        with errors_of(self.path):
            return dict(
                self._database.execute(
                    "SELECT outcome, COUNT(*) FROM rows WHERE superseded_by IS NULL GROUP BY outcome"
                ).fetchall()
            )

    # -- rows that later ones supersede ----------------------------------------------------------------------

    @property
    def has_superseded(self) -> bool:
        """Whether a path has an earlier row besides its own."""
        query = "SELECT 1 FROM rows WHERE superseded_by IS NOT NULL LIMIT 1"
        with errors_of(self.path):
            return self._database.execute(query).fetchone() is not None

    def drop_superseded(
        self, ends: Iterable[tuple[int, Sequence[int]]], fact: str, value: Any, *, ready: Callable[[], None]
    ) -> None:
        """Forget superseded rows, and where the others were, in one transaction that a power failure spares.

        Args:
            ends: number of each row that stays, and where it ends now.
            fact: noted along with it.
            value: of the fact.
            ready: called once all of ``ends`` was taken, before anything is forgotten.
        """
        with errors_of(self.path):
            self._database.execute("CREATE TEMP TABLE moved (number INTEGER PRIMARY KEY, ends TEXT)")
            with self._database:
                self._database.execute("BEGIN")
                self._database.executemany(
                    "INSERT INTO moved VALUES (?, ?)",
                    ((number, json.dumps(places)) for number, places in ends),
                )
            ready()
            self._database.execute("PRAGMA synchronous = FULL")
            with self._database:
                self._database.execute("BEGIN")
                gone = "SELECT number FROM rows WHERE superseded_by IS NOT NULL"
                self._database.execute(f"DELETE FROM pages WHERE number IN ({gone})")
                self._database.execute(f"DELETE FROM rows WHERE number IN ({gone})")
                self._database.execute(
                    "UPDATE rows SET ends = (SELECT ends FROM moved WHERE moved.number = rows.number)"
                )
                self.note(fact, value)
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("DROP TABLE moved")


def _score(record: Record) -> str:
    """What records of the same content have in common beyond what the file itself tells."""
    row = record.as_dict()
    names = ("verdict", "score", "logit", "log10_lr", "model", "precision", "stability", "kind")
    also = [opinion.as_dict() for opinion in record.also]
    return json.dumps({**{name: row[name] for name in names}, "notes": notes_on_pixels(record), "also": also})


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
        kind=score.get("kind"),
        also=tuple(Opinion(**opinion) for opinion in score.get("also", ())),
    )
