"""CSV and JSON Lines: names of any bytes, no formula, nothing lost."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigdetect.errors import UsageError
from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.provenance import Provenance
from aigdetect.scanning.record import COLUMNS, Record
from aigdetect.scanning.writers import (
    CsvWriter,
    JsonlWriter,
    RecordWriter,
    check_output,
    csv_header,
    csv_row,
    jsonl_row,
)

nasty = st.sampled_from(
    ["\n", "\r", "\t", "\x1b[2J", "\x9b", ";", ",", '"', "'", "=1+1", "@A1", "-2", "\udcff", "é"]
)
names = st.binary(min_size=1, max_size=40).map(os.fsdecode) | st.lists(nasty, min_size=1).map("".join)
paths = names.map(lambda name: name.replace("\0", "0"))
texts = st.text(max_size=40) | st.lists(nasty).map("".join)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def parse(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@given(st.lists(st.builds(Record, paths, error=texts, notes=st.lists(texts).map(tuple)), max_size=5))
def test_csv_has_one_row_per_record_whatever_the_text(records: list[Record]) -> None:
    text = csv_header() + "".join(map(csv_row, records))
    rows = parse(text.encode("utf-8").decode("utf-8"))
    assert len(rows) == 1 + len(records)
    assert {len(row) for row in rows} == {len(COLUMNS)}


@given(paths)
def test_csv_path_is_the_path_but_for_escapes_and_one_apostrophe(path: str) -> None:
    escaped = re.sub(
        r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(),
        path,
    )
    ((cell, *_),) = parse(csv_row(Record(path)))
    assert (
        cell.removeprefix("'") == escaped
    )  # as the module says: without the first apostrophe, if there is one


@given(paths, texts, texts)
def test_no_cell_can_be_taken_for_a_formula(path: str, error: str, make: str) -> None:
    record = Record(path, error=error, notes=(error, make), provenance=Provenance(exif=ExifFacts(make=make)))
    (row,) = parse(csv_row(record))
    for cell in row:
        assert not re.match(r"\s*[=+\-@＝＋－＠]|[\t\r\n]", cell)
    for cell in row[1:]:  # split anew, as a spreadsheet that separates at semicolons does
        assert not re.search(r"[;\t\r\n]\s*[=+\-@＝＋－＠]", cell)


@given(st.lists(st.tuples(paths, texts, texts), min_size=1, max_size=3))
@example([("a", 'x;"=1+1', 'x;" \t"@A1')])
@example([("a", "", "\n"), ("b;=1+1", "", "")])
def test_no_reader_that_separates_at_semicolons_meets_a_formula(rows: list[tuple[str, str, str]]) -> None:
    records = [
        Record(path, error=error, notes=(error, make), provenance=Provenance(exif=ExifFacts(make=make)))
        for path, error, make in rows
    ]
    text = csv_header() + "".join(map(csv_row, records))
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=";"):
        assert not any(re.match(r"\s*[=+\-@＝＋－＠]", cell) for cell in row)


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@A1", "\tx", "\rx", " =1", "'=1", "＝1"])
def test_text_that_starts_like_a_formula_gets_an_apostrophe(start: str) -> None:
    (row,) = csv.reader([csv_row(Record(start))], strict=True)
    assert row[0] == "'" + start


def test_numbers_stay_numbers() -> None:
    record = Record("a", logit=-3.2, score=0.0001, log10_lr=-1e-05, width=7)
    assert csv_row(record).startswith('"a","","error","",0.0001,-3.2,-1e-05,"",7,')


def test_csv_cannot_drive_a_terminal() -> None:
    line = csv_row(Record("\x1b[2J\x07\x9b.png", error="\x1b]0;x\x07"))
    assert line.startswith(r'"\x1b[2J\x07\x9b.png"')
    assert "\x1b" not in line


@pytest.mark.parametrize("control", [*"\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"])
def test_csv_cannot_turn_text_around(control: str) -> None:
    line = csv_row(Record(f"holiday{control}gpj.exe", error=f"a{control}b", notes=(f"c{control}d",)))
    assert control not in line
    assert line.count(control.encode("unicode_escape").decode()) == 3


def test_csv_shows_notes_and_provenance_as_text() -> None:
    record = Record(
        "a", notes=("low resolution", "strong compression"), provenance=Provenance(ExifFacts("Canon"))
    )
    (row,) = csv.DictReader([csv_header(), csv_row(record)])
    assert row["notes"] == "low resolution; strong compression"
    assert row["provenance"] == "EXIF: Canon"


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_jsonl_brings_a_path_back_byte_for_byte(name: bytes) -> None:
    line = jsonl_row(Record(os.fsdecode(name)))
    assert line.isascii()
    assert line.count("\n") == 1
    assert os.fsencode(json.loads(line)["path"]) == name


@given(texts, texts)
def test_jsonl_keeps_every_text(error: str, note: str) -> None:
    row = json.loads(jsonl_row(Record("a", error=error, notes=(note,))))
    assert (row["error"], row["notes"]) == (error, [note])


def test_jsonl_has_no_numbers_that_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="JSON"):
        jsonl_row(Record("a", score=float("nan")))


def test_rows_are_on_disk_as_they_are_made(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with CsvWriter(str(target)) as writer:
        assert read_csv(target) == []
        writer.write(Record("a"))
        assert [row["path"] for row in read_csv(target)] == ["a"]
        writer.write(Record("b"))
        assert [row["path"] for row in read_csv(target)] == ["a", "b"]


def test_a_scan_cut_short_leaves_whole_rows(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    writer = JsonlWriter(str(target))
    with contextlib.suppress(KeyboardInterrupt), writer:
        writer.write(Record("a"))
        raise KeyboardInterrupt
    assert [json.loads(line)["path"] for line in target.read_text().splitlines()] == ["a"]


def test_a_file_is_made_on_entry_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    writer = CsvWriter(str(target))
    check_output(str(target))
    assert not target.exists()
    with writer:
        assert target.exists()


@pytest.mark.parametrize("kind", [CsvWriter, JsonlWriter])
def test_an_existing_file_is_overwritten_only_by_force(kind: type[RecordWriter], tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("precious")
    message = re.escape(f"{target}: exists; use --force or another name")
    with pytest.raises(UsageError, match=message):
        check_output(str(target))
    with pytest.raises(UsageError, match=message), kind(str(target)):
        pass
    assert target.read_text() == "precious"
    with pytest.raises(UsageError, match="was not written by aigdetect"):
        check_output(str(target), force=True)
    with pytest.raises(UsageError, match="was not written by aigdetect"), kind(str(target), force=True):
        pass
    assert target.read_text() == "precious"
    for other in (CsvWriter, JsonlWriter):
        target.unlink(missing_ok=True)
        with other(str(target)) as writer:
            writer.write(Record('an odd "name\\ \udcff\n.png'))
            writer.write(Record("another"))
        check_output(str(target), force=True)
        with kind(str(target), force=True):
            pass
        assert "another" not in target.read_text()


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exists"), CsvWriter(str(tmp_path / "out")):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        check_output(str(tmp_path / "none" / "out.csv"))
    with pytest.raises(UsageError, match="is a folder"):
        check_output(str(tmp_path), force=True)
    check_output("-")
    check_output(os.devnull)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match="/dev/full: cannot be written"), CsvWriter("/dev/full"):
        pass


def test_standard_output_stays_open() -> None:
    code = (
        "from aigdetect.scanning.writers import JsonlWriter\nfrom aigdetect.scanning.record import Record\n"
        "with JsonlWriter('-') as w: w.write(Record('a'))\nprint('still open')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out.splitlines()[0])["path"] == "a"
    assert out.splitlines()[1] == "still open"


def test_no_name_of_a_model_breaks_the_header_or_makes_a_formula() -> None:
    header = csv_header(["a;=1+1", "x\x1b\ny", "=b"])
    (names,) = csv.reader([header], strict=True)
    assert len(names) == len(next(csv.reader([csv_header()]))) + 6
    assert "\x1b" not in header
    assert names[-6] == "score_a;'=1+1"
    assert names[-2:] == ["score_=b", "verdict_=b"]
