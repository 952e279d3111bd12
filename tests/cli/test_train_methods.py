"""``aigdetect train --method`` as a process; what it writes is a model like any other."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_forks import Forks
from PIL import Image
from planted import texture, upsampled, write_data
from tiny_pairs import write_averaging_pair

from aigdetect.methods.registry import METHODS
from aigdetect.model.card import read_card


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    write_data(work / "data", "upsampled", count=20)
    return work


@pytest.fixture(scope="module")
def model(forks: Forks, work: Path) -> Path:
    arguments = ["--data", "data", "--out", "dct", "--method", "freqdct", "--set", "size=32"]
    done = forks.run("train", *arguments, "--device", "cpu", cwd=work)
    assert done.status == 0, done.stderr
    assert done.stdout == "dct\n"
    return work / "dct"


def test_methods_are_named_with_their_papers(forks: Forks, work: Path) -> None:
    done = forks.run("train", "--list-methods", cwd=work)
    assert done.status == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(METHODS)
    assert all(method.source in line for method, line in zip(METHODS.values(), lines, strict=True))


def test_the_card_says_the_method(model: Path) -> None:
    card = read_card(model)
    assert (card.method, card.hyperparameters["size"], card.preprocess.size) == ("freqdct", 32, 32)
    assert card.recipe["method"] == "freqdct"


def test_scan_writes_rows_a_page_and_heat_maps(forks: Forks, work: Path, model: Path) -> None:
    arguments = ["data", "--model", "dct", "--csv", "s.csv", "--html", "s.html", "--heatmap", "heat"]
    done = forks.run("scan", *arguments, "--device", "cpu", cwd=work)
    assert done.status == 0, done.stderr
    with (work / "s.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {"dct"}
    assert {row["precision"] for row in rows} == {"float32"}
    logits = {
        label: [float(row["logit"]) for row in rows if f"/{label}/" in row["path"]]
        for label in ("real", "fake")
    }
    assert min(logits["fake"]) > max(logits["real"])
    page = (work / "s.html").read_text(encoding="utf-8")
    assert "<bdi>none</bdi>" in page
    assert "digest of the weights it was trained on" not in page
    assert len(list((work / "heat").glob("*.png"))) == 40


def test_scan_asks_it_beside_a_mixture(forks: Forks, work: Path, model: Path, tiny_model: Any) -> None:
    mixture = ["data", "--model", tiny_model.folder, "--weights", tiny_model.weights, "--device", "cpu"]
    for name, arguments in {
        "mixture": mixture,
        "dct": ["data", "--model", "dct", "--device", "cpu"],
        "both": [*mixture, "--precision", "float32", "--also", "dct", "--workers", "0"],
    }.items():
        done = forks.run("scan", *arguments, "--jsonl", f"{name}.jsonl", "--force", cwd=work)
        assert done.status == 0, done.stderr
    told = {
        name: [json.loads(line) for line in (work / f"{name}.jsonl").read_bytes().splitlines()]
        for name in ("mixture", "dct", "both")
    }
    assert [(row["score_dct"], row["verdict_dct"]) for row in told["both"]] == [
        (row["score"], row["verdict"]) for row in told["dct"]
    ]
    assert [list(row.values())[:-2] for row in told["both"]] == [
        list(row.values()) for row in told["mixture"]
    ]
    refused = forks.run("scan", "data", "--model", "dct", "--also", "nothing", cwd=work)
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)
    assert "model 'nothing': no such folder" in refused.stderr


def test_eval_and_models_take_it(forks: Forks, work: Path, model: Path) -> None:
    done = forks.run("eval", "--data", "data", "--model", "dct", "--json", "--device", "cpu", cwd=work)
    assert done.status == 0, done.stderr
    (detector,) = json.loads(done.stdout)["runs"][0]["detectors"]
    assert "freqdct" in json.dumps(detector["facts"])
    assert forks.run("models", "info", "./dct", "--json", cwd=work).status == 0
    pulled = forks.run("models", "pull", "./dct", cwd=work)
    assert (pulled.status, pulled.stdout) == (0, "dct\n")
    assert "needs nothing more" in pulled.stderr


def test_models_are_fused_beside_their_own_figures(forks: Forks, work: Path, model: Path) -> None:
    rng = np.random.default_rng(5)
    for label, make in (("real", texture), ("fake", upsampled)):
        for origin in ("two", "three"):
            folder = work / "more" / label / f"{label}_{origin}"
            folder.mkdir(parents=True)
            for index in range(5):
                Image.fromarray(make(rng)).save(folder / f"{index}.png")
    both = ["--model", "dct", "--model", "dct", "--device", "cpu"]
    done = forks.run("eval", "--data", "more", *both, "--fuse", "--json", cwd=work)
    assert done.status == 0, done.stderr
    detectors = json.loads(done.stdout)["runs"][0]["detectors"]
    assert [detector["name"] for detector in detectors] == ["dct", "dct #2", "fused"]
    refused = forks.run("eval", "--data", "more", "--model", "dct", "--fuse", cwd=work)
    assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)
    assert "--fuse: needs two models" in refused.stderr
    single = forks.run("eval", "--data", "data", *both, "--fuse", "--quiet", cwd=work)
    assert (single.status, single.stderr.count("\n")) == (2, 1)
    assert "--fuse: needs images of two generators" in single.stderr


def test_a_method_that_looks_through_others_is_trained_and_scanned_without_them(
    forks: Forks, work: Path, model: Path
) -> None:
    write_averaging_pair(work / "pair", "mean")
    settings = ["--set", "size=64", "--set", "pretrained=false", "--device", "cpu"]
    command = ["train", "--data", "data", "--out", "blade", "--method", "aeroblade", *settings]
    missing = forks.run(*command, "--quiet", cwd=work)
    assert (missing.status, len(missing.stderr.splitlines())) == (2, 1)
    assert "error: aeroblade: needs an autoencoder" in missing.stderr
    assert "name it with --instrument" in missing.stderr
    assert not (work / "blade").exists()
    done = forks.run(*command, "--instrument", "pair", cwd=work)
    assert done.status == 0, done.stderr
    (work / "pair").rename(work / "gone")
    both = ["--model", "blade", "--also", "dct", "--device", "cpu", "--jsonl", "blade.jsonl"]
    done = forks.run("scan", "data", *both, cwd=work)
    assert done.status == 0, done.stderr
    rows = [json.loads(line) for line in (work / "blade.jsonl").read_bytes().splitlines()]
    real, fake = ([row for row in rows if f"/{label}/" in row["path"]] for label in ("real", "fake"))
    for score in ("score", "score_dct"):
        assert min(row[score] for row in fake) > max(row[score] for row in real)
    info = forks.run("models", "info", "./blade", cwd=work)
    assert info.status == 0
    assert read_card(work / "blade").data["instrument"]["digest"] in info.stdout


def test_calibrate_keeps_the_method(forks: Forks, work: Path, model: Path) -> None:
    arguments = ["--real", "data/real", "--fpr", "0.1", "--model", "dct", "--out", "calibrated"]
    done = forks.run("calibrate", *arguments, "--device", "cpu", cwd=work)
    assert done.status == 0, done.stderr
    card, before = read_card(work / "calibrated"), read_card(model)
    assert (card.method, card.hyperparameters) == (before.method, before.hyperparameters)
    assert card.calibration.fpr == 0.1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "freqdtc"], "did you mean freqdct"),
        (["--method", "freqdct", "--blocks", "2"], "blocks: 2 says nothing to the method freqdct"),
        (["--method", "freqdct", "--set", "size=3"], "size: 3 is below 8"),
        (["--method", "npr", "--set", "network=resnet51"], "timm has no 'resnet51'"),
        (["--method", "npr", "--precision", "bfloat16"], "npr calculates in float32"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(
    forks: Forks, work: Path, arguments: list[str], said: str
) -> None:
    done = forks.run("train", "--data", "data", "--out", "bad", "--quiet", *arguments, cwd=work)
    assert done.status == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not (work / "bad" / "model.yaml").exists()
