"""Where the rows of a scan go: files with their journal, a page, a case folder, and standard output."""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aigdetect.cli.console import drop_output
from aigdetect.cli.options import terminal
from aigdetect.errors import ImageError, UsageError

if TYPE_CHECKING:
    from aigdetect.images.find import Found
    from aigdetect.scanning.case import CaseFolder
    from aigdetect.scanning.ledger import Targets
    from aigdetect.scanning.record import Record

STDIO = "-"


class Sink(Protocol):
    """Takes in rows as they are made."""

    def write(self, record: Record) -> None:
        """Take in one row."""


@dataclass(frozen=True)
class Outputs:
    """Where the rows go, as asked for.

    Attributes:
        csv: file for CSV, if any; ``-`` for standard output.
        jsonl: file for JSON Lines, likewise.
        json: JSON Lines on standard output.
        html: file for a page.
        heatmaps: folder for heat maps.
        case: folder for all of it.
        force: overwrite existing files.
        resume: go on with existing files.
    """

    csv: str | None
    jsonl: str | None
    json: bool
    html: Path | None
    heatmaps: Path | None
    case: CaseFolder | None
    force: bool
    resume: bool

    @classmethod
    def of_options(
        cls,
        *,
        csv: str | None,
        jsonl: str | None,
        json: bool,
        html: Path | None,
        heatmaps: Path | None,
        case: Path | None,
        force: bool,
        resume: bool,
    ) -> Outputs:
        """Those of a command, which names the case by its folder."""
        from aigdetect.scanning.case import CaseFolder

        return cls(csv, jsonl, json, html, heatmaps, CaseFolder(case) if case else None, force, resume)

    @property
    def page(self) -> Path | None:
        """The page to write, if any."""
        return self.case.page if self.case else self.html

    @property
    def heatmap_folder(self) -> Path | None:
        """The folder of heat maps, if any."""
        return self.case.heatmaps if self.case else self.heatmaps

    @property
    def named(self) -> list[str]:
        """Files of rows to write, standard output among them."""
        jsonl = dict.fromkeys([self.jsonl, STDIO if self.json else None])
        return [target for target in (self.csv, *jsonl) if target is not None]

    @property
    def written(self) -> list[str]:
        """What is written while it runs, however it ends."""
        files = [target for target in self.named if target != STDIO]
        if self.case:
            return [str(self.case.path), *files]
        return [*files, *([str(self.heatmaps)] if self.heatmaps else [])]

    @property
    def _files(self) -> list[str]:
        """All files named, as far as they hold something."""
        return [file for file in (*self.named, *([str(self.html)] if self.html else [])) if _holds_rows(file)]

    @property
    def rows_on_terminal(self) -> bool:
        """Whether rows for machines appear on a terminal as they are made."""
        return STDIO in self.named and sys.stdout.isatty()

    def check(self, evidence: Sequence[str]) -> None:
        """Refuse what cannot be written or must not be overwritten.

        Args:
            evidence: what is scanned, as far as it is named.

        Raises:
            UsageError: with what to do.
        """
        from aigdetect.replacing import Form, refuse_inputs
        from aigdetect.scanning.writers import check_output

        if self.force and self.resume:
            raise UsageError("--resume and --force: one goes on, the other begins anew; choose one")
        refuse_inputs(self._files, evidence)
        for target in self.named:
            check_output(target, force=self.force or self.resume)
        if self.html:
            check_output(str(self.html), force=self.force or self.resume, form=Form.PAGE)
        if len(self.named) > len({_real(target) for target in self.named}):
            raise UsageError(
                "CSV and JSON Lines need a file each; only one of them can be - (standard output)"
            )
        if self.case and (self.html or self.heatmaps):
            raise UsageError("--case: holds its own page and heat maps; leave out --html and --heatmap")
        for path in evidence:
            self.refuse_among(path)
        if self.case:
            self.case.check(resume=self.resume, force=self.force)
        elif self.resume and not self.targets([]).files() and self.html is None:
            raise UsageError(
                "--resume: there is nothing to go on with; name --csv, --jsonl, --html or --case"
            )

    def refuse_among(self, evidence: str) -> None:
        """Refuse to write pictures, or a case, into what is scanned: the next scan would take them in.

        Args:
            evidence: a file or folder that is scanned.

        Raises:
            UsageError: naming the folder.
        """
        from aigdetect.scanning.case import refuse_inside

        for folder in (self.case.path if self.case else None, self.heatmaps):
            if folder is not None:
                refuse_inside(folder, evidence)

    def without_own(self, found: Iterable[Found]) -> Iterator[Found]:
        """Pass over what this run writes, should it lie among what is scanned."""
        from aigdetect.replacing import same_file

        names = {Path(file).name for file in self._files}
        for item in found:
            # names first: nearly every file is settled by its own
            own = Path(item.path).name in names and any(same_file(item.path, file) for file in self._files)
            yield replace(item, kind="other", reason="written by this scan") if own else item

    def targets(self, evidence: Sequence[str]) -> Targets:
        """The files that the rows are kept in, with their journal.

        Args:
            evidence: what is scanned; no journal is kept there.
        """
        from aigdetect.scanning.case import lies_in
        from aigdetect.scanning.ledger import Targets, journal_beside

        if self.case:
            return self.case.targets
        jsonl, csv = (
            Path(target) if target and _holds_rows(target) else None for target in (self.jsonl, self.csv)
        )
        journal = journal_beside(jsonl or csv or self.html)
        if journal and any(lies_in(journal.parent, path) for path in evidence if Path(path).is_dir()):
            journal = None
        return Targets(jsonl, csv, journal)

    def clear(self) -> None:
        """Clear a case folder, once its rows are held and nothing can fail before the first of them.

        Raises:
            UsageError: if something cannot be removed.
        """
        if self.case:
            self.case.clear(anew=self.force)

    @contextmanager
    def copied_after(self, opened: AbstractContextManager[None]) -> Iterator[None]:
        """Within files that are open, and that are copied once they are closed, however that comes.

        Args:
            opened: opens the files that hold the rows.

        Raises:
            UsageError: if a copy, beside a case folder, cannot be written.
        """
        with ExitStack() as after, opened:
            after.callback(self._copy_rows)
            yield

    def _copy_rows(self) -> None:
        """Write files named beside a case folder: they are copies of those in it."""
        from aigdetect.files import copy_atomically

        if self.case is None:
            return
        own = self.case.targets
        for target, source in ((self.csv, own.csv), (self.jsonl, own.jsonl)):
            if target and source and _holds_rows(target) and source.exists():
                copy_atomically(source, Path(target))

    @contextmanager
    def run_log(self) -> Iterator[None]:
        """Keep a log of the run, in a case folder, which is made.

        Raises:
            UsageError: if it cannot be written.
        """
        if self.case is None:
            yield
            return
        from aigdetect.files import writing

        with writing(self.case.log):
            self.case.path.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(self.case.log, encoding="ascii", errors="backslashreplace")
        formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        log = logging.getLogger("aigdetect")
        level = log.level
        log.addHandler(handler)
        log.setLevel(min(logging.INFO, level or logging.INFO))

        def listener(text: str) -> None:
            handler.handle(logging.LogRecord("aigdetect", logging.INFO, "", 0, text, None, None))

        terminal.listeners.append(listener)
        try:
            yield
        finally:
            terminal.listeners.remove(listener)
            log.removeHandler(handler)
            log.setLevel(level)
            handler.close()

    @contextmanager
    def sinks(self, also: Sequence[str]) -> Iterator[list[Sink]]:
        """What takes in the rows besides the files that hold them.

        Args:
            also: what further models are called, of which rows have columns.
        """
        from aigdetect.scanning.writers import CsvWriter, JsonlWriter, RecordWriter

        writers: list[RecordWriter] = []
        if self.csv is not None and not _holds_rows(self.csv):
            writers.append(CsvWriter(self.csv, also=also))
        others = dict.fromkeys([self.jsonl, STDIO if self.json else None])
        writers += [JsonlWriter(target, also=also) for target in others if target and not _holds_rows(target)]
        with ExitStack() as stack:
            sinks: list[Sink] = [stack.enter_context(sink) for sink in self._for_people()]
            yield sinks + [stack.enter_context(writer) for writer in writers]

    def _for_people(self) -> list[AbstractContextManager[Sink]]:
        from aigdetect.cli.rows import Highlights, Lines

        if STDIO in self.named:
            return []
        if sys.stdout.isatty():
            return [Highlights(terminal.results())]
        return [] if self.named or self.page else [Lines()]


def hand_out(record: Record, sinks: list[Sink], *, files: bool) -> None:
    """Give a row to every sink; the rest goes on when the reader of standard output has gone.

    Args:
        record: the row.
        sinks: those that are left; one whose reader has gone is taken out.
        files: whether the row is also in a file.

    Raises:
        BrokenPipeError: if nothing takes in rows any more.
    """
    if record.error:
        name_error(record.path, record.error)
    for sink in tuple(sinks):
        try:
            for row in record.rows:
                sink.write(row)
        except BrokenPipeError:
            sinks.remove(sink)
            if not sinks and not files:
                raise
            drop_output()


def name_error(path: str, reason: str) -> None:
    """Say why a file has no score."""
    terminal.error(ImageError(f"{path}: {reason}"))


def _holds_rows(target: str) -> bool:
    """Whether a target is, or will be, a regular file, and not a pipe, a device or standard output."""
    if target == STDIO:
        return False
    try:
        return stat.S_ISREG(Path(target).stat().st_mode)
    except OSError:
        return True


def _real(target: str) -> str:
    return target if target == STDIO else os.path.realpath(target)
