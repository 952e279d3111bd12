from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aigdetect.data.layouts import DataSet, Sample
from aigdetect.errors import UsageError
from aigdetect.evaluation.benchmark import build_benchmark
from aigdetect.evaluation.bias import BiasAudit
from aigdetect.evaluation.families import read_families
from aigdetect.evaluation.from_plan import (
    count_missing,
    evaluate,
    model_thresholds,
    open_store,
    score_missing,
    scores_thresholds,
)
from aigdetect.evaluation.plan import Plan, Request, find_models, make_plan, parity_operation
from aigdetect.evaluation.protocols import PROTOCOLS
from aigdetect.evaluation.robustness import parse_operations
from aigdetect.metrics.measure import Figure
from aigdetect.model.calibration import Calibration
from aigdetect.model.card import read_card
from aigdetect.scanning.record import Record


def test_thresholds_of_a_model_come_from_its_calibration(tiny_model: Any) -> None:
    card = read_card(tiny_model.folder)
    calibration = Calibration(2.0, -1.0, 300, 300, tuple(map(float, range(300))), (1.0,))
    model, ai, half = model_thresholds(replace(card, calibration=calibration))
    assert (model.name, ai.name, half.name) == ("model", "ai", "half")
    assert calibration.score(model.value) == pytest.approx(0.5)
    assert ai.value == calibration.thresholds(fpr=0.01).ai == 297
    assert half.value == 0
    assert "300 real and 300 generated held-out images" in model.origin


def test_thresholds_of_a_file_of_scores_are_a_matter_of_its_scale() -> None:
    assert {each.value for each in scores_thresholds("probability")} == {0.5}
    assert {each.value for each in scores_thresholds("score")} == {0.0}
    assert all("nothing was fitted" in each.origin for each in scores_thresholds("score"))


def plan(tmp_path: Path, operations: str = "blur:1") -> Plan:
    samples = tuple(Sample(str(tmp_path / f"{n}.png"), n % 2, "progan") for n in range(4))
    return Plan(
        request=Request(data=()),
        found=(),
        benchmark=build_benchmark(
            [DataSet(str(tmp_path), "0_real/1_fake folders", samples)], read_families()
        ),
        protocol=PROTOCOLS["ours"],
        models=(),
        foreign=(),
        parity=None,
        operations=parse_operations(operations),
    )


def test_a_model_is_not_loaded_where_nothing_is_missing(tmp_path: Path, tiny_model: Any) -> None:
    made = plan(tmp_path)
    (model,) = find_models([str(tiny_model.folder)])
    store = open_store(model, made.protocol, None)
    assert count_missing(store, made) == 8
    for form in ("clean", "blur:1"):
        for sample in made.benchmark.samples:
            store.add(sample, form, Record(sample.path, logit=0.5, score=0.5, log10_lr=0.0, verdict="ai"))

    def load() -> Any:
        raise AssertionError("loaded")

    assert count_missing(store, made) == 0
    assert list(score_missing(store, made, load=load)) == []
    with pytest.raises(AssertionError, match="loaded"):
        list(score_missing(open_store(model, made.protocol, None), made, load=load))


def test_models_of_one_name_are_numbered_and_kept_apart(tmp_path: Path, tiny_model: Any) -> None:
    first, second = find_models([str(tiny_model.folder)] * 2)
    assert (first.name, second.name) == ("tiny", "tiny #2")
    with open_store(first, PROTOCOLS["ours"], tmp_path), open_store(second, PROTOCOLS["ours"], tmp_path):
        pass
    assert {path.name for path in tmp_path.glob("*.csv")} == {"tiny.csv", "tiny__2.csv"}


def test_parity_crops_to_the_largest_view_and_comes_before_the_operations(
    tmp_path: Path, tiny_model: Any
) -> None:
    for name in ("0_real", "1_fake"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"x")
    made = make_plan(
        Request((tmp_path,), models=(str(tiny_model.folder),), parity="webp:75", robustness="blur:1")
    )
    assert made.parity is not None
    size = read_card(tiny_model.folder).preprocess.size
    assert made.parity.size == size
    assert [str(form) for form in made.forms[1:]] == [f"parity {size} webp:75", "blur:1"]
    assert made.forms[1] == parity_operation(made.parity)


def test_a_file_of_scores_cannot_take_a_models_name(tmp_path: Path, tiny_model: Any) -> None:
    with pytest.raises(UsageError, match="'tiny' is the name of another detector"):
        make_plan(Request((tmp_path,), models=(str(tiny_model.folder),), scores=("tiny=x.csv",)))


def test_robustness_is_told_as_means_over_generators(tmp_path: Path, tiny_model: Any) -> None:
    names = ("progan", "stargan", "dalle")
    samples = tuple(Sample(str(tmp_path / f"{name}{n}.png"), n % 2, name) for name in names for n in range(4))
    benchmark = build_benchmark([DataSet(str(tmp_path), "0_real/1_fake folders", samples)], read_families())
    models = find_models([str(tiny_model.folder)])
    made = replace(plan(tmp_path), benchmark=benchmark, models=models, request=Request(data=(), resamples=0))
    store = open_store(models[0], made.protocol, None)
    for sample in samples:
        for form in ("clean", "blur:1"):
            # after the blur, StarGAN's images are ranked the wrong way round
            swapped = form != "clean" and sample.generator == "stargan"
            logit = float(sample.label != swapped) - 0.5
            store.add(sample, form, Record(sample.path, logit=logit, score=0.5, log10_lr=0.0, verdict="ai"))
    audit = BiasAudit((), (), Figure(None), 0)
    clean, blurred = evaluate(made, [store], [audit]).detectors[0].robustness
    assert {group: figure.value for group, figure in clean.average_precision.items()} == {
        "mean over generators": 1.0,
        "GAN": 1.0,
        "autoregressive": 1.0,
    }
    assert {group: figure.value for group, figure in blurred.average_precision.items()} == {
        "mean over generators": pytest.approx(2.5 / 3),
        "GAN": 0.75,
        "autoregressive": 1.0,
    }
    assert blurred.accuracy["GAN"].value == 0.5
    assert blurred.drift.value == pytest.approx(1 / 3)
