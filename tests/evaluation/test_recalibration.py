from __future__ import annotations

import io
import math
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.evaluation.recalibration import (
    Recalibration,
    exact_rate,
    find_reals,
    known_sources,
    recalibrate,
    require_support,
)
from aigdetect.model.calibration import Calibration, KindCalibration
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess

CARD = ModelCard(
    name="old",
    backbone="ViT-B-16",
    backbone_digest="d" * 64,
    preprocess=Preprocess(224, (0.5,) * 3, (0.5,) * 3, ("center_crop",)),
    adapter=AdapterCard(0, ("mlp",), 8, (4, 8, 16), None, 0),
    adapter_sha256="a" * 64,
    calibration=Calibration(2.0, -1.0, 50, 60, (-3.0, -2.0), (1.0, 4.0), fnr=0.1),
    data={"training": {"real": {"ffhq": 3}, "generated": {"progan": 3}}},
    metrics={"validation": {"auc": 0.9}},
)


def samples(reals: int, generated: int) -> list[Sample]:
    made = [Sample(f"r{i}", 0, "camera") for i in range(reals)]
    return made + [Sample(f"g{i}", 1, "sd") for i in range(generated)]


def new(reals: list[float], generated: list[float], **values: object) -> Recalibration:
    options: dict[str, object] = {"name": "new", "fpr": 0.01, "fnr": None, "facts": {"precision": "float32"}}
    return recalibrate(
        CARD, samples(len(reals), len(generated)), [*reals, *generated], **{**options, **values}
    )


