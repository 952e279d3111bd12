from __future__ import annotations

import csv
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.evaluation.results import ImageScore
from aigdetect.evaluation.score_store import COLUMNS, ScoreStore
from aigdetect.model.calibration import Calibration, KindCalibration
from aigdetect.scanning.record import Record

SUBJECT = {"model": "m", "protocol": "ours"}
CALIBRATION = Calibration(2.0, -1.0, 999, 999, (-1.0,), (1.0,))


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    names = ["a.png", "=b.png", os.fsdecode(b"\xff\n.png"), "é.png"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return [Sample(str(tmp_path / name), 1, "g") for name in names]


def record(sample: Sample, logit: float) -> Record:
    return Record(
        sample.path,
        sha256=f"digest of {Path(sample.path).name}",
        status="scored",
        verdict="ai",
        score=0.75,
        logit=logit,
        log10_lr=1.5,
        precision="float32",
    )


def fresh(
    tmp_path: Path,
    subject: dict[str, str] = SUBJECT,
    calibration: Calibration = CALIBRATION,
    kinds: tuple[str, ...] = (),
) -> ScoreStore:
    return ScoreStore(tmp_path / "scores", "m", subject, calibration, kinds)


def fill(tmp_path: Path, samples: list[Sample]) -> Path:
    with fresh(tmp_path) as store:
        for number, sample in enumerate(samples):
            store.add(sample, "clean", record(sample, number / 3))
    return tmp_path / "scores" / "m.csv"


def reread(tmp_path: Path) -> ScoreStore:
    store = fresh(tmp_path)
    store.read()
    return store


def test_scores_come_back_bit_for_bit(tmp_path: Path, samples: list[Sample]) -> None:
    file = fill(tmp_path, samples)
    store = reread(tmp_path)
    assert store.missing(samples, "clean") == []
    assert [store.score(s, "clean") for s in samples] == [
        ImageScore(n / 3, CALIBRATION.score(n / 3), CALIBRATION.log10_lr(n / 3), verdict)
        for n, verdict in enumerate(["real", "real", "ai", "ai"])
    ]
    assert store.missing(samples, "blur:1") == samples
    assert store.precisions == {"float32"}
    assert store.digest(samples[0]) == "digest of a.png"
    assert store.digest(Sample("other.png", 1, "g")) == ""
    assert store.count_known(samples, {"digest of a.png", "digest of é.png", "digest of another"}) == 2
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["path"], rows[0]["label"], rows[0]["generator"]) == (samples[0].path, "1", "g")


def test_going_on_keeps_the_file_as_it_was(tmp_path: Path, samples: list[Sample]) -> None:
    before = fill(tmp_path, samples).read_bytes()
    for _ in range(2):
        with reread(tmp_path):
            pass
    assert (tmp_path / "scores" / "m.csv").read_bytes() == before


def test_cut_anywhere_whole_rows_are_kept_and_no_row_is_made_up(
    tmp_path: Path, samples: list[Sample]
) -> None:
    file = fill(tmp_path, samples)
    whole = file.read_bytes()
    for end in range(0, len(whole), 7):
        file.write_bytes(whole[:end])
        store = reread(tmp_path)
        kept = [s for s in samples if store.score(s, "clean").score is not None]
        assert kept == samples[: len(kept)]
        assert [store.score(s, "clean").score for s in kept] == [n / 3 for n in range(len(kept))]
    file.write_bytes(whole[:-10])
    with reread(tmp_path) as store:
        assert store.missing(samples, "clean") == samples[3:]
        store.add(samples[3], "clean", record(samples[3], 1.0))
    assert file.read_bytes() == whole


def test_another_calibration_judges_the_same_logits_anew(tmp_path: Path, samples: list[Sample]) -> None:
    """A model that was recalibrated into a folder of the same name has the same logits, and other scores."""
    fill(tmp_path, samples)
    other = Calibration(0.5, 9.0, 99, 29, (-9.0,), (-6.5,))
    store = fresh(tmp_path, calibration=other)
    store.read()
    assert store.missing(samples, "clean") == []
    assert [store.score(s, "clean") for s in samples] == [
        ImageScore(n / 3, other.score(n / 3), other.log10_lr(n / 3), "ai") for n in range(4)
    ]
    assert store.score(samples[3], "clean").log10_lr == pytest.approx(math.log10(99))


