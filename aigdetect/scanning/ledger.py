"""The files of a scan and their journal as one: a row is in all of them or in none, and in none twice.

A path has one row. When a file has changed since, or an error is tried again, the new row is appended, and
the journal knows that it supersedes the old one. That is cut out of the files once they are closed: each is
written anew beside itself and takes its own place after the journal knows of it. Whatever ends the program
in between, the next scan that goes on finishes it first.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aigdetect.errors import UsageError
from aigdetect.files import draft_beside, fingerprint, path_digest, writing
from aigdetect.images.find import Found
from aigdetect.scanning.journal import Held, Journal, Line
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.record import Record
from aigdetect.scanning.settings import Settings, difference
from aigdetect.scanning.writers import CsvWriter, JsonlWriter, RecordWriter

_REPLACING = "replacing"  # the journal's fact that names files which have not taken their place yet

JOURNAL = ".journal"
"""What the name of a journal beside a file of rows ends with."""

KINDS: Mapping[str, type[RecordWriter]] = {"jsonl": JsonlWriter, "csv": CsvWriter}
"""Forms of files of rows; the journal lies beside the first one that there is."""


@dataclass(frozen=True)
class Targets:
    """The files of a scan.

    Attributes:
        jsonl: file of JSON Lines, if there is to be one.
        csv: file of CSV, likewise.
        journal: the journal; None for one that is gone after the scan, which then cannot be resumed.
    """

    jsonl: Path | None = None
    csv: Path | None = None
    journal: Path | None = None

    def files(self) -> dict[str, Path]:
        """The files of rows by form, in the journal's order."""
        return {kind: path for kind in KINDS if (path := getattr(self, kind)) is not None}


@dataclass(frozen=True)
class _Waiting:
    """A file that is to get a row: its path, in two forms, its state, and its place among all files met."""

    path: str
    digest: bytes
    fingerprint: str
    place: int


def journal_beside(path: Path | None) -> Path | None:
    """The journal of a file of rows."""
    return path and path.with_name(path.name + JOURNAL)