@given(st.integers(1, 400), st.data())
def test_bounds_are_clopper_pearsons(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    rate = exact_rate(count, total)
    high = stats.beta.ppf(0.975, count + 1, total - count) if count < total else 1.0
    low = stats.beta.ppf(0.025, count, total - count + 1) if count else 0.0
    bound = stats.beta.ppf(0.95, count + 1, total - count) if count < total else 1.0
    assert (rate.low, rate.high, rate.bound) == pytest.approx((low, high, bound), rel=1e-6, abs=1e-12)


def test_no_false_alarm_is_the_rule_of_three() -> None:
    for total in (100, 1000, 10_000):
        assert exact_rate(0, total).bound == pytest.approx(3 / total, rel=0.03)


def test_the_bound_holds_for_thresholds_chosen_on_the_very_sample() -> None:
    """Of many samples, the true rate of the threshold lies below the bound in about 95 per cent."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        reals = rng.normal(0, 1, 199).tolist()
        made = recalibrate(
            replace(CARD, calibration=replace(CARD.calibration, intercept=9.0)),  # the score stays out of it
            samples(199, 0),
            reals,
            name="n",
            fpr=0.05,
            fnr=None,
            facts={},
        )
        true_rate = stats.norm.sf(made.card.calibration.thresholds().ai)
        held.append(true_rate <= made.false_alarms.bound)
    assert 0.92 < np.mean(held) < 0.98


@pytest.mark.parametrize(
    ("fpr", "reals", "said"),
    [
        (
            0.001,
            200,
            "--fpr 0.001 takes 999 real images or more, and there are 200: add images, or use --fpr 0.005",
        ),
        (0.01, 98, "--fpr 0.01 takes 99 real images or more, and there are 98"),
        (0.01, 0, "no real images to calibrate on"),
    ],
)
def test_what_the_sample_cannot_support_is_refused(fpr: float, reals: int, said: str) -> None:
    with pytest.raises(DataError) as caught:
        require_support(fpr, reals)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.floats(1e-4, 0.5), st.integers(1, 20_000))
def test_the_rate_that_is_offered_is_supported(fpr: float, reals: int) -> None:
    try:
        require_support(fpr, reals)
    except DataError as error:
        text = str(error)
        require_support(fpr, int(text.split("takes ")[1].split()[0]))
        if "or use --fpr" in text:
            require_support(float(text.rsplit(" ", 1)[1]), reals)


def test_the_rate_for_generated_images_is_checked_likewise() -> None:
    require_support(0.01, 99, fnr=0.05, generated=19)
    with pytest.raises(DataError, match=r"--fnr 0\.05 takes 19 generated images or more, and there are 18"):
        require_support(0.01, 99, fnr=0.05, generated=18)


def test_both_classes_give_a_new_map_and_new_thresholds() -> None:
    from scipy import optimize

    rng = np.random.default_rng(0)
    reals, generated = rng.normal(3, 1, 400).tolist(), rng.normal(6, 1, 300).tolist()
    made = new(reals, generated, fnr=0.05)
    calibration = made.card.calibration
    x = np.array([*reals, *generated])
    target = np.array([1 / 402] * 400 + [301 / 302] * 300)  # Platt's smoothed targets
    weight = np.array([1 / 400] * 400 + [1 / 300] * 300)

    def loss(line: np.ndarray) -> float:
        z = line[0] * x + line[1]
        return float((weight * (np.logaddexp(0, z) - target * z)).sum())

    slope, intercept = optimize.minimize(loss, [1.0, 0.0], tol=1e-12).x
    assert calibration.slope == pytest.approx(slope, rel=1e-3)
    assert calibration.intercept == pytest.approx(intercept, rel=1e-3)
    assert (calibration.fpr, calibration.fnr, calibration.fitted_real_count) == (0.01, 0.05, None)
    limits = calibration.thresholds()
    # of 401 images, the new one among them, the highest four may lie above: three of the old ones
    assert limits.ai == pytest.approx(sorted(reals)[-4], abs=1e-4)
    assert limits.real == pytest.approx(
        min(sorted(generated)[14], -calibration.intercept / calibration.slope), abs=1e-4
    )
    assert (made.false_alarms.count, made.false_alarms.total) == (3, 400)
    assert made.found is not None
    assert made.found.count == sum(logit > limits.ai for logit in generated)
    assert made.card.metrics["validation"] == {"auc": 0.9}
    assert made.card.metrics["calibration"]["real_called_ai"]["bound"] == round(made.false_alarms.bound, 4)
    told = made.card.data["calibration"]
    assert (told["real"], told["generated"], told["kept"]) == ({"camera": 400}, {"sd": 300}, "")
    assert told["precision"] == "float32"


def test_real_images_alone_move_the_threshold_ai_and_nothing_else() -> None:
    reals = [float(i) for i in range(199)]
    made = new(reals, [])
    before, after = CARD.calibration, made.card.calibration
    assert (after.slope, after.intercept) == (before.slope, before.intercept)
    assert after.thresholds().real == before.thresholds().real
    assert after.thresholds().ai == 197.0
    assert after.fnr == before.fnr == 0.1
    assert all(after.score(x) == before.score(x) for x in (-2.0, 0.3, 5.0))
    # the likelihood ratio rests on the images that it was fitted to, however many reals came after
    assert after.log10_lr(1e6) == before.log10_lr(1e6) == pytest.approx(np.log10(50))
    again = recalibrate(made.card, samples(300, 0), [0.0] * 300, name="n", fpr=0.01, fnr=None, facts={})
    assert again.card.calibration.fitted_real_count == 50
    assert made.found is made.missed is None
    assert "scores and the threshold real" in made.card.data["calibration"]["kept"]


def test_rules_for_kinds_of_pictures_stay_where_nothing_new_is_known_of_them() -> None:
    old = {name: KindCalibration(99, 9, (7.0,), (0.0,), 99.0) for name in ("drawing", "photograph")}
    card = replace(
        CARD,
        adapter=replace(CARD.adapter, kinds=("document", "drawing", "photograph")),
        calibration=replace(CARD.calibration, kinds=old),
        metrics={**CARD.metrics, "rates": {"real_called_ai": {"rate": 0.01}}},
    )
    given = [
        *(Sample(f"r{i}", 0, f"camera{i % 6}", kind="photograph") for i in range(300)),
        *(Sample(f"d{i}", 0, "one", kind="drawing") for i in range(10)),
        *(Sample(f"g{i}", 1, "sd") for i in range(100)),
    ]
    logits = np.random.default_rng(0).normal([0.0] * 310 + [4.0] * 100).tolist()
    made = recalibrate(card, given, logits, name="new", fpr=0.05, fnr=None, facts={}).card
    kinds = made.calibration.kinds
    assert (kinds["drawing"], kinds["photograph"].real_sources) == (old["drawing"], 6)
    assert made.calibration.kind_thresholds(made.adapter.kinds)["document"] == math.inf
    assert "too few real images: document, drawing" in made.data["calibration"]["kept"]
    assert "rates" not in made.metrics
    alone = recalibrate(card, given[:300], logits[:300], name="new", fpr=0.05, fnr=None, facts={}).card
    assert alone.calibration.kinds == old


def test_real_images_alone_cannot_mend_a_model_that_tells_nothing() -> None:
    card = replace(CARD, calibration=replace(CARD.calibration, slope=0.0, intercept=0.0))
    with pytest.raises(DataError, match="does not rank generated images above real ones"):
        recalibrate(card, samples(300, 0), [0.0] * 300, name="n", fpr=0.01, fnr=None, facts={})


def test_a_backward_model_is_refused() -> None:
    with pytest.raises(DataError, match="does not rank"):
        new([float(i) for i in range(200)], [-float(i) for i in range(1, 100)], fnr=0.05)


def test_sources_of_the_training_are_named() -> None:
    met = [Sample("a", 0, "ffhq"), Sample("b", 1, "progan"), Sample("c", 1, "ffhq"), Sample("d", 0, "mine")]
    assert known_sources(CARD, met) == ["ffhq", "progan"]
    assert known_sources(replace(CARD, data={}), met) == []


def test_reals_are_named_by_their_folder(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "leica").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "leica" / "a.png")
    (tmp_path / "leica" / "notes.txt").write_text("no image")
    (tmp_path / "leica" / "linked.png").symlink_to("a.png")
    found, errors, links = find_reals(tmp_path)
    assert [(sample.key, sample.label, sample.generator) for sample in found] == [("leica/a.png", 0, "leica")]
    assert (errors, links) == ({}, 1)
    followed, _, links = find_reals(tmp_path, follow_symlinks=True)
    assert (len(followed), links) == (2, 0)
    assert list(find_reals(tmp_path / "none")[1]) == [str(tmp_path / "none")]


def test_real_images_are_found_in_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "real.tar", "w") as archive:
        for name in ("leica/a.png", "nikon/b.png"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    found, errors, links = find_reals(tmp_path / "real.tar")
    assert [(sample.key, sample.label, sample.generator) for sample in found] == [
        ("leica/a.png", 0, "leica"),
        ("nikon/b.png", 0, "nikon"),
    ]
    assert (errors, links) == ({}, 0)