def test_a_verdict_that_was_held_back_stays_so_while_its_reason_holds(
    tmp_path: Path, samples: list[Sample]
) -> None:
    def held(calibration: Calibration, *kinds: str) -> list[str | None]:
        store = fresh(tmp_path, calibration=calibration, kinds=kinds)
        store.read()
        return [store.score(sample, "clean").verdict for sample in samples]

    few = KindCalibration(3, 1, (-1.0,), (0.0,), 1.0)
    by_kind = replace(CALIBRATION, kinds={"drawing": few})
    with fresh(tmp_path, calibration=by_kind) as store:
        for sample, kind in zip(samples, [None, "drawing", "photograph", "drawing"], strict=True):
            kept_back = kind != "photograph"  # the first one is cut off, and its kind unknown
            made = replace(record(sample, 2.0), kind=kind, verdict="uncertain" if kept_back else "ai")
            store.add(sample, "clean", made)
    assert held(by_kind, "drawing") == ["uncertain", "uncertain", "ai", "uncertain"]
    # of a kind that is told apart, and of which no real image is known, nothing is called ai
    assert held(CALIBRATION, "drawing") == ["uncertain", "uncertain", "ai", "uncertain"]
    enough = replace(few, real_count=100, real_sources=9)
    assert held(replace(CALIBRATION, kinds={"drawing": enough}), "drawing") == ["uncertain", "ai", "ai", "ai"]


def test_failures_are_tried_again(tmp_path: Path, samples: list[Sample]) -> None:
    with fresh(tmp_path) as store:
        store.add(samples[0], "clean", Record(samples[0].path).failed("cannot be read"))
        assert store.score(samples[0], "clean").error == "cannot be read"
    assert "cannot be read" in (tmp_path / "scores" / "m.csv").read_text(encoding="utf-8")
    assert reread(tmp_path).missing(samples[:1], "clean") == samples[:1]


def test_a_changed_image_is_scored_again(tmp_path: Path, samples: list[Sample]) -> None:
    fill(tmp_path, samples)
    Path(samples[0].path).write_bytes(b"changed")
    assert reread(tmp_path).missing(samples, "clean") == samples[:1]


@pytest.mark.parametrize("term", ["model", "protocol"])
def test_scores_of_another_subject_are_refused(tmp_path: Path, samples: list[Sample], term: str) -> None:
    fill(tmp_path, samples)
    other = fresh(tmp_path, {**SUBJECT, term: "other"})
    with pytest.raises(UsageError, match=rf"holds scores of another {term} \(.*, now other\); .*--force"):
        other.read()


@pytest.mark.parametrize("damage", ["m.csv", "m.json"])
def test_damaged_files_are_refused(tmp_path: Path, samples: list[Sample], damage: str) -> None:
    fill(tmp_path, samples)
    file = tmp_path / "scores" / damage
    file.write_text(file.read_text(encoding="utf-8").replace("0.33", "much").replace("{", ""))
    with pytest.raises(UsageError, match="cannot be read"):
        reread(tmp_path).read()


def test_without_a_folder_all_stays_in_memory(tmp_path: Path, samples: list[Sample]) -> None:
    before = sorted(tmp_path.iterdir())
    with ScoreStore(None, "m", SUBJECT, CALIBRATION) as store:
        store.add(samples[0], "clean", record(samples[0], 2.0))
    assert store.score(samples[0], "clean").score == 2.0
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"), fresh(tmp_path):
        pass


def test_scores_of_an_older_version_are_refused(tmp_path: Path, samples: list[Sample]) -> None:
    file = fill(tmp_path, samples)
    rows = [line.split(",") for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    file.write_text("".join(",".join(row[:-2] + row[-1:]) + "\n" for row in rows))
    head = file.with_suffix(".json")
    head.write_text(head.read_text().replace('"version": 3', '"version": 2'))
    with pytest.raises(UsageError, match=r"another version \(2, now 3\); .*--force"):
        reread(tmp_path)
