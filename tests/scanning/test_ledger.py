"""Rows on disk exactly once, whatever happens in between: journal and files as one."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aigdetect.errors import UsageError
from aigdetect.files import fingerprint
from aigdetect.images.find import Found
from aigdetect.scanning.journal import Journal
from aigdetect.scanning.ledger import Ledger, Targets
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.record import Record
from aigdetect.scanning.settings import Settings, difference
from aigdetect.scanning.stability import Stability

SETTINGS = Settings("p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False)
SCORE: Any = SimpleNamespace(logit=0.1 + 0.2, score=1 / 3, log10_lr=-0.3, verdict="ai", kind="face", notes=())


def record(path: str, sha256: str = "0" * 64, **facts: Any) -> Record:
    scored = Record(path, sha256=sha256).scored(SCORE, model="m", precision="float32")
    return replace(scored, **facts)


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    return Targets(tmp_path / "o.jsonl", tmp_path / "o.csv", tmp_path / "o.jsonl.journal")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{name}.png" for name in "abcde"]
    for path in paths:
        path.write_bytes(path.name.encode())
    return list(map(str, paths))


def write(
    ledger: Ledger, files: list[str], count: int | None = None, settings: Settings = SETTINGS
) -> list[str]:
    """Write the rows of files that have none; the files that got one."""
    fresh = ledger.fresh(enumerate(Found(path, "image") for path in files))
    written = []
    with ledger.open(settings):
        for item, _ in zip(fresh, range(len(files) if count is None else count), strict=False):
            ledger.write(record(item.path))
            written.append(item.path)
    return written


def check(targets: Targets, files: list[str]) -> None:
    """Both files have one row of each, in order."""
    assert targets.jsonl is not None
    assert targets.csv is not None
    assert [json.loads(line)["path"] for line in targets.jsonl.read_bytes().splitlines()] == files
    with targets.csv.open(encoding="utf-8", newline="") as lines:
        assert [row["path"] for row in csv.DictReader(lines)] == files


def test_the_earlier_row_of_the_file_itself_is_no_earlier_file(targets: Targets, files: list[str]) -> None:
    write(Ledger(targets), files[:1])
    ledger = Ledger(targets, resume=True)
    with ledger.open(SETTINGS):
        assert ledger.find("0" * 64, files[0]) is None
        known = ledger.find("0" * 64, files[1])
    assert known is not None
    assert known.verdict == "ai"


def test_a_content_that_a_file_no_longer_has_is_not_known(targets: Targets, files: list[str]) -> None:
    write(Ledger(targets), files[:1])
    Path(files[0]).write_bytes(b"another content")
    ledger = Ledger(targets, resume=True)
    fresh = ledger.fresh([(0, Found(files[0], "image"))])
    with ledger.open(SETTINGS):
        ledger.write(record(next(fresh).path, "7" * 64))
        assert ledger.find("0" * 64, files[1]) is None
        assert ledger.find("7" * 64, files[1]) is not None


def test_what_is_written_is_not_written_again(targets: Targets, files: list[str]) -> None:
    assert write(Ledger(targets), files, 2) == files[:2]
    check(targets, files[:2])
    assert write(Ledger(targets, resume=True), files) == files[2:]
    check(targets, files)
    assert write(Ledger(targets, resume=True), files) == []
    check(targets, files)


def test_a_file_that_changed_gets_a_row_of_its_own(targets: Targets, files: list[str]) -> None:
    write(Ledger(targets), files)
    Path(files[1]).write_bytes(b"another length")
    Path(files[4]).write_bytes(b"another length, too")
    assert write(Ledger(targets, resume=True), files) == [files[1], files[4]]
    check(targets, [files[0], files[2], files[3], files[1], files[4]])
    assert write(Ledger(targets, resume=True), [*files, files[0]]) == []
    assert not [path for path in targets.jsonl.parent.iterdir() if path.suffix == ".part"]


def test_a_page_shows_the_row_that_counts(targets: Targets, files: list[str]) -> None:
    for text in ("first", "second"):
        ledger = Ledger(targets, resume=True)
        fresh = ledger.fresh(enumerate(Found(path, "image") for path in files))
        with ledger.open(SETTINGS, pictures=True):
            for item in fresh:
                ledger.write(record(item.path, notes=(text,)), Pictures(text.encode()))
            assert [row.thumbnail for row in ledger.page_rows()] == (
                [b"first"] * 5 if text == "first" else [*[b"first"] * 4, b"second"]
            )
        Path(files[1]).write_bytes(b"another length")
    assert Ledger(targets, resume=True).held == {"ai": 5}


@pytest.mark.parametrize("step", ["drop_superseded", "note"])
def test_killed_while_superseded_rows_are_cut_out(targets: Targets, files: list[str], step: str) -> None:
    write(Ledger(targets), files)
    Path(files[1]).write_bytes(b"another length")
    pid = os.fork()
    if not pid:
        original = getattr(Journal, step)

        def killed(self: Journal, name: Any, value: Any, *_: Any, **__: Any) -> None:
            if step == "drop_superseded":
                os._exit(9)
            if name == "replacing" and value is None:
                os._exit(9)
            original(self, name, value)

        setattr(Journal, step, killed)
        write(Ledger(targets, resume=True), files)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert write(Ledger(targets, resume=True), files) == []
    check(targets, [files[0], *files[2:], files[1]])


@pytest.mark.parametrize("late", [False, True])
def test_interrupted_while_superseded_rows_are_cut_out(
    targets: Targets, files: list[str], monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    write(Ledger(targets), files)
    Path(files[1]).write_bytes(b"another length")
    original = Journal.drop_superseded

    def interrupted(self: Journal, *arguments: Any, **options: Any) -> None:
        if late:
            original(self, *arguments, **options)
        else:
            options["ready"]()
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "drop_superseded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(Ledger(targets, resume=True), files)
    monkeypatch.undo()
    assert write(Ledger(targets, resume=True), files) == []
    check(targets, [files[0], *files[2:], files[1]])
    assert targets.jsonl
    assert not list(targets.jsonl.parent.glob(".aigdetect-*"))


def test_errors_that_may_pass_are_tried_again(targets: Targets, files: list[str]) -> None:
    causes = ("file", "access", "time", "memory", "process")
    reasons = dict(zip(files, causes, strict=True))

    def run(outcomes: dict[str, str], **options: bool) -> list[str]:
        ledger = Ledger(targets, **options)
        fresh = list(ledger.fresh(enumerate(Found(path, "image") for path in files)))
        with ledger.open(SETTINGS):
            for item in fresh:
                cause: Any = reasons[item.path]
                failed = Record(item.path).failed(outcomes.get(item.path, "it failed"), cause)
                ledger.write(record(item.path) if outcomes.get(item.path) == "scored" else failed)
        return [item.path for item in fresh]

    assert run({}) == files
    written = targets.jsonl and targets.jsonl.read_bytes()
    assert run({}, resume=True) == files[1:]
    assert written == (targets.jsonl and targets.jsonl.read_bytes())  # what fails alike keeps its row
    assert run({files[2]: "scored", files[3]: "it failed otherwise"}, resume=True) == files[1:]
    check(targets, [files[0], files[1], files[4], files[2], files[3]])
    assert run({files[0]: "scored"}, resume=True, retry_errors=True) == [
        files[0],
        files[1],
        files[3],
        files[4],
    ]
    assert sorted(Ledger(targets, resume=True).held.items()) == [("ai", 2), ("error", 3)]


def test_metadata_that_time_kept_from_a_scored_row_are_tried_again(
    targets: Targets, files: list[str]
) -> None:
    write(Ledger(targets), files[:2])
    ledger = Ledger(targets, resume=True)
    late = ledger.fresh([(2, Found(files[2], "image"))])
    with ledger.open(SETTINGS):
        ledger.write(record(next(late).path, cause="time"))
    assert write(Ledger(targets, resume=True), files[:3]) == [files[2]]
    assert write(Ledger(targets, resume=True), files[:3]) == []
    check(targets, files[:3])


def test_the_rows_of_a_video_come_and_go_together(targets: Targets, files: list[str]) -> None:
    def video(path: str, *times: float) -> Record:
        parts = tuple(record(path, time=time) for time in times)
        return replace(record(path), frames=len(times), parts=parts)

    def run(rows: list[Record], **options: bool) -> int:
        ledger = Ledger(targets, **options)
        fresh = list(ledger.fresh(enumerate(Found(row.path, "video") for row in rows)))
        by_path = {row.path: row for row in rows}
        with ledger.open(SETTINGS, pictures=True):
            for item in fresh:
                row = by_path[item.path]
                ledger.write(row, None, [Pictures(b"t")] * len(row.parts))
            shown = [(page.row["path"], page.row["time"]) for page in ledger.page_rows()]
        assert targets.jsonl is not None
        on_disk = [json.loads(line) for line in targets.jsonl.read_bytes().splitlines()]
        assert shown == [(row["path"], row["time"]) for row in on_disk]
        return len(fresh)

    rows = [video(files[0], 0.0, 5.0), record(files[1]), video(files[2], 0.0, 7.0)]
    assert run(rows) == 3
    assert targets.jsonl is not None
    whole = targets.jsonl.read_bytes()
    with targets.jsonl.open("r+b") as file:
        file.truncate(len(whole) - 5)  # within the last frame
    assert run(rows, resume=True) == 1
    assert targets.jsonl.read_bytes() == whole
    os.utime(files[0])
    assert run([video(files[0], 0.0), *rows[1:]], resume=True) == 1
    lines = [json.loads(line) for line in targets.jsonl.read_bytes().splitlines()]
    assert [(row["path"], row["time"]) for row in lines] == [
        *[(files[1], None), (files[2], None), (files[2], 0.0), (files[2], 7.0)],
        *[(files[0], None), (files[0], 0.0)],
    ]


@pytest.mark.parametrize("ahead", ["jsonl", "csv", "both"])
def test_what_is_ahead_of_the_journal_is_cut_off(targets: Targets, files: list[str], ahead: str) -> None:
    write(Ledger(targets), files, 3)
    for kind, path in targets.files().items():
        if ahead in {kind, "both"}:
            whole = path.read_bytes()
            path.write_bytes(whole + whole.splitlines(keepends=True)[-1] + b'"half')
    assert write(Ledger(targets, resume=True), files) == files[3:]
    check(targets, files)


@pytest.mark.parametrize("behind", ["jsonl", "csv", "both"])
def test_what_a_power_failure_took_is_made_again(targets: Targets, files: list[str], behind: str) -> None:
    write(Ledger(targets), files, 4)
    for kind, path in targets.files().items():
        if behind in {kind, "both"}:
            path.write_bytes(path.read_bytes()[:-60])
    ledger = Ledger(targets, resume=True)
    assert ledger.lost == 1
    # also if it was asked for before the files are open
    fresh = list(ledger.fresh(enumerate(Found(path, "image") for path in files)))
    assert [item.path for item in fresh] == files[3:]
    with ledger.open(SETTINGS):
        for item in fresh:
            ledger.write(record(item.path))
    check(targets, files)


def test_a_file_without_its_rows_is_refused(targets: Targets, files: list[str]) -> None:
    write(Ledger(targets), files, 3)
    assert targets.csv is not None
    assert targets.jsonl is not None
    targets.csv.unlink()
    kept = targets.jsonl.read_bytes()
    with pytest.raises(UsageError, match=r"o\.csv: has lost its rows.*--force"):
        write(Ledger(targets, resume=True), files)
    assert targets.jsonl.read_bytes() == kept


def test_a_file_that_was_edited_is_refused(targets: Targets, files: list[str]) -> None:
    write(Ledger(targets), files, 3)
    assert targets.csv is not None
    targets.csv.write_bytes(targets.csv.read_bytes().replace(b"a.png", b"somewhere/a.png"))
    with pytest.raises(UsageError, match="was changed since"):
        write(Ledger(targets, resume=True), files)


@pytest.mark.parametrize(
    ("name", "value"),
    [("precision", "bfloat16"), ("adapter_sha256", "d" * 64), ("stability", True), ("fpr", 0.1)],
)
def test_other_settings_are_refused(targets: Targets, files: list[str], name: str, value: Any) -> None:
    write(Ledger(targets), files, 3)
    with pytest.raises(UsageError, match=f"rows were made with {name.replace('_', ' ')} "):
        write(Ledger(targets, resume=True), files, settings=replace(SETTINGS, **{name: value}))
    check(targets, files[:3])


def test_nothing_to_go_on_with_is_a_beginning(targets: Targets, files: list[str]) -> None:
    assert write(Ledger(targets, resume=True), files) == files


def test_files_without_a_journal_are_refused(targets: Targets) -> None:
    assert targets.csv is not None
    targets.csv.write_text("precious")
    with pytest.raises(UsageError, match="cannot be resumed"):
        Ledger(targets, resume=True)


def test_a_journal_of_nobody_is_refused(targets: Targets) -> None:
    assert targets.journal is not None
    targets.journal.write_bytes(b"not a journal" * 100)
    with pytest.raises(UsageError, match="not a journal"):
        Ledger(targets, resume=True)


def test_a_journal_in_the_making_is_none(
    targets: Targets, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any step of making a new journal, a scan can be taken up or begun again."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for step in ("note", "close"):
        monkeypatch.setattr(Journal, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(Ledger(targets), files)
        monkeypatch.undo()
        assert targets.journal is not None
        assert not targets.journal.exists()
    assert write(Ledger(targets, resume=True), files[:2]) == files[:2]
    assert write(Ledger(targets, resume=True), files) == files[2:]
    check(targets, files)
    assert not list(targets.journal.parent.glob("*.new*"))


class FullDisk(sqlite3.Connection):
    """A database whose file cannot grow, though what is beside it can."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if "wal_checkpoint" in sql:
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *values)


