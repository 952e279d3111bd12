"""Scans that are cut short, shared or repeated: every row is there, once, and as it would have been."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import command_forks
import pytest
from PIL import Image

from aigdetect.scanning.ledger import Ledger, Targets, journal_beside
from aigdetect.scanning.settings import Settings

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
IMAGES = 24


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of which two are broken and three have the same content."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(IMAGES):
        Image.new("RGB", (40, 40), (min(index, 20) * 10, 0, 0)).save(folder / f"{index:02}.png")
    (folder / "05.png").write_bytes(b"")
    (folder / "11.png").write_bytes((folder / "10.png").read_bytes()[:60])
    return folder


def run(*args: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    return command_forks.run(*args, env=env, script=command_forks.FAKE, **options)


def start(*args: object, **options: Any) -> command_forks.Started:
    return command_forks.start(*args, script=command_forks.FAKE, **options)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def csv_paths(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_killed_again_and_again(images: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert run("scan", images, "--jsonl", whole, "--workers", "0").returncode == 1
    command = ["scan", images, "--jsonl", cut, "--csv", tmp_path / "cut.csv", "--resume"]
    rng = random.Random(0)
    for _ in range(4):
        process = start(*command, env={"FAKE_DELAY": "0.1"})
        wait_for_growth(cut, process)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.wait()
    assert run(*command).returncode == 1
    assert cut.read_bytes() == whole.read_bytes()
    assert csv_paths(tmp_path / "cut.csv") == [row["path"] for row in rows(whole)]
    assert [row["notes"][-1:] for row in rows(cut)[-3:]] == [["same content as an earlier file"]] * 3
    again = run(*command)
    assert again.returncode == 1  # of the rows that are there, too
    assert f"{IMAGES} of these rows from before" in again.stderr
    assert cut.read_bytes() == whole.read_bytes()


def wait_for_growth(path: Path, process: command_forks.Started) -> None:
    """Until a row more is there, or the scan is over."""
    size, end = path.stat().st_size if path.exists() else 0, time.monotonic() + 60
    while process.poll() is None and (path.stat().st_size if path.exists() else 0) <= size:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_another_model_or_other_options_are_refused(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run("scan", images, "--csv", out)
    before = out.read_bytes()
    done = run("scan", images, "--csv", out, "--resume", env={"FAKE_PRECISION": "bfloat16"})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"error: {out}.journal: rows were made with precision float32, not bfloat16; "
        "resume with the same options, or begin anew with --force"
    )
    assert run("scan", images, "--csv", out, "--resume", "--stability").returncode == 2
    assert out.read_bytes() == before


def test_resume_needs_something_to_go_on_with(images: Path, tmp_path: Path) -> None:
    done = run("scan", images, "--json", "--resume")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--resume: nothing to go on with" in done.stderr.replace("there is ", "")
    assert run("scan", images, "--csv", tmp_path / "o.csv", "--resume", "--force").returncode == 2


def test_no_journal_is_left_among_the_images(images: Path) -> None:
    out = images / "out.csv"
    assert run("scan", images, "--csv", out).returncode == 1
    names = {path.name for path in images.iterdir()}
    assert names - {f"{index:02}.png" for index in range(IMAGES)} == {"out.csv"}
    done = run("scan", images, "--csv", out, "--resume")
    assert done.returncode == 2
    assert "lies among the images" in done.stderr


def test_an_interrupt_ends_soon_and_leaves_no_process(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    process = start("scan", images, "--jsonl", out, env={"FAKE_DELAY": "0.3"}, new_session=True)
    for _ in range(2):  # the first row may grow while it is written, the second comes behind a whole one
        wait_for_growth(out, process)
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begin < 10  # two seconds on a machine that does nothing else
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert 0 < len(rows(out)) < IMAGES
    end = time.monotonic() + 10
    while left := members(process.pid):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def members(session: int) -> list[str]:
    """Living processes of a session, by the kernel's account."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, rest = (folder / "stat").read_text().rpartition(")")
            state, _, _, of = rest.split()[:4]
            if state != "Z" and int(of) == session:
                found.append(name)
    return found