class Ledger:
    """Rows on disk, each exactly once; use :meth:`fresh`, then :meth:`open` around :meth:`write`.

    Attributes:
        lost: rows that an earlier scan wrote and a power failure took; they are made again.

    Args:
        targets: the files.
        resume: go on with what an earlier scan left.
        force: overwrite existing files.
        retry_errors: try every error of the earlier scan again, and not only those that may pass.

    Raises:
        UsageError: if there is nothing that can be resumed although there are files, or the journal cannot
            be read.
    """

    def __init__(
        self, targets: Targets, *, resume: bool = False, force: bool = False, retry_errors: bool = False
    ) -> None:
        self._targets = targets
        self._force = force
        self._retry_errors = retry_errors
        self._waiting: deque[_Waiting] = deque()
        self._writers: list[RecordWriter] = []
        self._ends: tuple[int | None, ...] = (None,) * len(KINDS)
        self.lost = 0
        self._pictures = False  # whether they are kept
        self._also: Sequence[str] = ()  # what further models are called
        self._journal = self._resumed() if resume else None
        if self._journal is not None:
            # before anyone asks which files have a row
            self._finish_replacing(self._journal)
            self._ends, self.lost = self._last_common(self._journal)
        self._before = 0 if self._journal is None else self._journal.last

    @property
    def held(self) -> Mapping[str, int]:
        """How many rows of an earlier scan say what: verdicts, and ``error``."""
        return {} if self._journal is None else self._journal.outcomes()

    def fresh(self, numbered: Iterable[tuple[int, Found]]) -> Iterator[Found]:
        """Those files that need a row: they have none, have changed since, or may fare better this time.

        Args:
            numbered: files with their places among all that are met.
        """
        for place, item in numbered:
            waiting = _Waiting(item.path, path_digest(item.path), fingerprint(item.path), place)
            held = None if self._journal is None else self._journal.row_of(waiting.digest)
            if held is None or held.fingerprint != waiting.fingerprint or self._tries_again(held):
                self._waiting.append(waiting)
                yield item

    def _tries_again(self, held: Held) -> bool:
        """Whether a file is read again that has a row from before: all of it may be had this time."""
        wanted = held.cause != "file" or (self._retry_errors and held.outcome == "error")
        return wanted and held.number <= self._before

    @contextmanager
    def open(self, settings: Settings, *, pictures: bool = False) -> Generator[None, None, None]:
        """Create the files, or go on behind their last common row.

        Args:
            settings: what the rows depend on.
            pictures: whether pictures are kept with the rows.

        Raises:
            UsageError: if they cannot be written, or hold rows made with other settings.
        """
        with ExitStack() as stack:
            resumed = self._journal is not None
            if self._journal is None:
                self._journal = stack.enter_context(self._begun(settings, pictures))
            else:
                stack.enter_context(self._journal)
                self._require(self._journal, settings, pictures)
            self._pictures = pictures
            self._also = settings.names_of_others
            try:
                with ExitStack() as files:
                    for (kind, path), end in zip(self._targets.files().items(), self._ends, strict=False):
                        writer = KINDS[kind](
                            str(path), force=self._force or resumed, keep=end, also=self._also
                        )
                        self._writers.append(files.enter_context(writer))
                    yield
            finally:
                self._drop_superseded(self._journal)

    def write(
        self, record: Record, pictures: Pictures | None = None, of_frames: Sequence[Pictures | None] = ()
    ) -> str | None:
        """Append the row of the next file that :meth:`fresh` gave, and those of its frames, as one.

        An error that is what it was when it was tried before keeps its row.

        Args:
            record: the row.
            pictures: kept with the row for a page, if there is to be one.
            of_frames: the same for each part of the record.

        Returns:
            the outcome (a verdict, or ``error``) of the row that this one supersedes; None if there was none.

        Raises:
            UsageError: if it cannot be written; then it is in none of the files.
        """
        waiting = self._waiting.popleft()
        if record.path != waiting.path:
            raise RuntimeError(f"the row of {record.path!r} came in the place of that of {waiting.path!r}")
        journal = self._opened()
        held, last = journal.row_of(waiting.digest), journal.last
        if held and record.error and (held.fingerprint, held.error) == (waiting.fingerprint, record.error):
            return held.outcome
        before = [writer.end for writer in self._writers]
        try:
            for writer in self._writers:
                for row in record.rows:
                    writer.write(row)
            ends = [writer.end for writer in self._writers]
            shown = [each or Pictures() for each in (pictures, *of_frames)] if self._pictures else []
            journal.add(
                record,
                path=waiting.digest,
                fingerprint=waiting.fingerprint,
                place=waiting.place,
                ends=ends,
                pictures=shown,
            )
        except BaseException:
            # an interrupt may have come after the journal took the row in
            if journal.last == last:
                for writer, end in zip(self._writers, before, strict=True):
                    writer.cut_back(end)
            raise
        return held.outcome if held else None

    def find(self, sha256: str, path: str, /) -> Record | None:
        """See :class:`aigdetect.scanning.scoring.EarlierRecords`."""
        return self._opened().find(sha256, path_digest(path))

    def note(self, name: str, value: Any) -> None:
        """Write down a fact about the whole scan."""
        self._opened().note(name, value)

    def fact(self, name: str) -> Any:
        """A fact about the whole scan; None if there is none."""
        return self._opened().fact(name)

    def page_rows(self) -> Iterator[PageRow]:
        """All rows with the pictures kept for them, in order."""
        return self._opened().page_rows()

    # -- opening -------------------------------------------------------------------------------------------

    def _resumed(self) -> Journal | None:
        """The journal of the earlier scan; None if that left nothing at all."""
        path = self._targets.journal
        if path is not None and path.exists():
            journal = Journal(path)
            if journal.fact("files") != self._names():
                files = ", ".join(journal.fact("files").values()) or "a page alone"
                raise UsageError(f"{journal.path}: was kept for {files}; resume with the same files")
            return journal
        for file in self._targets.files().values():
            if file.exists():
                beside = f"no journal {path} beside it" if path else "it lies among the images"
                raise UsageError(f"{file}: cannot be resumed ({beside}); --force begins anew")
        return None

    def _begun(self, settings: Settings, pictures: bool) -> Journal:
        for path in self._targets.files().values():
            if path.exists() and not self._force:
                raise UsageError(f"{path}: exists; use --force or another name")
        facts = {"settings": settings.as_dict(), "files": self._names(), "pictures": pictures}
        return Journal.begin(self._targets.journal, facts)

    def _require(self, journal: Journal, settings: Settings, pictures: bool) -> None:
        if unlike := difference(journal.fact("settings") or {}, settings.as_dict()):
            raise UsageError(
                f"{journal.path}: rows were made with {unlike}; "
                "resume with the same options, or begin anew with --force"
            )
        if journal.fact("pictures") != pictures:
            raise UsageError(
                f"{journal.path}: rows were made {'without' if pictures else 'with'} a page; "
                "resume with the same options"
            )
        journal.note("finished", False)

    def _names(self) -> dict[str, str]:
        """The files as the journal names them: from its own folder, so that all can move together."""
        folder = (self._targets.journal or Path()).parent
        return {kind: os.path.relpath(path, folder) for kind, path in self._targets.files().items()}

    def _last_common(self, journal: Journal) -> tuple[tuple[int | None, ...], int]:
        """Where the files are to be cut, and how many rows of the journal are lost.

        A power failure can take the last rows of a file with it, though the journal has them.
        """
        paths = tuple(self._targets.files().values())
        sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
        first: Line | None = None
        for line in journal.lines(backwards=True):
            if all(end <= size for end, size in zip(line.ends, sizes, strict=True)):
                for path, end in zip(paths, line.ends, strict=True):
                    if not _is_line_end(path, end):
                        raise UsageError(f"{path}: was changed since; --force begins anew")
                return line.ends, journal.forget_after(line.number)
            first = line
        if first is None:
            return (None,) * len(paths), 0
        gone = next(path for path, end, size in zip(paths, first.ends, sizes, strict=True) if end > size)
        raise UsageError(f"{gone}: has lost its rows, which {journal.path} knows; --force begins anew")

    # -- superseded rows -----------------------------------------------------------------------------------

    def _drop_superseded(self, journal: Journal) -> None:
        """Cut superseded rows out of the files, none of which is open.

        Raises:
            UsageError: if they cannot be written anew; then they are as they were.
        """
        if not journal.has_superseded:
            return
        paths = {kind: Path(os.path.realpath(path)) for kind, path in self._targets.files().items()}
        with ExitStack() as stack:
            drafts = {kind: stack.enter_context(draft_beside(path)) for kind, path in paths.items()}
            old = [stack.enter_context(path.open("rb")) for path in paths.values()]
            new = [draft.file for draft in drafts.values()]

            def on_disk() -> None:
                for draft in drafts.values():
                    draft.finish()
                    draft.keep()  # from the next moment on the journal may count on it

            headers = [len(KINDS[kind]("", also=self._also).header().encode()) for kind in paths]
            names = {kind: draft.path.name for kind, draft in drafts.items()}
            moved = _moved(journal.lines(), headers, old, new)
            try:
                with writing(" and ".join(map(str, paths.values()))):
                    journal.drop_superseded(moved, _REPLACING, names, ready=on_disk)
            finally:
                if journal.fact(_REPLACING) != names:
                    for draft in drafts.values():
                        draft.keep(False)
        self._finish_replacing(journal)

    def _finish_replacing(self, journal: Journal) -> None:
        """Give files that were written anew their place, once the journal knows of them."""
        names = journal.fact(_REPLACING)
        if not names:
            return
        for kind, path in self._targets.files().items():
            target = Path(os.path.realpath(path))
            draft = target.with_name(names[kind])
            with writing(path):
                if draft.exists():
                    draft.replace(target)
        journal.note(_REPLACING, None)

    def _opened(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("the ledger is not open: use it in a with statement")
        return self._journal


def _moved(
    lines: Iterable[Line], headers: Sequence[int], old: Sequence[BinaryIO], new: Sequence[BinaryIO]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Copy headers and the rows that stay; the number of each, and where it ends in the copies."""
    for copy, file, header in zip(new, old, headers, strict=True):
        copy.write(file.read(header))
    begin = tuple(headers)
    for line in lines:
        if not line.superseded:
            for copy, file, first, end in zip(new, old, begin, line.ends, strict=True):
                copy.write(read_row(file, first, end))
            yield line.number, tuple(copy.tell() for copy in new)
        begin = line.ends


def read_row(file: BinaryIO, begin: int, end: int) -> bytes:
    """A row out of a file of rows, whole, with its line end.

    Args:
        file: the open file.
        begin: where the row begins, by the journal.
        end: where it ends.

    Raises:
        UsageError: if the file has no such row, or cannot be read.
    """
    try:
        file.seek(begin)
        row = file.read(end - begin)
    except OSError as error:
        raise UsageError(f"{file.name}: cannot be read ({error.strerror})") from error
    if len(row) != end - begin or not row.endswith(b"\n"):
        raise UsageError(
            f"{file.name}: was changed since, its journal knows of a row in bytes {begin} to {end}; "
            "take it from a copy, or scan again with --force"
        )
    return row


def _is_line_end(path: Path, end: int) -> bool:
    with path.open("rb") as file:
        file.seek(end - 1)
        return file.read(1) == b"\n"
