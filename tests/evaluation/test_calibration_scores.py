from __future__ import annotations

from pathlib import Path

from aigdetect.data.layouts import Sample
from aigdetect.evaluation.calibration_scores import SCORES_NAME, remove_scores, take_scores
from aigdetect.evaluation.score_store import ScoreStore
from aigdetect.model.calibration import Calibration
from aigdetect.scanning.record import Record

CALIBRATION = Calibration(1.0, 0.0, 99, 99, (-1.0,), (1.0,))


def stored(folder: Path, sample: Sample, logit: float | None, sha256: str) -> None:
    store = ScoreStore(folder / SCORES_NAME, "calibration", {"model": "m"}, CALIBRATION)
    store.read()
    with store:
        status = "error" if logit is None else "scored"
        score = None if logit is None else 0.5
        store.add(
            sample, "clean", Record(sample.path, sha256=sha256, status=status, score=score, logit=logit)
        )


def test_every_content_counts_once_in_its_class_whenever_it_was_scored(tmp_path: Path) -> None:
    samples = [Sample(str(tmp_path / f"{index}.png"), int(index == 3), "g") for index in range(5)]
    for number, (sample, sha256) in enumerate(zip(samples, ["a", "b", "a", "a", "c"], strict=True)):
        Path(sample.path).write_bytes(sha256.encode())
        stored(tmp_path, sample, None if sha256 == "c" else float(number), sha256)
    store = ScoreStore(tmp_path / SCORES_NAME, "calibration", {"model": "m"}, CALIBRATION)
    store.read()
    scores = take_scores(store, samples)
    assert scores.samples == [samples[0], samples[1], samples[3]]
    assert scores.logits == [0.0, 1.0, 3.0]
    assert (scores.failed, scores.copies) == (1, 1)
    remove_scores(tmp_path)
    assert not (tmp_path / SCORES_NAME).exists()