def test_parts_joined_are_the_whole(images: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for index, part in enumerate(parts, start=1):
        run("scan", images, "--jsonl", part, "--csv", part.with_suffix(".csv"), "--shard", f"{index}/2")
    assert 0 < len(rows(parts[0])) < IMAGES
    run("scan", images, "--jsonl", tmp_path / "whole.jsonl", "--csv", tmp_path / "whole.csv")
    done = run("merge", *parts, "--jsonl", tmp_path / "all.jsonl", "--csv", tmp_path / "all.csv")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("2 parts: 22 scored, 2 could not be scored; written to ")
    unlike = [
        (one, other)
        for one, other in zip(rows(tmp_path / "all.jsonl"), rows(tmp_path / "whole.jsonl"), strict=True)
        if one != other
    ]
    # what has the same content is noted within a part only
    assert all({**one, "notes": []} == {**other, "notes": []} for one, other in unlike)
    assert csv_paths(tmp_path / "all.csv") == csv_paths(tmp_path / "whole.csv")
    assert run("merge", parts[0], "--jsonl", tmp_path / "x.jsonl").returncode == 2
    assert run("merge", *parts).returncode == 2
    assert not (tmp_path / "x.jsonl").exists()


def test_a_merge_writes_one_form_to_one_file(images: Path, tmp_path: Path) -> None:
    parts = [f"{index}.jsonl" for index in (1, 2)]
    for index, part in enumerate(parts, start=1):
        table = f"{index}.csv"
        run("scan", images, "--jsonl", part, "--csv", table, "--shard", f"{index}/2", cwd=tmp_path)
    (tmp_path / "-").write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    for outputs, said in {
        ("--jsonl", "same", "--csv", "./same"): "error: CSV and JSON Lines need a file each; ",
        ("--csv", "-"): "error: --csv -: is no file; merge writes files alone, name one",
        ("--jsonl", "pipe"): "error: --jsonl pipe: is no file; ",
    }.items():
        done = run("merge", *parts, *outputs, "--force", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(said)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "-").read_text() == "precious"


def test_files_that_vanish_or_change_meanwhile(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    process = start("scan", images, "--jsonl", out, "--workers", "1", "--quiet", env={"FAKE_DELAY": "0.3"})
    wait_for_growth(out, process)
    (images / "22.png").unlink()
    (images / "23.png").write_bytes(b"another content")
    assert process.wait(timeout=60) == 1
    found = rows(out)
    assert len(found) == IMAGES
    assert found[22]["error"] == "no such file or directory"
    assert found[23]["error"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_scan_with_one_line(images: Path) -> None:
    done = run("scan", images, "--csv", "/dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: /dev/full: cannot be written (No space left on device)"


def test_after_a_full_disk_resume_goes_on(images: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    page = tmp_path / "cut.html"
    run("scan", images, "--jsonl", whole, "--workers", "0")
    command = [
        "scan",
        images,
        "--jsonl",
        cut,
        "--csv",
        tmp_path / "cut.csv",
        "--html",
        page,
        "--workers",
        "0",
    ]
    full = run(*command, largest_file=200_000)  # the journal grows fastest
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1].startswith(f"error: {cut}.journal: cannot be written (")
    assert "Traceback" not in full.stderr
    assert "page written" not in full.stderr
    assert not page.exists()
    assert 0 < len(rows(cut)) < IMAGES
    assert csv_paths(tmp_path / "cut.csv") == [row["path"] for row in rows(cut)]
    done = run(*command, "--resume")
    assert done.returncode == 1
    assert f"page written to {page}" in done.stderr
    assert page.read_text(encoding="utf-8").count('<tbody role="rowgroup"') == IMAGES
    assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("size", [1000, 5000, 30_000])
def test_a_full_disk_at_the_start_leaves_nothing_behind(images: Path, tmp_path: Path, size: int) -> None:
    done = run("scan", images, "--jsonl", tmp_path / "o.jsonl", "--workers", "0", largest_file=size)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        f"error: {tmp_path / 'o.jsonl'}.journal: cannot be written"
    )
    assert list(tmp_path.iterdir()) == [images]


@pytest.mark.parametrize("again", ["--resume", "--force"])
def test_two_scans_into_the_same_files_at_once(images: Path, tmp_path: Path, again: str) -> None:
    out = tmp_path / "out.jsonl"
    settings = Settings("p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False)
    with Ledger(Targets(out, None, journal_beside(out))).open(settings):
        second = run("scan", images, "--jsonl", out, again)
    assert second.returncode == 2
    assert second.stderr == f"error: {out}.journal: cannot be written (another scan is writing to it)\n"
    assert run("scan", images, "--jsonl", out, "--force").returncode == 1


def test_columns_that_came_later_are_the_last_ones(images: Path) -> None:
    done = run("scan", images / "20.png", "--stability", "--csv", "-")
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert list(row)[-4:] == ["stability", "kind", "time", "frames"]
    assert row["stability"].startswith("JPEG 90: ")


def test_one_row_for_each_path_whatever_was_touched_or_tried_again(images: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    (images / "06.png").unlink()
    (images / "06.png").symlink_to(images / "nowhere")  # out of reach for now
    command = ["scan", *sorted(images.iterdir()), "--jsonl", out, "--csv", table, "--workers", "0"]
    assert run(*command).returncode == 1
    causes = {Path(row["path"]).name: row["error"] for row in rows(out) if row["error"]}
    assert set(causes) == {"05.png", "06.png", "11.png"}

    (images / "06.png").unlink()
    (images / "06.png").write_bytes((images / "07.png").read_bytes())
    os.utime(images / "20.png")  # the same content, touched
    (images / "08.png").write_bytes((images / "09.png").read_bytes())
    done = run(*command, "--resume")
    assert done.returncode == 1
    assert "21 of these rows from before; 3 made anew" in done.stderr
    done = run(*command, "--resume", "--retry-errors")
    assert "22 of these rows from before; 2 made anew" in done.stderr
    assert "2 could not be scored" in done.stderr

    paths = [row["path"] for row in rows(out)]
    assert len(paths) == len(set(paths)) == IMAGES
    assert csv_paths(table) == paths
    by_name = {Path(row["path"]).name: row for row in rows(out)}
    assert by_name["06.png"]["sha256"] == by_name["07.png"]["sha256"]
    assert by_name["08.png"]["sha256"] == by_name["09.png"]["sha256"]
    like_others = {name for name, row in by_name.items() if "same content as an earlier file" in row["notes"]}
    assert {"06.png", "08.png"} <= like_others
    assert "20.png" not in like_others  # its own row of before is no other file's
    assert run("scan", images, "--jsonl", tmp_path / "o.jsonl", "--retry-errors").returncode == 2


def slow_to_decode() -> bytes:
    """A picture in QOI that Pillow takes seconds to decode, byte by byte."""
    side = 2200
    pixels = b"\xfe\x01\x02\x03" + b"\xc0" * (side * side - 1)  # the first, then runs of one
    return b"qoif" + struct.pack(">IIBB", side, side, 3, 0) + pixels + bytes(7) + b"\1"


def test_a_time_out_is_tried_again(images: Path, tmp_path: Path) -> None:
    case = tmp_path / "case"
    for index in range(20, IMAGES):  # none is flagged: the stand-in draws no heat maps
        (images / f"{index}.png").unlink()
    (images / "03.png").write_bytes(slow_to_decode())
    command = ["scan", images, "--case", case, "--csv", tmp_path / "copy.csv", "--workers", "1"]
    done = run(*command, "--timeout", "1")
    assert "03.png: took longer than 1 s" in done.stderr
    assert len(rows(case / "results.jsonl")) == 20
    done = run(*command, "--resume")
    assert "1 made anew" in done.stderr
    for held in (csv_paths(tmp_path / "copy.csv"), csv_paths(case / "results.csv")):
        assert len(held) == len(set(held)) == 20
    manifest = json.loads((case / "manifest.json").read_bytes())
    assert len({entry["path"] for entry in manifest["inputs"]}) == len(manifest["inputs"]) == 20
    assert manifest["counts"]["error"] == 2


def test_a_part_that_no_file_falls_into_is_a_part(images: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"{index}.jsonl" for index in range(1, 10)]
    for index, part in enumerate(parts, start=1):
        done = run("scan", images / "00.png", "--jsonl", part, "--shard", f"{index}/9")
        assert done.returncode == 0, done.stderr
    assert sorted(len(rows(part)) for part in parts) == [0] * 8 + [1]
    done = run("merge", *parts, "--jsonl", tmp_path / "all.jsonl")
    assert done.returncode == 0, done.stderr
    run("scan", images / "00.png", "--jsonl", tmp_path / "whole.jsonl")
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    # where there is no image at all, that is said as ever
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    assert run("scan", tmp_path / "text", "--jsonl", tmp_path / "x.jsonl", "--shard", "1/2").returncode == 2
