"""``aigdetect scan --also``: what further models say stands beside the rows, and changes nothing in them."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command_forks
import pytest
from PIL import Image

from aigdetect.scanning.scoring import SAME_CONTENT

AI, REAL = 250, 5
SIDE = 240
COLORS = {"a": (AI, REAL), "b": (REAL, AI), "c": (REAL, REAL), "d": (REAL, AI)}
FURTHER = ("score_green", "verdict_green")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images by red and green, of which two have the same content, and one that is broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, (red, green) in COLORS.items():
        image = Image.new("RGB", (SIDE, SIDE), (red, green, 0))
        image.putpixel((SIDE - 1, SIDE - 1), (red, green, 1))  # of one colour, it would be uncertain
        image.save(folder / f"{name}.png")
    (folder / "e.png").write_bytes((folder / "c.png").read_bytes()[:60])
    return folder


def scan(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    return command_forks.run("scan", *args, script=command_forks.FAKE, env=env)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def said(found: Sequence[dict[str, Any]]) -> list[str | None]:
    return [row["verdict_green"] for row in found]


def further_cells(page: str) -> list[str]:
    """What the model green says, row by row, in its column of a page."""
    cells = re.findall(r'<td role="cell" class="also"[^>]*>(.*?)</td>', page)
    texts = [" ".join(re.sub("<[^>]*>", "", cell).split()) for cell in cells]
    assert all(text.startswith("green ") for text in texts)
    return [text.removeprefix("green ") for text in texts]


def test_columns_come_last_and_nothing_else_changes(images: Path, tmp_path: Path) -> None:
    alone, both = tmp_path / "alone.jsonl", tmp_path / "both.jsonl"
    one = scan(images, "--jsonl", alone, "--stability")
    other = scan(images, "--jsonl", both, "--csv", tmp_path / "both.csv", "--stability", "--also", "green")
    assert one.returncode == other.returncode == 1  # of the broken one
    assert one.stderr.split(" (")[0] == other.stderr.split(" (")[0]
    found = rows(both)
    assert all(tuple(row)[-2:] == FURTHER for row in found)
    assert said(found) == ["real", "ai", "real", "ai", None]
    assert found[1]["score_green"] == AI / 255
    assert found[4]["score_green"] is None
    assert [{key: row[key] for key in row if key not in FURTHER} for row in found] == rows(alone)
    with (tmp_path / "both.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0])[-3:] == ("frames", *FURTHER)
    assert [row["verdict_green"] for row in table] == ["real", "ai", "real", "ai", ""]
    assert not any(None in row for row in table)


def test_neither_status_nor_fail_on_asks_it(images: Path) -> None:
    asked = [images / "b.png", "--also", "green", "--fail-on", "ai"]
    done = scan(*asked)
    assert done.returncode == 0
    assert done.stderr.startswith("1 scored: 0 ai, 0 uncertain, 1 real (")
    assert done.stdout.split("\t")[-1] == "green: ai (0.9804)\n"
    assert scan(images / "a.png", *asked[1:]).returncode == 3


def test_what_it_cannot_score_is_empty_and_noted_and_tried_again(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    (images / "e.png").unlink()
    command = [images, "--jsonl", out, "--csv", tmp_path / "out.csv", "--also", "green"]
    done = scan(*command, FAKE_FAILURE=str(AI))
    assert done.returncode == 0
    assert said(rows(out)) == ["real", None, "real", None]
    assert [row["verdict"] for row in rows(out)] == ["ai", "real", "real", "real"]
    assert rows(out)[1]["notes"] == ["green: scoring failed: RuntimeError: green will not do"]
    done = scan(*command, "--resume")
    assert "2 of these rows from before; 2 made anew" in done.stderr
    assert sorted((row["path"], row["verdict_green"]) for row in rows(out)) == [
        (str(images / f"{name}.png"), verdict)
        for name, verdict in zip("abcd", ("real", "ai", "real", "ai"), strict=True)
    ]
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 5
    assert "4 of these rows from before" in scan(*command, "--resume").stderr


def test_workers_and_interruptions_change_nothing(images: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    asked = [images, "--also", "green"]
    assert scan(*asked, "--jsonl", whole, "--workers", "0").returncode == 1
    killed = command_forks.run(
        *("scan", *asked, "--jsonl", cut, "--workers", "2"),
        script=command_forks.FAKE,
        kill=("aigdetect.scanning.ledger", "Ledger.write", 4),
    )
    assert killed.returncode < 0
    assert len(rows(cut)) == 3
    assert scan(*asked, "--jsonl", cut, "--resume", "--workers", "2").returncode == 1
    assert cut.read_bytes() == whole.read_bytes()
    # the row after the interruption is that of an earlier file, with what was said of it then
    assert rows(cut)[3]["notes"] == [SAME_CONTENT]
    assert said(rows(cut))[3] == "ai"


@pytest.mark.parametrize(
    ("held", "now", "unlike"),
    [
        (["green"], [], "further models green, not none"),
        ([], ["green"], "further models none, not green"),
        (["green", "red"], ["red", "green"], "further models green, fake, not fake, green"),
        (["green"], ["green", "green"], "further models green, not green, green #2"),
    ],
)
def test_other_further_models_are_refused(
    images: Path, tmp_path: Path, held: list[str], now: list[str], unlike: str
) -> None:
    out = tmp_path / "out.csv"
    scan(images, "--csv", out, *(word for name in held for word in ("--also", name)))
    before = out.read_bytes()
    done = scan(images, "--csv", out, "--resume", *(word for name in now for word in ("--also", name)))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"error: {out}.journal: rows were made with {unlike}; "
        "resume with the same options, or begin anew with --force"
    )
    assert out.read_bytes() == before


def test_another_model_of_the_same_name_is_refused(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    scan(images, "--csv", out, "--also", "green")
    done = scan(images, "--csv", out, "--resume", "--also", "green", FAKE_ADAPTER="d")
    assert done.returncode == 2
    assert "rows were made with another green: card sha256 " in done.stderr.splitlines()[-1]


def test_models_of_one_name_are_numbered(images: Path) -> None:
    done = scan(images / "b.png", "--csv", "-", "--also", "green", "--also", "x/green", "--also", "red")
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert list(row)[-6:] == [
        f"{what}_{name}" for name in ("green", "green #2", "fake") for what in ("score", "verdict")
    ]
    assert list(row.values())[-5::2] == ["ai", "ai", "real"]


def test_parts_are_joined_with_their_columns(images: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"{index}.jsonl" for index in (1, 2)]
    for index, part in enumerate(parts, start=1):
        scan(
            *(images, "--also", "green", "--jsonl", part, "--csv", part.with_suffix(".csv")),
            *("--shard", f"{index}/2"),
        )
    outputs = ["--jsonl", tmp_path / "all.jsonl", "--csv", tmp_path / "all.csv"]
    done = command_forks.run("merge", *parts, *outputs, script=command_forks.FAKE)
    assert done.returncode == 1, done.stderr
    assert said(rows(tmp_path / "all.jsonl")) == ["real", "ai", "real", "ai", None]
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        assert [row["verdict_green"] for row in csv.DictReader(file)] == ["real", "ai", "real", "ai", ""]


def test_a_case_names_them_and_its_page_shows_what_they_say(images: Path, tmp_path: Path) -> None:
    case = tmp_path / "case"
    (images / "a.png").unlink()  # none is flagged: the stand-in draws no heat maps
    done = scan(images, "--case", case, "--also", "green", "--csv", tmp_path / "copy.csv")
    assert done.returncode == 1, done.stderr
    (other,) = json.loads((case / "manifest.json").read_bytes())["settings"]["also"]
    assert (other["model"], other["adapter_sha256"]) == ("green", "c".ljust(64, "0"))
    assert (tmp_path / "copy.csv").read_bytes() == (case / "results.csv").read_bytes()
    assert said(rows(case / "results.jsonl")) == ["ai", "real", "ai", None]
    page = (case / "report.html").read_text(encoding="utf-8")
    assert further_cells(page) == ["AI 0.9804", "real 0.0196", "AI 0.9804", "not scored"]
    assert "<dt>further model</dt><dd><bdi>green</bdi>, SHA-256 of its trained part" in page
    verified = command_forks.run("verify", case, script=command_forks.FAKE)
    assert verified.returncode == 0, verified.stderr
    assert scan(images, "--case", case, "--also", "green", "--resume").returncode == 1


def test_the_page_keeps_their_columns_when_it_is_resumed(images: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    command = [images, "--html", page, "--jsonl", tmp_path / "out.jsonl", "--also", "green"]
    assert scan(*command, FAKE_FAILURE=str(AI)).returncode == 1
    unsaid = further_cells(page.read_text(encoding="utf-8"))
    assert unsaid == ["real 0.0196", "not scored", "real 0.0196", "not scored", "not scored"]
    assert scan(*command, "--resume").returncode == 1
    assert sorted(further_cells(page.read_text(encoding="utf-8"))) == [
        *("AI 0.9804", "AI 0.9804", "not scored", "real 0.0196", "real 0.0196")
    ]
