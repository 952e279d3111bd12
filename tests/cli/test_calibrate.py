"""``aigdetect calibrate`` as a process, on a tiny model and small noise images."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from aigdetect.cli.app import main
from aigdetect.evaluation.score_store import ScoreStore
from aigdetect.locks import alone_in
from aigdetect.model.card import read_card


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return command_forks.run(*arguments, cwd=cwd, env={"COLUMNS": "200"})


@dataclass(frozen=True)
class Known:
    """A tree of ``real`` and ``fake`` images, and the logits that a scan gives them, ascending."""

    tree: Path
    real: list[float]
    fake: list[float]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any) -> Known:
    """Noise and stripes; what the random model takes for more generated on average is called fake."""
    work = tmp_path_factory.mktemp("calibrate")
    rng = np.random.default_rng(0)
    stripes = 120 * (np.arange(48) // 3 % 2)[None, :, None]
    for name, count, pattern in (("noise", 45, 0), ("stripes", 24, stripes)):
        (work / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 60 + 60 * (index % 3), (48, 48, 3)) + pattern
            Image.fromarray(pixels.astype(np.uint8)).save(work / name / f"{index}.png")
    done = run(
        *("scan", "noise", "stripes", "--jsonl", "out.jsonl", "--device", "cpu", "--quiet"),
        *("--model", tiny_model.folder, "--weights", tiny_model.weights),
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (work / "out.jsonl").read_text().splitlines()]
    logits = {
        name: sorted(row["logit"] for row in rows if row["path"].startswith(name))
        for name in ("noise", "stripes")
    }
    lower, higher = sorted(logits, key=lambda name: np.mean(logits[name]))
    tree = work / "data"
    tree.mkdir()
    (work / lower).rename(tree / "real")
    (work / higher).rename(tree / "fake")
    return Known(tree, logits[lower], logits[higher])


@pytest.fixture
def work(known: Known, tmp_path: Path) -> Path:
    """A folder with a copy of the tree."""
    shutil.copytree(known.tree, tmp_path / "data")
    return tmp_path


def options(tiny_model: Any) -> list[object]:
    return ["--model", tiny_model.folder, "--weights", tiny_model.weights, "--device", "cpu"]


def limit(reals: list[float], fpr: float, slope: float, intercept: float) -> float:
    """The threshold ``ai`` by the rule of split conformal prediction, written down anew."""
    n = len(reals)
    beyond = max(k for k in range(n) if k == 0 or (k + 1) / (n + 1) <= fpr + 1e-12)
    return max(reals[n - 1 - beyond], -intercept / slope)


def test_new_thresholds_that_scan_then_keeps(work: Path, known: Known, tiny_model: Any) -> None:
    (work / "data" / "real" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no image")
    arguments = ["--data", "data", "--out", "mine", "--fpr", "0.1", "--fnr", "0.1"]
    done = run("calibrate", *arguments, *options(tiny_model), cwd=work)
    assert done.returncode == 1, done.stderr
    assert done.stdout == "mine\n"
    assert "broken.png: " in done.stderr
    card = read_card(work / "mine")
    made, reals = card.calibration, known.real
    assert card.name == "mine"
    assert (made.real_count, made.generated_count, made.fpr) == (len(reals), len(known.fake), 0.1)
    assert made.thresholds().ai == pytest.approx(limit(reals, 0.1, made.slope, made.intercept), abs=1e-3)
    flagged = sum(value > made.thresholds().ai for value in reals)
    told = card.metrics["calibration"]["real_called_ai"]
    assert (told["count"], told["total"]) == (flagged, len(reals))
    bound = stats.beta.ppf(0.95, flagged + 1, len(reals) - flagged)
    assert told["bound"] == pytest.approx(bound, abs=1e-4)
    assert sum(card.data["calibration"]["real"].values()) == len(reals)
    assert card.data["calibration"]["command"].startswith("aigdetect calibrate --data data --out mine")
    (work / "data" / "real" / "broken.png").unlink()
    scan = run(
        *("scan", "data", "--json", "--model", "mine", "--device", "cpu", "--weights", tiny_model.weights),
        cwd=work,
    )
    assert scan.returncode == 0, scan.stderr
    rows = [json.loads(line) for line in scan.stdout.splitlines()]
    assert sum(row["verdict"] == "ai" for row in rows if "real" in Path(row["path"]).parts) == flagged
    assert {row["model"] for row in rows} == {"mine"}


def test_real_images_alone(work: Path, known: Known, tiny_model: Any) -> None:
    shutil.copy(next((work / "data" / "real").iterdir()), work / "data" / "real" / "copy.png")
    done = run(
        *("calibrate", "--real", "data/real", "--out", "mine", "--fpr", "0.05", "--json"),
        *options(tiny_model),
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    before = read_card(tiny_model.folder).calibration
    assert (told["slope"], told["intercept"]) == (before.slope, before.intercept)
    assert told["thresholds"]["real"] == before.thresholds().real
    expected = limit(known.real, 0.05, before.slope, before.intercept)
    assert told["thresholds"]["ai"] == pytest.approx(expected, abs=1e-3)
    assert told["rates"]["real_called_ai"]["total"] == len(known.real)
    assert told["images"]["real"] == {"real": len(known.real)}
    assert "exact copies of other images left out: 1" in done.stderr
    assert "with 95 % confidence" in done.stderr
    assert "stay what they were" in done.stderr


def test_a_run_that_was_interrupted_goes_on_to_the_same_model(
    work: Path,
    tiny_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (work / "data" / "real" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no image")
    shutil.copy(next((work / "data" / "fake").iterdir()), work / "data" / "fake" / "copy.png")
    arguments = ["--data", "../data", "--out", "mine", "--fpr", "0.1", "--fnr", "0.1"]

    def calibrate(folder: str, *more: str, precision: str = "float32") -> tuple[int, str]:
        (work / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(work / folder)
        given = [*arguments, *model, "--precision", precision, *more]
        monkeypatch.setattr(sys, "argv", ["aigdetect", "calibrate", *given])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    model = [str(each) for each in options(tiny_model)]
    assert calibrate("whole")[0] == 1
    add, calls = ScoreStore.add, []

    def interrupted(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 40:
            raise KeyboardInterrupt
        add(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ScoreStore, "add", interrupted)
        status, said = calibrate("stopped")
    assert status == 130
    assert "--resume goes on with the images that have no score yet" in said
    status, said = calibrate("stopped")
    assert status == 2
    assert "mine: holds a run that was stopped; add --resume to go on, or --force to start anew" in said
    status, said = calibrate("stopped", "--resume", precision="bfloat16")
    assert status == 2
    assert "holds scores of another precision (float32, now bfloat16)" in said
    status, said = calibrate("stopped", "--resume")
    assert status == 1
    assert "scored already: 3" in said
    assert "broken.png" in said
    assert "exact copies of other images left out: 1" in said
    whole, resumed = (
        {path.name: path.read_bytes() for path in (work / name / "mine").iterdir()}
        for name in ("whole", "stopped")
    )
    assert sorted(whole) == ["adapter.safetensors", "model.yaml"]
    assert resumed == whole


def test_a_folder_that_another_run_writes_into(
    work: Path, tiny_model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    (work / "mine").mkdir()
    arguments = ["--real", "data/real", "--out", "mine", "--fpr", "0.05", "--model", str(tiny_model.folder)]
    monkeypatch.setattr(sys, "argv", ["aigdetect", "calibrate", *arguments])
    with alone_in(work / "mine"), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: mine: another run is writing into it; wait for it, or choose another --out"
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--real", "data/real", "--out", "m", "--force", "--resume"], "--force and --resume"),
        (
            ["--real", "data/real", "--out", "m", "--fpr", "0.001"],
            "--fpr 0.001 takes 999 real images or more",
        ),
        (
            ["--data", "data", "--out", "m", "--fpr", "0.1", "--fnr", "0.001"],
            "--fnr 0.001 takes 999 generated",
        ),
        (["--data", "data/fake", "--out", "m"], "no real images to calibrate on"),
        (["--out", "m"], "--data or --real"),
        (["--real", "data/real", "--out", "m", "--fpr", "2"], "--fpr: 2"),
        (
            ["--real", "data/real", "--out", "m", "--fpr", "0.05", "--fnr", "0.1"],
            "--fnr: needs generated images",
        ),
        (["--real", "data/real", "--out", "data"], "data: is in use"),
        (["--real", "none", "--out", "m"], "no real images to calibrate on"),
        (["--real", "data/real", "--out", "m", "--model", "none"], "'none'"),
        (["--data", "data", "--real", "data/fake", "--out", "m"], "both as real and as generated"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(
    work: Path,
    tiny_model: Any,
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = [] if "--model" in arguments else ["--model", str(tiny_model.folder)]
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "argv", ["aigdetect", "calibrate", *arguments, *model, "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    # a path that leads nowhere is named on a line of its own
    lines = [line for line in said.err.splitlines() if not line.startswith("error: none:")]
    assert len(lines) == 1
    assert named in lines[0]
    assert not (work / "m").exists()
