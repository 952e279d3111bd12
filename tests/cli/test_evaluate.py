"""``aigdetect eval`` as a process, on small trees and a tiny backbone."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image

from aigdetect.cli.app import main

REPOSITORY = Path(__file__).resolve().parents[2]
PEER = "path,score\n"


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return command_forks.run("eval", *arguments, cwd=cwd, env={"COLUMNS": "200"})


def plant(root: Path, folders: dict[str, int], *, ending: str = "png", seed: int = 0) -> Path:
    """Images of noise; the generated ones are striped."""
    rng = np.random.default_rng(seed)
    stripes = 120 * (np.arange(48) // 3 % 2)[None, :, None]
    for name, count in folders.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        pattern = stripes if {"1_fake", "ai", "fake"} & set(folder.parts) else 0
        for index in range(count):
            pixels = rng.integers(0, 120, (48, 48, 3)) + pattern
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.{ending}")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two generators, one of them nested, and what disks hold besides."""
    root = plant(
        tmp_path / "test",
        {
            "progan/cat/0_real": 6,
            "progan/cat/1_fake": 6,
            "progan/dog/0_real": 6,
            "progan/dog/1_fake": 6,
            "ADM/0_real": 10,
            "ADM/1_fake": 10,
        },
    )
    plant(root, {"dalle/1_fake": 10, "laion/0_real": 11}, ending="PNG")
    (root / ".DS_Store").write_bytes(b"x")
    (root / "dalle" / "1_fake" / "empty.png").write_bytes(b"")
    return root


@pytest.fixture
def mine(tiny_model: Any) -> list[object]:
    return ["--model", tiny_model.folder, "--weights", tiny_model.weights, "--device", "cpu"]


def peer(root: Path, file: Path, *, leave_out: int = 0) -> Path:
    """Scores of a detector that knows the labels."""
    paths = sorted(path for path in root.rglob("*.[pP][nN][gG]") if path.stat().st_size)
    lines = [f"{path},{0.9 if '1_fake' in path.parts else 0.2}\n" for path in paths[leave_out:]]
    file.write_text(PEER + "".join(lines))
    return file


# -- what is there ------------------------------------------------------------------------------------------


def test_list_says_what_is_there_and_scores_nothing(tree: Path) -> None:
    done = run("--data", tree.name, "--list", "--model", "no-such-model", cwd=tree.parent)
    assert done.returncode == 2  # what is asked for is checked all the same
    done = run("--data", tree.name, "--list", cwd=tree.parent)
    assert done.returncode == 0, done.stderr
    assert "test: 0_real/1_fake folders: 33 real and 32 generated images; left out: 1 empty" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["ProGAN", "GAN", "12", "12", "own"] in rows
    assert ["ADM", "diffusion", "10", "10", "own"] in rows
    assert ["DALL-E", "autoregressive", "11", "10", "laion"] in rows
    assert done.stdout.index("What was found") < done.stdout.index("Bias audit")
    assert done.stdout.index("Bias audit") < done.stdout.index("Protocol ours")
    assert "Results" not in done.stdout


