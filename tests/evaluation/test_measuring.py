from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from aigdetect.data.layouts import DataSet, Sample
from aigdetect.evaluation.benchmark import Benchmark, build_benchmark
from aigdetect.evaluation.families import read_families
from aigdetect.evaluation.measuring import Measured, measure_detector
from aigdetect.evaluation.results import MEASURES, ImageScore, Threshold

THRESHOLDS = (Threshold("model", 0.5, ""), Threshold("ai", 1.5, ""), Threshold("half", 0.0, ""))


def benchmark(**counts: tuple[int, int]) -> Benchmark:
    """A data set of generators (or sources) with numbers of real and generated images."""
    samples = tuple(
        Sample(f"/d/{name}/{label}/{index}.png", label, name, root="/d")
        for name, numbers in counts.items()
        for label in (0, 1)
        for index in range(numbers[label])
    )
    return build_benchmark([DataSet("/d", "real/fake folders", samples)], read_families())


def scored(made: Benchmark, seed: int = 0) -> list[ImageScore]:
    rng = np.random.default_rng(seed)
    logits = [float(rng.normal(image.label)) for image in made.images]
    ai = THRESHOLDS[1].value
    return [
        ImageScore(x, float(1 / (1 + np.exp(-x))), x / np.log(10), "ai" if x > ai else "uncertain")
        for x in logits
    ]


def measure(made: Benchmark, scores: Sequence[ImageScore], resamples: int = 50) -> Measured:
    return measure_detector(made, scores, THRESHOLDS, resamples=resamples)


def test_figures_are_those_of_the_images_of_a_set() -> None:
    made = benchmark(coco=(30, 0), progan=(0, 20), dalle2=(0, 25))
    scores = scored(made)
    found = measure(made, scores)
    assert [each.name for each in found.sets] == ["ProGAN", "DALL-E 2"]
    for each, members in zip(found.sets, made.sets, strict=True):
        places = [*members.real, *members.generated]
        labels = [made.images[place].label for place in places]
        values = [scores[place].score for place in places]
        assert each.figures["average_precision"].value == pytest.approx(
            average_precision_score(labels, values), abs=1e-12
        )
        assert each.figures["roc_auc"].value == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
        above = np.array(values) > 0.5
        assert each.figures["accuracy"].value == pytest.approx(np.mean(above == np.array(labels)))
        assert (each.real, each.generated, each.unscored) == (30, len(members.generated), 0)
        assert list(each.figures) == list(MEASURES)
        low, high = each.figures["roc_auc"].low, each.figures["roc_auc"].high
        assert low is not None
        assert high is not None
        assert low < roc_auc_score(labels, values) < high


def test_means_are_unweighted_over_generators_and_families() -> None:
    made = benchmark(coco=(30, 0), progan=(0, 20), stargan=(0, 40), dalle2=(0, 25))
    found = measure(made, scored(made))
    values = {each.name: each.figures["average_precision"].value or 0 for each in found.sets}
    assert found.mean.figures["average_precision"].value == pytest.approx(np.mean(list(values.values())))
    assert [each.name for each in found.families] == ["GAN", "diffusion"]
    assert found.families[0].figures["average_precision"].value == pytest.approx(
        (values["ProGAN"] + values["StarGAN"]) / 2
    )
    assert found.pooled.generated == 85
    assert found.pooled.real == 30
    assert "false_positive_rate" not in found.mean.figures


def test_one_side_missing_is_not_defined_with_the_reason() -> None:
    made = benchmark(progan=(20, 20), dalle2=(0, 15))
    found = measure(made, scored(made))
    figure = found.sets[1].figures["average_precision"]
    assert (figure.value, figure.reason) == (None, "no real images")
    rate = found.sets[1].figures["true_positive_rate"]
    assert rate.value is not None
    assert rate.low is not None
    assert found.mean.figures["average_precision"].value == found.sets[0].figures["average_precision"].value
    assert "without 1 of 2 sets" in found.mean.figures["average_precision"].reason


def test_real_images_alone_have_a_false_positive_rate_with_its_interval() -> None:
    made = benchmark(agency=(100, 0))
    scores = scored(made)
    found = measure(made, scores)
    rate = found.sets[0].figures["false_positive_rate_ai"]
    above = np.mean([(score.score or 0) > 1.5 for score in scores])
    assert rate.value == above > 0
    assert rate.low is not None
    assert rate.low < above
    assert found.sets[0].figures["roc_auc"].reason == "no generated images"
    assert found.mean.figures == {}
    assert found.families == ()


def test_a_verdict_that_was_held_back_is_none() -> None:
    made = benchmark(progan=(50, 50))
    scores = scored(made)
    called = [place for place, score in enumerate(scores) if score.verdict == "ai"]
    for place in called[::2]:  # such as a screenshot, which no logit makes an accusation
        scores[place] = replace(scores[place], verdict="uncertain")
    figures = measure(made, scores).pooled.figures
    for key, label in (("false_positive_rate_ai", 0), ("true_positive_rate_ai", 1)):
        kept = [place for place in called[1::2] if made.images[place].label == label]
        assert figures[key].value == pytest.approx(len(kept) / 50)


def test_images_without_a_score_are_counted_and_left_out() -> None:
    made = benchmark(progan=(20, 20))
    scores = scored(made)
    scores[0] = ImageScore(error="cannot be read")
    found = measure(made, scores)
    assert (found.sets[0].real, found.sets[0].unscored) == (19, 1)
    assert found.sets[0].figures["roc_auc"].value is not None


def test_scores_of_any_scale_have_no_calibration() -> None:
    made = benchmark(progan=(20, 20))
    scores = [ImageScore(each.score) for each in scored(made)]
    found = measure_detector(made, scores, (THRESHOLDS[0], THRESHOLDS[2]), resamples=0).sets[0].figures
    assert found["expected_calibration_error"].reason == "the scores are not probabilities from 0 to 1"
    assert found["cllr"].reason == "there are no likelihood ratios"
    assert found["false_positive_rate_ai"].reason == "these scores have no verdicts"
    assert found["minimum_cllr"].value is not None
    assert found["roc_auc"].value is not None
    assert found["roc_auc"].low is None  # no resamples, no interval


def test_the_same_seed_gives_the_same_intervals() -> None:
    made = benchmark(coco=(30, 0), progan=(0, 20))
    scores = scored(made)
    assert measure(made, scores) == measure(made, scores)
