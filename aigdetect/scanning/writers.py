r"""Write records as CSV or JSON Lines, each row on disk as soon as it is made.

File names and metadata are data of unknown origin. JSON Lines is the exact form: pure ASCII, one object a
line; bytes of a path that are not UTF-8 are written as the escapes ``\udc80`` to ``\udcff``, from which
``os.fsencode`` brings back the very bytes. CSV is the form for people, valid UTF-8 that is safe to open in a
spreadsheet or to print:

- every text is quoted, so that newlines, commas and quotes stay inside their cell;
- text that a spreadsheet could take for a formula gets an apostrophe in front, and so does text that begins
  with an apostrophe: a path in a cell that begins with an apostrophe is the rest of the cell;
- control characters other than tab and line breaks, those that turn the direction of text around, and bytes
  that are not UTF-8 come out as escapes (``\x1b``, ``\u202e``, ``\udcff``).
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from aigdetect.errors import UsageError
from aigdetect.files import hold, writing
from aigdetect.replacing import Form, require_own
from aigdetect.scanning.opinion import opinion_columns
from aigdetect.scanning.record import COLUMNS, Record

STDOUT = "-"
"""The file name that means standard output."""

# controls, what turns the direction of text around, separators of lines, and bytes that are no text
_UNSAFE = re.compile(
    r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULA = "=+\\-@＝＋－＠"  # spreadsheets fold full-width signs
_STARTS_FORMULA = re.compile(rf"\A(?=\s*['{_FORMULA}]|[\t\r\n])")
# In some countries a spreadsheet splits at semicolons, whatever the quotes: a cell can begin inside a text.
# Then quotes, which come doubled, are an empty text before the rest of the cell, and the one behind the text
# would open another, out of which the next path begins.
_HIDES_FORMULA = re.compile(rf"(?<=[;\t\r\n])(?=[\s\"]*(?:[{_FORMULA}]|\Z))")


def csv_header(also: Sequence[str] = ()) -> str:
    """The first line of a CSV file.

    Args:
        also: what further models are called.
    """
    return csv_line((*COLUMNS, *opinion_columns(also)))


def csv_row(record: Record) -> str:
    """A record as a line of CSV: text made safe for spreadsheets and terminals, numbers as they are."""
    row = record.as_dict()
    row["notes"] = "; ".join(record.notes)
    row["provenance"] = record.provenance.summary() if record.provenance else None
    row["stability"] = record.stability.summary() if record.stability else None
    return csv_line(tuple(row.values()))


def csv_line(values: Sequence[object]) -> str:
    """A line of CSV, its texts made safe: see the module.

    Args:
        values: text, numbers or None, a path first: there its quotes hold in every country, so that it is
            kept as it is where other texts get an apostrophe at every place that could begin a cell.
    """
    path, *rest = map(_cell, values)
    return _csv_line(
        (path, *(_HIDES_FORMULA.sub("'", cell) if isinstance(cell, str) else cell for cell in rest))
    )


def jsonl_row(record: Record) -> str:
    """A record as a line of JSON, in ASCII."""
    return json.dumps(record.as_dict(), ensure_ascii=True, allow_nan=False) + "\n"


def check_output(target: str, *, force: bool = False, form: Form = Form.ROWS) -> None:
    """Refuse, before any work is done, a file that cannot be written or must not be overwritten.

    Args:
        target: file name, or ``"-"`` for standard output.
        force: overwrite an existing file, if this program wrote it.
        form: what is to be written.

    Raises:
        UsageError: with what to do.
    """
    if target == STDOUT:
        return
    folder = Path(target).parent
    if not folder.is_dir():
        raise UsageError(f"{target}: cannot be written (no folder {folder})")
    with _named(target):
        mode = _mode(target)
    if mode is None:
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{target}: cannot be written (no permission in folder {folder})")
    elif stat.S_ISDIR(mode):
        raise UsageError(f"{target}: is a folder; name a file")
    elif stat.S_ISREG(mode) and not force:  # a pipe or a device holds nothing that could be lost
        raise UsageError(_exists(target))
    elif not os.access(target, os.W_OK):
        raise UsageError(f"{target}: cannot be written (no permission)")
    elif stat.S_ISREG(mode):
        require_own(Path(target), form)


class RecordWriter:
    """Appends records to a file; a context manager that creates the file on entry and not before.

    A regular file holds whole rows only, also when the disk is full or a row was interrupted.

    Attributes:
        target: file name, or ``"-"`` for standard output.
        also: what further models are called that each record has heard.
        end: bytes written so far.

    Args:
        target: see the attributes.
        force: overwrite an existing file, if this program wrote it.
        keep: go on behind so many bytes of an existing file, and drop what comes after; None begins anew.
        also: see the attributes.
    """

    def __init__(
        self, target: str, *, force: bool = False, keep: int | None = None, also: Sequence[str] = ()
    ) -> None:
        self.target = target
        self.also = also
        self.end = 0
        self._force = force
        self._keep = keep
        self._file: io.FileIO | BinaryIO | None = None
        self._regular = False

    def __enter__(self) -> RecordWriter:
        """Create the file and write its header, or go to the end of what is kept.

        Raises:
            UsageError: if the file exists and must not be overwritten, cannot be written, or another
                program is writing to it.
        """
        with _named(self.target):
            self._file = self._open()
            self._regular = self.target != STDOUT and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
            try:
                if self._regular:
                    hold(self._file, self.target)
                self.cut_back(self._keep or 0)
                if self._keep is None:
                    self._append(self.header())
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, unless it is standard output."""
        file, self._file = self._file, None
        if file is not None and self.target != STDOUT:
            with _named(self.target):
                file.close()

    def write(self, record: Record) -> None:
        """Append one record and hand it to the operating system.

        Raises:
            UsageError: if the file cannot be written.
            BrokenPipeError: if the reader of a pipe has gone.
        """
        before = self.end
        try:
            with _named(self.target):
                self._append(self.row(record))
        except BaseException:
            self.cut_back(before)
            raise

    def cut_back(self, end: int) -> None:
        """Drop what comes after ``end`` bytes of a regular file; what went into a pipe has gone."""
        if self._regular and self._file is not None:
            with _named(self.target):
                self._file.truncate(end)
                self._file.seek(end)
            self.end = end

    def header(self) -> str:
        """What comes before the rows."""
        return ""

    def row(self, record: Record) -> str:
        """One record as text, with its line end."""
        raise NotImplementedError

    def _open(self) -> io.FileIO | BinaryIO:
        if self.target == STDOUT:
            return sys.stdout.buffer
        mode = _mode(self.target)
        if self._keep is None and self._force and mode is not None and stat.S_ISREG(mode):
            require_own(Path(self.target), Form.ROWS)
        overwrite = self._force or self._keep is not None or (mode is not None and not stat.S_ISREG(mode))
        # without a buffer: after an error nothing may be left that is written later
        return Path(self.target).open("ab" if overwrite else "xb", buffering=0)

    def _append(self, text: str) -> None:
        if self._file is None:
            raise RuntimeError("the writer is not open: use it in a with statement")
        rest = memoryview(text.encode("utf-8"))
        while rest:
            written = self._file.write(rest) or 0
            self.end += written
            rest = rest[written:]
        self._file.flush()


class CsvWriter(RecordWriter):
    """Appends records to a CSV file (RFC 4180 quoting, UTF-8, lines end in LF)."""

    def header(self) -> str:
        """The names of the columns."""
        return csv_header(self.also)

    def row(self, record: Record) -> str:
        """One line of CSV."""
        return csv_row(record)


class JsonlWriter(RecordWriter):
    """Appends records to a file of JSON Lines."""

    def row(self, record: Record) -> str:
        """One line of JSON."""
        return jsonl_row(record)


def _csv_line(cells: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    return _STARTS_FORMULA.sub("'", _UNSAFE.sub(_escaped, value)) if isinstance(value, str) else value


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _mode(target: str) -> int | None:
    try:
        return Path(target).stat().st_mode
    except FileNotFoundError:
        return None


def _exists(target: str) -> str:
    return f"{target}: exists; use --force or another name"


@contextmanager
def _named(target: str) -> Iterator[None]:
    """As :func:`aigdetect.files.writing`, of a file that must be new."""
    with writing(target):
        try:
            yield
        except FileExistsError as error:
            raise UsageError(_exists(target)) from error