@pytest.mark.parametrize("name", ["eval", "train"])
def test_links_inside_folders_are_followed_only_if_asked_for(tmp_path: Path, name: str) -> None:
    for folder in ("0_real", "1_fake"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "data" / folder / "a.png")
    (tmp_path / "data" / "1_fake" / "linked.png").symlink_to("a.png")
    told = {}
    for more in ((), ("--max-pixels", "5000", "--follow-symlinks")):
        done = command_forks.run(name, "--data", "data", "--list", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told[more] = done.stdout + done.stderr
    assert "left out: 1 symbolic links (--follow-symlinks follows them)" in told[()]
    assert "symbolic" not in told["--max-pixels", "5000", "--follow-symlinks"]


# -- a whole evaluation -------------------------------------------------------------------------------------


def test_a_model_and_a_peer_side_by_side(tree: Path, mine: list[object]) -> None:
    file = peer(tree, tree.parent / "peer.csv")
    done = run(
        "--data", tree.name, *mine, "--scores", f"peer={file}", "--bootstrap", 50, "--paper", cwd=tree.parent
    )
    assert done.returncode == 0, done.stderr
    order = ["What was found", "Bias audit", "Protocol ours", "Detectors", "Results", "The paper's tables"]
    assert [done.stdout.index(title) for title in order] == sorted(map(done.stdout.index, order))
    table = done.stdout[done.stdout.index("Average precision by generator") :]
    header, *rows = table.splitlines()[1:]
    assert header.split() == ["generator", "real", "generated", "tiny", "peer"]
    ours = next(row for row in rows if row.startswith("ProGAN"))
    assert ours.split()[:3] == ["ProGAN", "12", "12"]
    assert ours.rstrip().endswith("1.000 (1.000 to 1.000)")
    assert any(row.startswith("mean over 3 generators") for row in rows)
    assert "with 2 of 19 generators measured here" in done.stdout
    assert "Traceback" not in done.stderr


def test_parity_and_robustness_report_both_runs(tree: Path, mine: list[object]) -> None:
    done = run(
        *("--data", tree.name, *mine, "--bootstrap", 20),
        *("--parity", "jpeg:90", "--robustness", "blur:2,jpeg:50"),
        cwd=tree.parent,
    )
    assert done.returncode == 0, done.stderr
    assert "Results after jpeg:90 on both classes" in done.stdout
    robust = done.stdout[done.stdout.index("\nRobustness\n") :]
    names = [line.split()[0:2] for line in robust.splitlines() if line.startswith(("clean", "blur", "jpeg"))]
    assert [name[0] for name in names] == ["clean", "blur", "jpeg"]


def test_one_sided_data_is_not_defined_and_no_failure(tmp_path: Path, mine: list[object]) -> None:
    root = plant(tmp_path / "news", {"real/agency": 12})
    done = run("--data", root.name, *mine, "--bootstrap", 20, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "False-positive rate on real images alone" in done.stdout
    assert "no generated images" in done.stdout
    assert "nan" not in done.stdout.lower()


def test_an_unreadable_image_is_named_and_status_1(tree: Path, mine: list[object]) -> None:
    (tree / "progan" / "cat" / "0_real" / "0.png").write_bytes(b"no image at all")
    done = run("--data", tree.name, *mine, "--bootstrap", 0, cwd=tree.parent)
    assert done.returncode == 1
    assert "error: test/progan/cat/0_real/0.png: tiny, clean: " in done.stderr
    assert "without a score: 1 image, left out of its figures" in done.stdout
    assert "Average precision by generator" in done.stdout


def test_images_that_a_file_of_scores_lacks_are_named_and_status_1(tree: Path) -> None:
    file = peer(tree, tree.parent / "peer.csv", leave_out=1)
    file.write_text(file.read_text() + "/nowhere/x.png,0.5\n")
    done = run("--data", tree.name, "--scores", f"peer={file}", "--bootstrap", 0, cwd=tree.parent)
    assert done.returncode == 1
    assert "ADM/0_real/0.png: peer: the file of scores has no such image" in done.stderr
    assert "1 rows fit no image" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems restrict names")
def test_hostile_names_cannot_drive_the_terminal(tmp_path: Path, mine: list[object]) -> None:
    root = plant(tmp_path / "t", {"[red]\x1b[31m\nx/0_real": 2, "[red]\x1b[31m\nx/1_fake": 2})
    done = run("--data", root.name, *mine, "--bootstrap", 0, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[red]\\x1b[31m\\nx" in done.stdout


# -- reports, scores that are kept, and going on ------------------------------------------------------------


def report(tree: Path, mine: list[object], *more: object) -> subprocess.CompletedProcess[str]:
    return run("--data", tree.name, *mine, "--bootstrap", 20, "--report", "r", *more, cwd=tree.parent)


def stored(tree: Path) -> list[dict[str, str]]:
    with (tree.parent / "r" / "scores" / "tiny.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_second_report_costs_no_inference(tree: Path, mine: list[object], tiny_model: Any) -> None:
    done = report(tree, mine)
    assert done.returncode == 0, done.stderr
    results = json.loads((tree.parent / "r" / "results.json").read_text(encoding="utf-8"))
    assert results
    rows = stored(tree)
    assert len(rows) == 65
    assert {row["operation"] for row in rows} == {"clean"}
    # without the weights nothing can be scored
    again = report(tree, ["--model", tiny_model.folder, "--offline"], "--resume")
    assert again.returncode == 0, again.stderr
    assert stored(tree) == rows
    assert again.stdout == done.stdout


def test_experts_go_into_the_report(tree: Path, mine: list[object]) -> None:
    done = report(tree, mine, "--experts")
    assert done.returncode == 0, done.stderr
    assert "looking into tiny" in done.stderr
    results = json.loads((tree.parent / "r" / "results.json").read_text(encoding="utf-8"))
    (study,) = results["experts"]
    assert study["model"] == "tiny"
    assert study["images"] == 65


def test_an_older_report_is_kept_unless_told_otherwise(tree: Path, mine: list[object]) -> None:
    assert report(tree, mine).returncode == 0
    refused = report(tree, mine)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert report(tree, mine, "--force").returncode == 0


def test_scores_of_another_protocol_are_refused(tree: Path, mine: list[object]) -> None:
    assert report(tree, mine).returncode == 0
    refused = report(tree, mine, "--resume", "--protocol", "univfd")
    assert refused.returncode == 2
    assert "another protocol" in refused.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_stopped_and_resumed_no_score_is_lost_or_doubled(
    tree: Path, mine: list[object], sent: signal.Signals, status: int
) -> None:
    arguments = ("--data", tree.name, *mine, "--bootstrap", 0, "--report", "r", "--robustness", "blur,jpeg")
    process = command_forks.start("eval", *arguments, "--batch-size", 2, cwd=tree.parent)
    file = tree.parent / "r" / "scores" / "tiny.csv"
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_bytes().count(b"\n") > 20):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status
    assert (b"interrupted: everything finished so far is on disk" in errors) == (sent == signal.SIGINT)
    kept = file.read_bytes()
    file.write_bytes(kept[:-5])  # as if the last row had been cut short
    resumed = run(*arguments, "--resume", cwd=tree.parent)
    assert resumed.returncode == 0, resumed.stderr
    keys = [(row["path"], row["operation"]) for row in stored(tree)]
    assert len(keys) == len(set(keys)) == 65 * (1 + 4 + 7)
    assert kept.count(b"\n") < len(keys)
    last = kept[:-5].rindex(b"\n")
    assert file.read_bytes()[:last] == kept[:last]


def test_nothing_but_unreadable_images_is_status_2(tmp_path: Path, mine: list[object]) -> None:
    for name in ("0_real", "1_fake"):
        (tmp_path / "t" / name).mkdir(parents=True)
        (tmp_path / "t" / name / "a.png").write_bytes(b"no image")
    done = run("--data", "t", *mine, cwd=tmp_path)
    assert done.returncode == 2
    assert "none of 2 images has a score" in done.stderr


def test_json_is_all_that_is_printed(tree: Path, mine: list[object]) -> None:
    done = run("--data", tree.name, *mine, "--bootstrap", 0, "--json", cwd=tree.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


# -- bad usage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--data", "none"], "none"),
        (["--data", "test", "--protocol", "mine"], "'mine'"),
        (["--data", "test", "--model", "none"], "'none'"),
        (["--data", "test", "--scores", "none.csv"], "NAME=FILE.csv"),
        (["--data", "test", "--scores", "x=none.csv"], "none.csv"),
        (["--data", "test", "--parity", "gif:1"], "gif:1"),
        (["--data", "test", "--robustness", "melt"], "'melt'"),
        (["--data", "test", "--families", "none.yaml"], "none.yaml"),
        (["--data", "test", "--split", "dev"], "'dev'"),
        (["--data", "test", "--resume"], "--report"),
        (["--data", "test", "--experts"], "--report or --json"),
        (["--data", "test", "--experts", "--scores", "a=p.csv"], "--model"),
        (["--data", "test", "--scores", "a=p.csv", "--parity", "jpeg:90"], "--model"),
        (["--data", "test", "--scores", "a=p.csv", "--scores", "a=p.csv"], "'a'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(
    tree: Path,
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    peer(tree, tree.parent / "p.csv")
    monkeypatch.chdir(tree.parent)
    monkeypatch.setattr(sys, "argv", ["aigdetect", "eval", *arguments, "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert named in said.err
