"""``aigdetect scan --video``: rows of frames and of whole videos, in every output, again and again."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import command_forks
import pytest
from clips import make_clip
from PIL import Image


def run(*args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return command_forks.run(*args, script=command_forks.FAKE, **options)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_clip(folder / "ai.mp4", [250] * 30)
    make_clip(folder / "mixed.webm", [5] * 20 + [250] * 10)
    (folder / "broken.mp4").write_bytes((folder / "ai.mp4").read_bytes()[:900])
    return folder


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    """A generated video, one in which one frame is, a broken one, and a photograph."""
    images = tmp_path / "images"
    images.mkdir()
    for clip in made.iterdir():
        (images / clip.name).write_bytes(clip.read_bytes())
    photo = Image.new("RGB", (64, 64), (5, 0, 0))
    photo.putpixel((63, 63), (5, 0, 1))  # of one colour, it would be uncertain
    photo.save(images / "photo.png")
    return images


SCAN = ("--video", "--frames-per-minute", "60")


def test_a_row_a_frame_and_one_for_the_whole_in_every_output(folder: Path, tmp_path: Path) -> None:
    case, part = tmp_path / "case", tmp_path / "part.jsonl"
    done = run("scan", folder, *SCAN, "--case", case, "--csv", tmp_path / "a.csv", "--fail-on", "ai")
    assert done.returncode == 3
    assert "3 scored: 1 ai, 1 uncertain, 1 real; 1 could not be scored" in done.stderr
    found = rows(case / "results.jsonl")
    told = [(Path(row["path"]).name, row["time"], row["frames"], row["verdict"]) for row in found]
    assert told == [
        ("ai.mp4", None, 3, "ai"),
        *[("ai.mp4", second, None, "ai") for second in (0, 1, 2)],
        ("broken.mp4", None, None, None),
        ("mixed.webm", None, 3, "uncertain"),
        *[("mixed.webm", second, None, "uncertain") for second in (0, 1, 2)],
        ("photo.png", None, None, "real"),
    ]
    assert all(row["sha256"] for row in found)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        table = [(Path(row["path"]).name, row["time"]) for row in csv.DictReader(file)]
    assert table == [(name, "" if second is None else str(float(second))) for name, second, _, _ in told]

    page = (case / "report.html").read_text(encoding="utf-8")
    assert "ai.mp4#t=1.000" in page
    assert page.count("data:image/") >= 7  # a thumbnail of each frame, and of the photograph

    manifest = json.loads((case / "manifest.json").read_bytes())
    assert [Path(entry["path"]).name for entry in manifest["inputs"]] == [
        *("ai.mp4", "broken.mp4", "mixed.webm", "photo.png")
    ]
    assert manifest["settings"]["video"] == "60 a minute, 30 in all"
    assert run("verify", case).returncode == 0
    with (folder / "mixed.webm").open("ab") as file:
        file.write(b"more")
    assert run("verify", case).returncode == 1

    # two parts are the whole
    for index in (1, 2):
        run("scan", folder, *SCAN, "--jsonl", tmp_path / f"{index}.jsonl", "--shard", f"{index}/2")
    parts = [tmp_path / f"{index}.jsonl" for index in (1, 2) if (tmp_path / f"{index}.jsonl").exists()]
    if len(parts) == 2:
        done = run("merge", *parts, "--jsonl", part)
        assert "3 scored, 1 could not be scored" in done.stderr
        assert [(row["path"], row["time"]) for row in rows(part)] == [
            (row["path"], row["time"]) for row in found
        ]


def test_resume_takes_all_rows_of_a_video_as_one(folder: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    command = ["scan", folder, *SCAN, "--jsonl", out, "--csv", tmp_path / "out.csv"]
    assert run("scan", folder, *SCAN, "--jsonl", whole).returncode == 1
    assert run(*command).returncode == 1
    assert out.read_bytes() == whole.read_bytes()

    # a scan that ended within the rows of the last video
    lines = whole.read_bytes().splitlines(keepends=True)
    with out.open("r+b") as file:
        file.truncate(sum(map(len, lines[:7])))
    with (tmp_path / "out.csv").open("rb") as file:
        assert len(file.readlines()) == 1 + len(lines)
    done = run(*command, "--resume")
    assert "are made again" in done.stderr
    assert out.read_bytes() == whole.read_bytes()

    # one that changed takes all its rows along; an error is tried again
    clip = folder / "ai.mp4"
    clip.write_bytes((folder / "broken.mp4").read_bytes())
    (folder / "broken.mp4").write_bytes(clip.read_bytes() + b"x")
    done = run(*command, "--resume", "--retry-errors")
    names = [(Path(row["path"]).name, row["time"]) for row in rows(out)]
    assert names == [
        *[("mixed.webm", second) for second in (None, 0, 1, 2)],
        *[("photo.png", None), ("ai.mp4", None), ("broken.mp4", None)],
    ]

    done = run("scan", folder, "--jsonl", out, "--csv", tmp_path / "out.csv", "--resume")
    assert done.returncode == 2
    assert "rows were made with video 60 a minute, 30 in all, not none" in done.stderr


def test_without_the_option_a_video_is_named_as_one(folder: Path, tmp_path: Path) -> None:
    done = run("scan", folder, folder / "ai.mp4", "--jsonl", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "not an image: a video; scan --video looks at its key frames" in done.stderr
    assert "3 videos (--video scores key frames of them) passed over" in done.stderr
    done = run("scan", folder, "--max-frames", "3")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --frames-per-minute, --max-frames: of videos; only with --video\n",
    )


def test_without_the_extra_the_option_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'av' else find(name, *rest)\n"
    )
    done = subprocess.run(
        [sys.executable, command_forks.FAKE, "scan", folder, "--video"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{command_forks.REPOSITORY}"},
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: --video: PyAV is not installed; pip install 'aigdetect[video]'\n",
    )


def test_rows_of_frames_read_as_such_on_a_terminal_and_in_lines(folder: Path) -> None:
    done = run("scan", folder / "ai.mp4", *SCAN, "--max-frames", "2")
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        [f"{folder}/ai.mp4", "ai"],
        [f"{folder}/ai.mp4#t=0.000", "ai"],
        [f"{folder}/ai.mp4#t=2.000", "ai"],
    ]