def test_a_journal_that_is_not_on_disk_takes_no_place(
    targets: Targets, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Ledger(targets), files, 2)
    assert targets.journal is not None
    before = sorted(targets.journal.parent.iterdir())
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(
            sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=FullDisk)
        )
        with pytest.raises(UsageError, match=r"o\.jsonl\.journal: cannot be written \(database or disk is"):
            Journal.begin(targets.journal, {})
    assert sorted(targets.journal.parent.iterdir()) == before
    assert Ledger(targets, resume=True).held == {"ai": 2}


def test_a_database_without_tables_is_no_journal(targets: Targets) -> None:
    assert targets.journal is not None
    sqlite3.connect(targets.journal).execute("CREATE TABLE other (a)")
    with pytest.raises(UsageError, match="not a journal"):
        Ledger(targets, resume=True)


def test_a_new_scan_forgets_the_old_journal(targets: Targets, files: list[str]) -> None:
    write(Ledger(targets), files)
    with pytest.raises(UsageError, match="exists"):
        write(Ledger(targets), files)
    assert write(Ledger(targets, force=True), files[:2]) == files[:2]
    check(targets, files[:2])


def test_two_scans_at_a_time_are_refused(targets: Targets, files: list[str]) -> None:
    ledger = Ledger(targets)
    list(ledger.fresh([]))
    with ledger.open(SETTINGS), pytest.raises(UsageError, match="another scan is writing to it"):
        Ledger(targets, resume=True)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_interrupted_row_is_in_none_of_the_files(
    targets: Targets, files: list[str], failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that breaks off in the first file, in the second, or before the journal has it."""
    ledger = Ledger(targets)
    fresh = ledger.fresh(enumerate(Found(path, "image") for path in files))
    with ledger.open(SETTINGS):
        ledger.write(record(next(fresh).path))
        next(fresh)

        def interrupt(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        if failing == 2:
            monkeypatch.setattr(Journal, "add", interrupt)
        else:
            monkeypatch.setattr(ledger._writers[failing], "row", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.write(record(files[1]))
        check(targets, files[:1])
    monkeypatch.undo()
    assert write(Ledger(targets, resume=True), files) == files[1:]
    check(targets, files)


def test_a_full_disk_leaves_whole_rows(targets: Targets, files: list[str]) -> None:
    """No file may grow beyond a size that the first rows just reach."""
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom aigdetect.errors import UsageError\n"
        "sys.path[:0] = [sys.argv[1]]\nfrom test_ledger import *\n"
        "folder = Path(sys.argv[2])\n"
        "targets = Targets(folder / 'o.jsonl', folder / 'o.csv', folder / 'o.jsonl.journal')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "ledger = Ledger(targets)\n"
        "fresh = ledger.fresh(enumerate(Found(path, 'image') for path in sys.argv[3:]))\n"
        "with ledger.open(SETTINGS):\n"
        "    for item in fresh:\n"
        "        size = targets.jsonl.stat().st_size\n"
        "        if item.path == sys.argv[5]: resource.setrlimit(resource.RLIMIT_FSIZE, (size + 99, -1))\n"
        "        ledger.write(record(item.path))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    folder = str(targets.jsonl and targets.jsonl.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), folder, *files],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert "UsageError" in done.stderr.splitlines()[-1]
    assert "cannot be written (File too large)" in done.stderr.splitlines()[-1]
    check(targets, files[:2])
    assert write(Ledger(targets, resume=True), files) == files[2:]
    check(targets, files)


def test_scores_come_back_bit_for_bit(targets: Targets, files: list[str]) -> None:
    steady = Stability((0.1, 1e-300, -7.123456789012345), ("ai", "ai", "real"))
    first = record(files[0], "1" * 64, notes=("low resolution",)).steadied(steady)
    ledger = Ledger(targets)
    list(ledger.fresh(enumerate(Found(path, "image") for path in files[:3])))
    with ledger.open(SETTINGS):
        ledger.write(first)
        ledger.write(Record(files[1], sha256="2" * 64).failed("broken"))
        ledger.write(record(files[2], "3" * 64))
        known = ledger.find("1" * 64, "new")
        assert ledger.find("2" * 64, "new") is None
        assert ledger.find("4" * 64, "new") is None
    assert known is not None
    assert replace(known, path=files[0], sha256="1" * 64) == first
    assert Ledger(targets, resume=True).held == {"uncertain": 1, "error": 1, "ai": 1}


def test_pictures_are_kept_with_their_rows(targets: Targets, files: list[str]) -> None:
    ledger = Ledger(targets)
    fresh = ledger.fresh(enumerate(Found(path, "image") for path in files[:2]))
    with ledger.open(SETTINGS, pictures=True):
        ledger.write(
            record(next(fresh).path), Pictures(b"small", b"spectrum", b"heat", "what it shows", b"before")
        )
        ledger.write(Record(next(fresh).path).failed("broken"), Pictures())
        first, second = ledger.page_rows()
    assert (first.thumbnail, first.spectrum, first.heatmap) == (b"small", b"spectrum", b"heat")
    assert first.before == b"before"
    assert first.row == json.loads(json.dumps(record(files[0]).as_dict()))
    assert (second.row["error"], second.thumbnail) == ("broken", None)
    ledger = Ledger(targets, resume=True)
    with pytest.raises(UsageError, match="with a page"), ledger.open(SETTINGS):
        pass


def test_without_a_journal_nothing_is_left(tmp_path: Path, files: list[str]) -> None:
    targets = Targets(jsonl=tmp_path / "o.jsonl")
    assert write(Ledger(targets), files) == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "o.jsonl"]
    with pytest.raises(UsageError, match="lies among the images"):
        Ledger(targets, resume=True)


def test_a_row_in_the_place_of_another_is_a_fault_of_the_program(targets: Targets, files: list[str]) -> None:
    ledger = Ledger(targets)
    list(ledger.fresh(enumerate(Found(path, "image") for path in files)))
    with ledger.open(SETTINGS), pytest.raises(RuntimeError, match="in the place of"):
        ledger.write(record(files[1]))


def test_difference_names_the_first_setting() -> None:
    now = replace(SETTINGS, model="other", shard="1/2").as_dict()
    assert difference(SETTINGS.as_dict(), now) == "model m, not other"
    assert difference(SETTINGS.as_dict(), replace(SETTINGS, shard="1/2").as_dict(), without="shard") == ""
    assert "cccccccccccc..., not none" in difference(
        SETTINGS.as_dict(), {**now, "model": "m", "card_sha256": None}
    )


def test_two_files_share_no_row_whatever_their_paths_look_like(targets: Targets, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "t" / "u").mkdir(parents=True)
    (tmp_path / "x" / "link").symlink_to(tmp_path / "t" / "u")
    for folder in ("x", "t"):
        (tmp_path / folder / "a.png").write_bytes(folder.encode())
    paths = [f"{tmp_path}/x/a.png", f"{tmp_path}/x/link/../a.png"]
    assert write(Ledger(targets), paths) == paths
    check(targets, paths)


def test_fingerprints_tell_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    first = fingerprint(str(path))
    assert fingerprint(os.path.relpath(path)) == first
    os.utime(path, ns=(0, 12345))
    assert fingerprint(str(path)) != first
    path.unlink()
    assert fingerprint(str(path)) not in {first, fingerprint(str(tmp_path / "b"))}


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("resume", [True, False])
def test_a_second_scan_into_the_same_files_is_refused_and_changes_nothing(
    targets: Targets, files: list[str], journal: bool, resume: bool
) -> None:
    if not journal:
        targets = replace(targets, journal=None)
    first = Ledger(targets)
    fresh = list(first.fresh(enumerate(Found(path, "image") for path in files)))
    with first.open(SETTINGS):
        for item in fresh[:2]:
            first.write(record(item.path))
        again = {"resume": True} if resume else {"force": True}
        done = subprocess.run(
            [sys.executable, "-c", SECOND, json.dumps([str(path or "") for path in
             (targets.jsonl, targets.csv, targets.journal)]), json.dumps(again)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        refused = "another scan is writing to it" if journal or not resume else "it lies among the images"
        assert refused in done.stderr
        for item in fresh[2:]:
            first.write(record(item.path))
    check(targets, files)
    if journal:
        assert write(Ledger(targets, resume=True), files) == []


SECOND = """
import json, sys
from pathlib import Path
from aigdetect.errors import UsageError
from aigdetect.scanning.ledger import Ledger, Targets
from aigdetect.scanning.settings import Settings

jsonl, csv, journal = json.loads(sys.argv[1])
settings = Settings("p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False)
try:
    targets = Targets(Path(jsonl), Path(csv), Path(journal) if journal else None)
    ledger = Ledger(targets, **json.loads(sys.argv[2]))
    with ledger.open(settings):
        pass
except UsageError as error:
    sys.stderr.write(str(error))
    sys.exit(2)
"""


def test_a_journal_is_made_through_no_planted_link(
    targets: Targets, files: list[str], tmp_path: Path
) -> None:
    assert targets.journal is not None
    for end in (".new", "-wal", "-shm"):
        targets.journal.with_name(targets.journal.name + end).symlink_to(tmp_path / f"elsewhere{end}")
    assert write(Ledger(targets), files) == files
    assert not list(tmp_path.glob("elsewhere*"))
