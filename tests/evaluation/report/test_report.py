from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter
from test_report_page import HOSTILE, NOT_VISIBLE, read

from aigdetect.data.audit import Leak
from aigdetect.errors import UsageError
from aigdetect.evaluation.bias import BiasAudit, ClassFacts, Share, Spread
from aigdetect.evaluation.experts import ExpertLoad, ExpertStudy, FeatureMap
from aigdetect.evaluation.published import published_tables
from aigdetect.evaluation.report.document import Facts, Table, Text
from aigdetect.evaluation.report.folder import (
    IMAGE_COLUMNS,
    SCHEMA_VERSION,
    check_report,
    images_csv,
    results_json,
    write_report,
)
from aigdetect.evaluation.report.sections import report_document
from aigdetect.evaluation.results import (
    MEASURES,
    BenchmarkSet,
    EvaluatedDetector,
    EvaluatedImage,
    EvaluatedSet,
    Evaluation,
    FoundData,
    ImageScore,
    ProtocolFacts,
    Run,
    Threshold,
)
from aigdetect.evaluation.robustness import LevelSummary
from aigdetect.metrics.measure import Figure

UNDEFINED = Figure(None, reason="no real images")


def audit(parity: str = "", leaks: tuple[Leak, ...] = (Leak("format", 0.95, "real JPEG", 40),)) -> BiasAudit:
    spread = Spread(1, 2, 3, 5)
    facts = ClassFacts(0, 20, (Share("JPEG", 1.0),), (Share("9x9", 1.0),), spread, *(spread,) * 4, 0.25)
    without = replace(facts, label=1, formats=(Share("PNG", 1.0),), qualities=None)
    return BiasAudit(
        (facts, without), leaks, Figure(0.8), 1, parity, ("small ones were enlarged",) if parity else ()
    )


def detector(
    name: str, images: tuple[EvaluatedImage, ...], *, kind: str = "model", seed: int = 0
) -> EvaluatedDetector:
    rng = np.random.default_rng(seed)
    scores = tuple(
        ImageScore(float(value), float(1 / (1 + np.exp(-value))), float(value) / 3, "uncertain")
        for value in rng.normal(size=len(images)) + np.array([image.label for image in images])
    )
    figures = {key: Figure(0.75, 0.7, 0.8) for key in MEASURES} | {"cllr": UNDEFINED}
    one = EvaluatedSet("ProGAN", "GAN", 10, 10, 1, figures)
    return EvaluatedDetector(
        name=name,
        kind=kind,
        source="models/x",
        scale="logit",
        thresholds=(Threshold("model", 0.25, "held-out images"), Threshold("half", 0.0, "the field's")),
        facts=(("backbone", "ViT"),),
        scores=(ImageScore(error="torn"), *scores[1:]),
        sets=(one,),
        families=(replace(one, name="GAN"),),
        mean=replace(one, name="mean over generators", family=""),
        pooled=replace(one, name="all images", family=""),
        unmatched=2,
    )


def evaluation(
    name: str = "progan", *, detectors: tuple[str, ...] = ("ours", "theirs"), parity: bool = False
) -> Evaluation:
    images = tuple(
        EvaluatedImage(f"/d/{name}/{label}/{i}.png", label, name if label else "coco", "GAN" if label else "")
        for label in (0, 1)
        for i in range(10)
    )
    runs = [Run("", audit(), tuple(detector(each, images, seed=i) for i, each in enumerate(detectors)))]
    if parity:
        runs.append(Run("jpeg:90", audit("jpeg:90", ()), (detector(detectors[0], images, seed=9),)))
    return Evaluation(
        data=(FoundData(f"/d/{name}", "real/fake folders", "", ((name, 0, 10), ("coco", 10, 0)), "1 empty"),),
        protocol=ProtocolFacts("ours", "the model's own view", ("no resize", "all images")),
        families=("GAN", "diffusion"),
        images=images,
        sets=(
            BenchmarkSet(
                name, name, "GAN", "/d", "folders", tuple(range(10)), tuple(range(10, 20)), left_out=3
            ),
        ),
        runs=tuple(runs),
        seed=7,
        resamples=100,
        command=f"aigdetect eval --data {name}",
        versions={"aigdetect": "0.1.0"},
        created="2026-01-02T03:04:05+00:00",
    )


