"""A case folder: complete, with digests that hold, and never among the images."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
NAME = b"\xff <script>\n.png"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (b"a.png", b"b.png", NAME):
        pixels = rng.integers(0, 256, (80, 90, 3), np.uint8)
        Image.fromarray(pixels).save(folder / os.fsdecode(name), "PNG")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes.txt").write_text("no image")
    return folder


def scan(model: Any, *args: object) -> subprocess.CompletedProcess[str]:
    options = ["--model", model.folder, "--weights", model.weights, "--offline", "--device", "cpu"]
    return command_forks.run("scan", *args, *options)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_case_is_complete_and_its_digests_hold(images: Path, tmp_path: Path, tiny_model: Any) -> None:
    case = tmp_path / "case"
    before = {path: path.stat() for path in images.iterdir()}
    done = scan(tiny_model, images, "--case", case)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    manifest = json.loads((case / "manifest.json").read_bytes())
    assert done.stderr.splitlines()[-1] == f"manifest: SHA-256 {digest(case / 'manifest.json')}"
    outputs = {entry["path"]: entry for entry in manifest["outputs"]}
    present = {path.relative_to(case).as_posix() for path in case.rglob("*") if path.is_file()}
    assert set(outputs) | {"manifest.json"} == present
    assert {"results.jsonl", "results.csv", "report.html", "run.log", "results.journal"} <= present
    for name, entry in outputs.items():
        assert entry["sha256"] == digest(case / name)
        assert entry["bytes"] == (case / name).stat().st_size
    rows = [json.loads(line) for line in (case / "results.jsonl").read_bytes().splitlines()]
    assert {os.fsencode(Path(row["path"]).name) for row in rows} == {b"a.png", b"b.png", b"broken.png", NAME}
    assert manifest["inputs"] == [{"path": row["path"], "sha256": row["sha256"]} for row in rows]
    assert all(entry["sha256"] == digest(Path(entry["path"])) for entry in manifest["inputs"])
    flagged = {row["sha256"] for row in rows if row["verdict"] == "ai"}
    assert {path.stem for path in case.glob("heatmaps/*.png")} == flagged
    assert manifest["counts"]["error"] == 1
    assert manifest["counts"]["passed_over"] == 1
    assert manifest["model"]["name"] == "tiny"
    assert manifest["model"]["backbone_digest"] == manifest["model"]["backbone_digest_trained_on"]
    assert {"torch", "numpy", "pillow"} <= set(manifest["libraries"])
    assert manifest["started"] <= manifest["ended"]
    assert manifest["sessions"][0]["command"][:2] == ["aigdetect", "scan"]
    page = (case / "report.html").read_text(encoding="utf-8")
    assert "<script>\n.png" not in page
    assert page.count("data:image/webp") >= 3
    # what could not be scored has its row, too
    assert "broken.png" in page
    assert "4 images in all" in page
    log = (case / "run.log").read_text(encoding="ascii")
    assert "broken.png: " in log
    assert "1 could not be scored" in log
    # nothing was done to the images, and nothing written beside them
    assert {path: path.stat().st_mtime_ns for path in images.iterdir()} == {
        path: status.st_mtime_ns for path, status in before.items()
    }
    resumed = scan(tiny_model, images, "--case", case, "--resume")
    assert resumed.returncode == 1, resumed.stderr
    assert len(json.loads((case / "manifest.json").read_bytes())["sessions"]) == 2
    assert [json.loads(line) for line in (case / "results.jsonl").read_bytes().splitlines()] == rows


def test_heat_maps_of_all_scored_images(images: Path, tmp_path: Path, tiny_model: Any) -> None:
    done = scan(
        tiny_model, images, "--heatmap", tmp_path / "heat", "--html", tmp_path / "page.html", "--json"
    )
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    scored = {row["sha256"] for row in rows if row["status"] == "scored"}
    assert {path.name for path in (tmp_path / "heat").iterdir()} == {f"{sha256}.png" for sha256 in scored}
    with Image.open(tmp_path / "heat" / f"{min(scored)}.png") as picture:
        picture.load()
        assert picture.format == "PNG"
    # thumbnail and heat map of each
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("data:image/webp") == 3 * len(scored)


def test_rows_named_beside_a_case_are_those_of_the_case(
    images: Path, tmp_path: Path, tiny_model: Any
) -> None:
    case, csv, jsonl = tmp_path / "case", tmp_path / "o.csv", tmp_path / "o.jsonl"
    done = scan(tiny_model, images, "--case", case, "--csv", csv, "--jsonl", jsonl)
    assert f"written to {case}, {csv}, {jsonl}" in done.stderr
    assert csv.read_bytes() == (case / "results.csv").read_bytes()
    assert jsonl.read_bytes() == (case / "results.jsonl").read_bytes()


@pytest.mark.parametrize("place", [".", "inside/deeper"])
def test_a_case_among_the_images_is_refused(images: Path, place: str, tiny_model: Any) -> None:
    before = sorted(images.rglob("*"))
    done = scan(tiny_model, images, "--case", images / place)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert sorted(images.rglob("*")) == before


@pytest.mark.parametrize("place", [".", "heat"])
def test_heat_maps_among_the_images_are_refused(images: Path, place: str, tiny_model: Any) -> None:
    before = sorted(images.rglob("*"))
    done = scan(tiny_model, images, "--json", "--heatmap", images / place)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "lies among the images of" in done.stderr
    assert sorted(images.rglob("*")) == before


def test_a_case_begun_anew_holds_nothing_of_the_old_one(
    images: Path, tmp_path: Path, tiny_model: Any
) -> None:
    case = tmp_path / "case"
    scan(tiny_model, images, "--case", case)
    (case / "heatmaps").mkdir(exist_ok=True)
    done = scan(tiny_model, images / "a.png", "--case", case, "--force", "--fpr", "0.9")
    assert done.returncode == 0, done.stderr
    drawn = {path.stem for path in (case / "heatmaps").iterdir()}
    assert drawn <= {digest(images / "a.png")}
    (case / "letter.txt").write_text("precious")
    done = scan(tiny_model, images / "a.png", "--case", case, "--force")
    assert done.returncode == 2
    assert "letter.txt: is no part of a case" in done.stderr


def test_a_start_that_fails_leaves_a_case_as_it_was(images: Path, tmp_path: Path, tiny_model: Any) -> None:
    case = tmp_path / "case"
    scan(tiny_model, images, "--case", case)
    drawn = case / "heatmaps" / f"{'a' * 64}.png"
    drawn.parent.mkdir(exist_ok=True)
    facts = PngInfo()
    facts.add_text("Software", "aigdetect")
    Image.new("RGB", (8, 8)).save(drawn, pnginfo=facts)
    scan(tiny_model, images, "--case", case, "--resume")
    before = {path: path.read_bytes() for path in case.rglob("*") if path.is_file()}
    assert drawn in before
    options = ["--model", tiny_model.folder, "--offline", "--device", "cpu", "--case", case, "--force"]
    done = command_forks.run("scan", images, *options, "--weights", tmp_path / "none.safetensors")
    assert done.returncode == 2, done.stderr
    assert {path: path.read_bytes() for path in case.rglob("*") if path.is_file()} == before


def test_a_case_beside_a_single_image_is_refused(images: Path, tiny_model: Any) -> None:
    before = sorted(images.rglob("*"))
    done = scan(tiny_model, images / "a.png", "--case", images, "--force")
    assert done.returncode == 2
    assert "lies among the images" in done.stderr
    assert sorted(images.rglob("*")) == before


def test_a_folder_in_use_is_refused(images: Path, tmp_path: Path, tiny_model: Any) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "precious").write_text("precious")
    done = scan(tiny_model, images, "--case", tmp_path / "case")
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    done = scan(tiny_model, images, "--case", tmp_path / "other", "--html", tmp_path / "o.html")
    assert done.returncode == 2
    assert "holds its own page" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case", "images"]
