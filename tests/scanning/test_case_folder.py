"""Where a case folder may lie, and what its manifest says."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from aigdetect.errors import UsageError
from aigdetect.scanning.case import CaseFolder, Manifest, lies_in, refuse_inside, write_manifest
from aigdetect.scanning.record import Record
from aigdetect.scanning.settings import Settings
from aigdetect.scanning.writers import jsonl_row

SETTINGS = Settings("p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False)
MANIFEST = Manifest(
    settings=SETTINGS.as_dict(),
    backbone="ViT-B-16",
    backbone_trained_on="d" * 64,
    sessions=[
        {"started": "2026-01-01T00:00:00+00:00", "command": ["aigdetect", "scan", "\udcff"], "ended": "later"}
    ],
    counts={"ai": 1, "error": 2},
)


@pytest.mark.parametrize(
    ("folder", "evidence", "inside"),
    [
        ("e", "e", True),
        ("e/case", "e", True),
        ("e/not/there/yet", "e", True),
        ("link/case", "e", True),
        ("e/../case", "e", False),
        ("ee", "e", False),
        (".", "e", False),
        ("e", "e/a.png", True),
        ("e/case", "e/a.png", False),
        ("case", "e/a.png", False),
    ],
)
def test_what_lies_among_the_images(tmp_path: Path, folder: str, evidence: str, inside: bool) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "a.png").touch()
    (tmp_path / "link").symlink_to("e")
    assert lies_in(tmp_path / folder, str(tmp_path / evidence)) == inside
    assert not lies_in(tmp_path / folder, f"{tmp_path / evidence}\0")
    if inside:
        with pytest.raises(UsageError, match="lies among the images"):
            refuse_inside(tmp_path / folder, str(tmp_path / evidence))


def test_a_manifest_holds_inputs_outputs_and_digests(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path)
    rows = [Record("\udcff\n.png", sha256="1" * 64), Record("gone").failed("no such file or directory")]
    case.jsonl.write_text("".join(map(jsonl_row, rows)), encoding="ascii")
    case.heatmaps.mkdir()
    (case.heatmaps / f"{'a' * 64}.png").write_bytes(b"picture")
    digest = write_manifest(case, MANIFEST)
    data = case.manifest.read_bytes()
    assert digest == hashlib.sha256(data).hexdigest()
    held = json.loads(data)
    assert [(os.fsencode(entry["path"]), entry["sha256"]) for entry in held["inputs"]] == [
        (b"\xff\n.png", "1" * 64),
        (b"gone", None),
    ]
    assert held["outputs"] == [
        {"path": f"heatmaps/{'a' * 64}.png", "bytes": 7, "sha256": hashlib.sha256(b"picture").hexdigest()},
        {
            "path": "results.jsonl",
            "bytes": case.jsonl.stat().st_size,
            "sha256": hashlib.sha256(case.jsonl.read_bytes()).hexdigest(),
        },
    ]
    assert held["model"]["backbone_digest"] == "b" * 64
    assert held["model"]["backbone_digest_trained_on"] == "d" * 64
    assert (held["started"], held["ended"]) == ("2026-01-01T00:00:00+00:00", "later")
    assert held["sessions"][0]["command"][2] == "\udcff"
    assert {"pytest", "numpy"} <= set(held["libraries"])
    assert write_manifest(case, MANIFEST) == digest


def test_a_case_without_rows(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path)
    case.jsonl.touch()
    write_manifest(case, MANIFEST)
    assert json.loads(case.manifest.read_bytes())["inputs"] == []


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path / "case")
    case.check(resume=False, force=False)
    case.path.mkdir()
    case.log.write_text("a stranger's log")
    with pytest.raises(UsageError, match=r"run\.log: was not written by aigdetect"):
        case.check(resume=False, force=False)
    case.log.write_text("2026-01-02T03:04:05Z of a scan that found no model")
    case.check(resume=False, force=False)
    (case.path / "precious").touch()
    with pytest.raises(UsageError, match="is not empty"):
        case.check(resume=False, force=False)
    case.check(resume=True, force=False)
    with pytest.raises(UsageError, match="precious: is no part of a case"):
        case.check(resume=False, force=True)
    with pytest.raises(UsageError, match="is no folder"):
        CaseFolder(case.path / "precious").check(resume=True, force=True)


def test_what_is_no_part_of_a_case_is_in_nobodys_way(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path / "case")
    case.heatmaps.mkdir(parents=True)
    names = (".DS_Store", "Thumbs.db", "desktop.ini", ".aigdetect-0.part", ".aigdetect-0.part-wal")
    for folder in (case.path, case.heatmaps):
        for name in names:
            (folder / name).write_bytes(b"no picture")
    case.check(resume=False, force=True)
    (case.heatmaps / f"{'a' * 64}.png").touch()
    case.clear(anew=False)
    assert {path.name for path in case.heatmaps.iterdir()} == {*names[:3], f"{'a' * 64}.png"}
    case.clear(anew=True)
    assert {path.name for path in case.heatmaps.iterdir()} == set(names[:3])
    assert {path.name for path in case.path.iterdir()} == {*names[:3], "heatmaps"}
    case.heatmaps.joinpath(".DS_Store").unlink()
    for name in names[1:3]:
        case.heatmaps.joinpath(name).unlink()
    case.heatmaps.rmdir()
    case.check(resume=False, force=False)  # as an empty folder


@pytest.mark.parametrize("name", ["results.jsonl", "report.html", "manifest.json", "heatmaps/photo.png"])
def test_a_case_takes_over_no_file_of_others(tmp_path: Path, name: str) -> None:
    case = CaseFolder(tmp_path / "case")
    case.heatmaps.mkdir(parents=True)
    (case.path / name).write_bytes(b"\x89PNG\r\n\x1a\nprecious")
    with pytest.raises(UsageError, match="was not written by aigdetect"):
        case.check(resume=False, force=True)
    (case.path / name).unlink()
    (case.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is no file of its own"):
        case.check(resume=False, force=True)


def test_a_manifest_lists_only_what_scans_write(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path)
    case.heatmaps.mkdir()
    for path in (case.jsonl, case.path / "letter.txt", case.heatmaps / "holiday.png"):
        path.touch()
    (case.heatmaps / f"{'a' * 64}.png").touch()
    write_manifest(case, MANIFEST)
    held = json.loads(case.manifest.read_bytes())
    assert [entry["path"] for entry in held["outputs"]] == [f"heatmaps/{'a' * 64}.png", "results.jsonl"]