def study(name: str = "ours") -> ExpertStudy:
    loads = tuple(ExpertLoad("block1_mlp", g, 1, 4, (0.25, 0.75), (0.5, 0.5)) for g in (None, "progan"))
    points = np.arange(24, dtype=np.float32).reshape(12, 2)
    maps = tuple(
        FeatureMap("block1_mlp", expert, points) for expert in ("expert 1 (rank 4)", "expert 2 (rank 8)")
    )
    experts = tuple(each.expert for each in maps)
    return ExpertStudy(
        name, experts, experts, ("block1_mlp",), loads, (("progan", 1),) * 12, maps, "class token", 12, 0
    )


def levels() -> tuple[LevelSummary, ...]:
    figures = {"all generators": Figure(0.9, 0.8, 0.95)}
    clean = LevelSummary("clean", 0, figures, figures, Figure(0.01), Figure(0.0))
    return clean, replace(clean, name="blur", level=2, drift=Figure(-0.2, -0.3, -0.1))


def with_robustness(made: Evaluation) -> Evaluation:
    run = made.runs[0]
    return replace(
        made,
        runs=(
            replace(run, detectors=tuple(replace(d, robustness=levels()) for d in run.detectors)),
            *made.runs[1:],
        ),
    )


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are made but not drawn, which takes most of the time and is tested elsewhere."""
    monkeypatch.setattr("aigdetect.evaluation.report.style.as_svg", lambda figure: b"<svg/>")
    monkeypatch.setattr("aigdetect.evaluation.report.style.as_png", lambda figure: b"png")


# --- results.json ------------------------------------------------------------------------------------------


def test_results_read_back_are_the_results() -> None:
    made = with_robustness(evaluation(parity=True))
    read_back = json.loads(results_json(made, [study()]))
    assert read_back["schema_version"] == SCHEMA_VERSION == 1
    assert set(read_back) == {
        *("schema_version", "created", "command", "versions", "seed", "resamples", "protocol", "data"),
        *("families", "sets", "runs", "published", "experts"),
    }
    assert TypeAdapter(ProtocolFacts).validate_python(read_back["protocol"]) == made.protocol
    assert TypeAdapter(tuple[FoundData, ...]).validate_python(read_back["data"]) == made.data
    assert read_back["sets"] == [
        {
            **{"name": "progan", "generator": "progan", "family": "GAN", "root": "/d", "layout": "folders"},
            **{"reals": "own", "left_out": 3, "real": 10, "generated": 10},
        }
    ]
    for run, plain in zip(made.runs, read_back["runs"], strict=True):
        assert set(plain) == {"parity", "audit", "detectors"}
        assert TypeAdapter(BiasAudit).validate_python(plain["audit"]) == run.audit
        for each, object_ in zip(run.detectors, plain["detectors"], strict=True):
            assert set(object_) == {
                *("name", "kind", "source", "scale", "thresholds", "facts", "unmatched"),
                *("sets", "families", "mean", "pooled", "robustness"),
            }
            assert object_["facts"] == [{"term": "backbone", "text": "ViT"}]
            for key, kind in (
                ("thresholds", tuple[Threshold, ...]),
                ("sets", tuple[EvaluatedSet, ...]),
                ("families", tuple[EvaluatedSet, ...]),
                ("mean", EvaluatedSet),
                ("pooled", EvaluatedSet),
                ("robustness", tuple[LevelSummary, ...]),
            ):
                assert TypeAdapter(kind).validate_python(object_[key]) == getattr(each, key)
    (expert,) = read_back["experts"]
    assert TypeAdapter(tuple[ExpertLoad, ...]).validate_python(expert["loads"]) == study().loads
    assert "maps" not in expert


def test_what_is_not_defined_is_null_with_its_reason() -> None:
    read_back = json.loads(results_json(evaluation()))
    figure = read_back["runs"][0]["detectors"][0]["mean"]["figures"]["cllr"]
    assert figure == {"value": None, "low": None, "high": None, "reason": "no real images"}


def test_results_are_ascii_and_finite_whatever_is_in_them() -> None:
    name = os.fsdecode(b"\xff\xfe\n") + "\u202e中\x1b"
    made = evaluation(name)
    run = made.runs[0]
    endless = replace(run.detectors[0], thresholds=(Threshold("ai", float("inf"), "above all"),))
    text = results_json(replace(made, runs=(replace(run, detectors=(endless,)),)))
    assert text.isascii()
    assert "Infinity" not in text
    read_back = json.loads(text)
    assert os.fsencode(read_back["data"][0]["root"]) == os.fsencode(f"/d/{name}")
    assert read_back["runs"][0]["detectors"][0]["thresholds"][0]["value"] is None


# --- images.csv --------------------------------------------------------------------------------------------


def test_csv_has_every_score_of_every_image() -> None:
    made = evaluation(parity=True)
    rows = list(csv.DictReader(io.StringIO(images_csv(made))))
    assert tuple(rows[0]) == IMAGE_COLUMNS
    assert len(rows) == 20 * 3
    assert [row["detector"] for row in rows[::20]] == ["ours", "theirs", "ours"]
    assert [row["parity"] for row in rows[::20]] == ["", "", "jpeg:90"]
    torn, scored = rows[0], rows[1]
    assert (torn["score"], torn["verdict"], torn["error"]) == ("", "", "torn")
    assert float(scored["score"]) == made.detectors[0].scores[1].score
    assert (scored["path"], scored["label"], scored["family"]) == ("/d/progan/0/1.png", "0", "")
    assert rows[10]["family"] == "GAN"


def test_csv_holds_no_formula_and_no_control_character() -> None:
    made = evaluation("=cmd()\x1b;-1\n")
    text = images_csv(replace(made, images=tuple(replace(i, path=f"={i.path}") for i in made.images)))
    for row in csv.DictReader(io.StringIO(text, newline="")):
        assert row["path"].startswith("'=")
        # the quote behind a text that ends a line would open the next cell where rows are split at semicolons
        assert row["label"] == "0" or row["generator"] == "'=cmd()\\x1b;'-1\n'"
    assert "\x1b" not in text


# --- the page ----------------------------------------------------------------------------------------------


def headings(made: Evaluation, *experts: ExpertStudy) -> list[str]:
    return [section.title for section in report_document(made, experts).sections]


@pytest.mark.usefixtures("undrawn")
def test_the_audit_comes_before_any_score_and_limits_are_said_twice() -> None:
    made = replace(with_robustness(evaluation(parity=True)), published=published_tables())
    assert headings(made, study()) == [
        "Data and protocol",
        "Bias audit of the data",
        "Detectors and thresholds",
        "Results (n = 10 real + 10 generated)",
        "Results after jpeg:90 on both classes (n = 10 real + 10 generated)",
        "Robustness",
        "The paper's tables",
        "Inside ours",
        "Limits",
    ]
    document = report_document(made)
    assert "no proof of authenticity" in document.subtitle
    assert "no proof of authenticity" in str(document.sections[-1].blocks[0])


@pytest.mark.usefixtures("undrawn")
def test_the_leak_is_a_warning_and_parity_is_named() -> None:
    bias = report_document(evaluation(parity=True)).sections[1].blocks
    warnings = [block.text for block in bias if isinstance(block, Text) and block.kind == "warning"]
    first, second = warnings
    assert "as stored tell the classes apart by format (AUC 0.95)" in first
    assert "after jpeg:90 on both classes alike tell the classes apart by all facts together (0.80)" in second
    assert any("small ones were enlarged" in block.text for block in bias if isinstance(block, Text))


@pytest.mark.usefixtures("undrawn")
def test_data_protocol_and_detectors_are_told() -> None:
    sections = {section.title: section for section in report_document(evaluation()).sections}
    (facts,) = (block for block in sections["Data and protocol"].blocks if isinstance(block, Facts))
    told = dict(facts.pairs)
    assert told["/d/progan"] == "real/fake folders: 10 real and 10 generated images; left out: 1 empty"
    assert told["protocol ours"] == "no resize; all images"
    assert told["command"] == "aigdetect eval --data progan"
    ours = dict(sections["Detectors and thresholds"].blocks[0].pairs)
    assert ours["threshold model"] == "0.25 (held-out images)"
    assert ours["without a score"] == "1 image, left out of its figures"
    assert ours["fitting no image"] == "2 rows"


@pytest.mark.usefixtures("undrawn")
def test_plots_of_a_whole_report_have_names_of_their_own() -> None:
    made = with_robustness(evaluation(parity=True))
    names = [plot.name for plot in report_document(made, [study(), study("ours!")]).plots]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert {"generators", "roc", "roc-parity", "reliability", "scores", "robustness-drift"} <= set(names)
    assert {"expert-load-1-ours", "expert-maps-2-ours"} <= set(names)


@pytest.mark.usefixtures("undrawn")
def test_only_real_images_leave_out_what_cannot_be_drawn() -> None:
    made = evaluation()
    reals = tuple(image for image in made.images if not image.label)
    alone = replace(made.sets[0], family="real", generated=())
    run = made.runs[0]
    detectors = tuple(replace(each, scores=each.scores[:10]) for each in run.detectors)
    made = replace(made, images=reals, sets=(alone,), runs=(replace(run, detectors=detectors),))
    document = report_document(made)
    assert [plot.name for plot in document.plots] == ["scores"]
    tables = [block for section in document.sections for block in section.blocks if isinstance(block, Table)]
    assert any("False-positive rate on real images alone" in table.caption for table in tables)


@pytest.mark.usefixtures("undrawn")
def test_a_detector_without_any_score_of_an_image_is_no_obstacle() -> None:
    made = evaluation()
    run = made.runs[0]
    mute = replace(run.detectors[1], scores=(ImageScore(error="torn"),) * 20)
    document = report_document(replace(made, runs=(replace(run, detectors=(run.detectors[0], mute)),)))
    assert [plot.name for plot in document.plots] == ["generators", "roc", "reliability", "scores"]


# --- the folder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOSTILE[:4], HOSTILE[6], HOSTILE[9], HOSTILE[10]])
@pytest.mark.usefixtures("undrawn")
def test_a_whole_report_with_a_hostile_name(name: str, tmp_path: Path) -> None:
    write_report(evaluation(name, detectors=(name, "other")), tmp_path / "r", experts=[study(name)])
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    reader = read(page)
    assert not NOT_VISIBLE.search(page)
    assert {tag for tag, _ in reader.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "nav", "a", "main"),
        *("section", "dl", "dt", "dd", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "sup"),
        *("small", "ol", "li", "figure", "figcaption", "img", "strong", "span"),
    }
    assert (tmp_path / "r" / "report.md").read_text(encoding="utf-8").count("\n## ") == 6


def test_a_report_is_a_whole_folder(tmp_path: Path) -> None:
    made = evaluation()
    folder = tmp_path / "new" / "r"
    written = write_report(made, folder, experts=[study()])
    assert written[-1] == folder / "results.json"
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in written if path.suffix != ".png"} == {
        *("images.csv", "report.md", "report.html", "results.json")
    }
    pngs = [path for path in written if path.suffix == ".png"]
    assert {path.stem for path in pngs} == {plot.name for plot in report_document(made, [study()]).plots}
    for path in pngs:
        assert Image.open(path).format == "PNG"
        assert f"figures/{path.name}" in (folder / "report.md").read_text(encoding="utf-8")
    assert (folder / "results.json").read_text(encoding="utf-8") == results_json(made, [study()])


@pytest.mark.usefixtures("undrawn")
def test_a_second_report_replaces_the_first_one(tmp_path: Path) -> None:
    write_report(evaluation(parity=True), tmp_path)
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "ours.csv").write_text("kept")
    assert (tmp_path / "figures" / "roc-parity.png").exists()
    write_report(evaluation(), tmp_path)
    assert not (tmp_path / "figures" / "roc-parity.png").exists()
    assert (tmp_path / "scores" / "ours.csv").read_text() == "kept"


@pytest.mark.usefixtures("undrawn")
def test_the_same_report_twice_is_the_same_bytes(tmp_path: Path) -> None:
    one, other = (write_report(evaluation(), tmp_path / name, experts=[study()]) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_fails_half_way_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(evaluation(), tmp_path)
    whole = (tmp_path / "report.html").read_bytes()
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "report.html":
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match=r"report\.html: cannot be written \(No space left on device\)"):
        write_report(evaluation(), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == whole
    assert not (tmp_path / "results.json").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_check_report(tmp_path: Path) -> None:
    check_report(tmp_path / "not" / "yet")
    assert not (tmp_path / "not").exists()
    (tmp_path / "scores").mkdir()
    check_report(tmp_path)
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="holds files that are no report"):
        check_report(tmp_path)
    (tmp_path / "results.json").touch()
    with pytest.raises(UsageError, match="holds a report; use --force"):
        check_report(tmp_path)
    check_report(tmp_path, force=True)
    for place in (tmp_path / "holiday.jpg", tmp_path / "holiday.jpg" / "r"):
        with pytest.raises(UsageError, match="is a file; name a folder"):
            check_report(place, force=True)


@pytest.mark.parametrize(
    "name", ["results.json", "images.csv", "report.html", "report.md", "figures/holiday.png"]
)
def test_a_report_takes_no_strangers_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\nprecious")
    with pytest.raises(UsageError, match=r"was not written by aigdetect|is no part of a report"):
        check_report(tmp_path, force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED: root may write anywhere")
def test_check_report_without_permission(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="no permission"):
        check_report(tmp_path / "closed" / "r")


# --- in a browser ------------------------------------------------------------------------------------------


@pytest.fixture
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("THE REPORT IS NOT TESTED IN A BROWSER: there is no Chromium")


def browse(chromium: str, home: Path, *options: Any) -> str:
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={home}",
        "--no-first-run",
    ]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, timeout=60, check=True)
    return done.stdout.decode("utf-8")


def test_a_browser_shows_the_page_and_runs_nothing(chromium: str, tmp_path: Path) -> None:
    attack = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    write_report(evaluation(attack, detectors=(attack,)), tmp_path / "r")
    page = (tmp_path / "r" / "report.html").as_uri()
    shown = browse(chromium, tmp_path / "home", "--dump-dom", page)
    title = re.search(r"<title>(.*?)</title>", shown)
    assert title is not None
    assert title[1].startswith("Evaluation of 1 detector on 10 real images")
    # a plot that cannot be drawn has no size; a page with one cannot have this height
    picture = tmp_path / "page.png"
    browse(chromium, tmp_path / "home", f"--screenshot={picture}", "--window-size=1000,3000", page)
    drawn = np.asarray(Image.open(picture).convert("RGB"))
    blue = (
        np.abs(drawn.astype(int) - (0x80, 0xB8, 0xD8)).max(axis=-1) < 24
    ).sum()  # pale bars of the first plot
    assert blue > 500


def test_a_report_is_known_as_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_report(evaluation(), folder, experts=[study()])
    check_report(folder, force=True)
    (folder / "results.json").unlink()  # as a crash leaves it
    check_report(folder, force=True)
    (folder / "figures" / "holiday.png").write_bytes(b"\x89PNG\r\n\x1a\nprecious")
    with pytest.raises(UsageError, match=r"holiday\.png: was not written by aigdetect"):
        check_report(folder, force=True)
