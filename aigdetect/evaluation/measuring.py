"""From a detector's scores to its figures: by set, as means over sets, and over all images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aigdetect.evaluation.benchmark import REAL, Benchmark
from aigdetect.evaluation.families import FAMILIES
from aigdetect.evaluation.results import MEASURES, BenchmarkSet, EvaluatedSet, ImageScore, Threshold
from aigdetect.metrics.bootstrap import RESAMPLES, Distribution, mean_of, resample
from aigdetect.metrics.measure import Figure, Floats, Ints, Measure
from aigdetect.metrics.probabilities import BRIER_SCORE, EXPECTED_CALIBRATION_ERROR
from aigdetect.metrics.ranking import (
    AVERAGE_PRECISION,
    EQUAL_ERROR_RATE,
    FALSE_POSITIVE_RATES,
    ROC_AUC,
    tpr_at_fpr,
)
from aigdetect.metrics.rates import (
    BEST_ACCURACY,
    accuracy,
    balanced_accuracy,
    false_positive_rate,
    true_positive_rate,
)
from aigdetect.metrics.ratios import CLLR, MINIMUM_CLLR

MEAN = "mean over generators"
POOLED = "all images"


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one detector; see `aigdetect.evaluation.results.EvaluatedDetector`."""

    sets: tuple[EvaluatedSet, ...]
    families: tuple[EvaluatedSet, ...]
    mean: EvaluatedSet
    pooled: EvaluatedSet


def measure_detector(
    benchmark: Benchmark,
    scores: Sequence[ImageScore],
    thresholds: Sequence[Threshold],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Measured:
    """Measure a detector on all sets of a benchmark.

    Args:
        benchmark: the sets.
        scores: one per image of the benchmark, in order; those with an error are left out and counted.
        thresholds: ``model`` and ``half``; ``ai`` if there is one.
        resamples: behind each interval; 0 for no intervals.
        seed: of the resamples.
    """
    told = _Told(benchmark, scores, {each.name: each.value for each in thresholds}, resamples, seed)
    spread = [told.distributions((*each.real, *each.generated)) for each in benchmark.sets]
    sets = tuple(told.evaluated(each, drawn) for each, drawn in zip(benchmark.sets, spread, strict=True))
    by_family = [
        (
            family,
            [drawn for each, drawn in zip(benchmark.sets, spread, strict=True) if each.family == family],
        )
        for family in FAMILIES
    ]
    generators = [drawn for each, drawn in zip(benchmark.sets, spread, strict=True) if each.family != REAL]
    everything = tuple(range(len(benchmark.images)))
    whole = told.distributions(everything)
    return Measured(
        sets,
        tuple(_mean(family, family, drawn) for family, drawn in by_family if drawn),
        _mean(MEAN, "", generators),
        told.summed(POOLED, "", everything, whole),
    )


def arrays(
    benchmark: Benchmark, scores: Sequence[ImageScore], places: Iterable[int]
) -> tuple[Ints, Floats, tuple[int, ...]]:
    """Labels and scores ``(n,)`` of the images at these places that have a score, and those places."""
    there = tuple(place for place in places if scores[place].score is not None)
    labels = np.array([benchmark.images[place].label for place in there], dtype=np.int64)
    values = np.array([scores[place].score for place in there], dtype=np.float64)
    return labels, values, there


def means_by_family(
    benchmark: Benchmark,
    places: Sequence[int],
    labels: Ints,
    values: Floats,
    measure: Measure,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Figure]:
    """One measure as the mean over all generators, then over those of each family if there are several.

    Args:
        benchmark: the sets.
        places: of the images that are taken, as members of ``benchmark.images``.
        labels: of those images, ``(n,)``.
        values: their scores, ``(n,)``.
        measure: what is measured on every set.
        resamples: behind each interval; 0 for no intervals.
        seed: of the resamples.
    """
    index = {place: number for number, place in enumerate(places)}
    drawn: dict[str, list[Distribution]] = {}
    for each in benchmark.sets:
        if each.family != REAL:
            inside = [index[place] for place in (*each.real, *each.generated) if place in index]
            found = _spread({"": measure}, labels[inside], values[inside], resamples, seed)[""]
            drawn.setdefault(each.family, []).append(found)
    everything = [found for family in drawn.values() for found in family]
    groups = {MEAN: everything, **(drawn if len(drawn) > 1 else {})}
    return {group: mean_of(found).figure() for group, found in groups.items()}


def _spread(
    measures: Mapping[str, Measure], labels: Ints, values: Floats, resamples: int, seed: int
) -> dict[str, Distribution]:
    if not resamples:
        return {key: Distribution(measure(labels, values)) for key, measure in measures.items()}
    drawn = resample(labels, values, list(measures.values()), resamples=resamples, seed=seed)
    return dict(zip(measures, drawn, strict=True))


@dataclass(frozen=True, slots=True)
class _Told:
    """What a detector says, and how it is measured."""

    benchmark: Benchmark
    scores: Sequence[ImageScore]
    thresholds: Mapping[str, float]
    resamples: int
    seed: int

    def distributions(self, places: Sequence[int]) -> dict[str, Distribution]:
        """Figures with their resamples, by the keys of `MEASURES`; rates are not among them."""
        labels, values, there = arrays(self.benchmark, self.scores, places)
        found = self._measured(_ranked(self.thresholds), labels, values)
        for measures, name in (
            (
                {"expected_calibration_error": EXPECTED_CALIBRATION_ERROR, "brier_score": BRIER_SCORE},
                "probability",
            ),
            ({"cllr": CLLR}, "log10_lr"),
        ):
            told = [getattr(self.scores[place], name) for place in there]
            if None in told:
                missing = Figure(None, reason=_MISSING[name])
                found |= dict.fromkeys(measures, Distribution(missing))
            else:
                found |= self._measured(measures, labels, np.array(told, dtype=np.float64))
        return found

    def evaluated(self, each: BenchmarkSet, drawn: Mapping[str, Distribution]) -> EvaluatedSet:
        family = each.family
        return self.summed(each.name, family, (*each.real, *each.generated), drawn)

    def summed(
        self, name: str, family: str, places: Sequence[int], drawn: Mapping[str, Distribution]
    ) -> EvaluatedSet:
        labels, values, there = arrays(self.benchmark, self.scores, places)
        figures = {key: distribution.figure() for key, distribution in drawn.items()}
        figures |= self._rates(labels, values, there)
        return EvaluatedSet(
            name,
            family,
            real=int((labels == 0).sum()),
            generated=int((labels == 1).sum()),
            unscored=len(places) - len(there),
            figures={key: figures[key] for key in MEASURES},
        )

    def _measured(
        self, measures: Mapping[str, Measure], labels: Ints, values: Floats
    ) -> dict[str, Distribution]:
        return _spread(measures, labels, values, self.resamples, self.seed)

    def _rates(self, labels: Ints, values: Floats, there: Sequence[int]) -> dict[str, Figure]:
        rates: dict[str, Callable[..., Figure]] = {
            "false_positive_rate": false_positive_rate,
            "true_positive_rate": true_positive_rate,
        }
        # not what lies above the threshold: a verdict may be held back for what is in the picture
        called = np.array([float(self.scores[place].verdict == "ai") for place in there], dtype=np.float64)
        found = {}
        for key, rate in rates.items():
            found[key] = rate(labels, values, self.thresholds["model"])
            found[f"{key}_ai"] = (
                rate(labels, called, 0.5)
                if "ai" in self.thresholds
                else Figure(None, reason="these scores have no verdicts")
            )
        return found


_MISSING = {
    "probability": "the scores are not probabilities from 0 to 1",
    "log10_lr": "there are no likelihood ratios",
}


def _ranked(thresholds: Mapping[str, float]) -> dict[str, Measure]:
    """Measures that take scores of any scale."""
    return {
        "average_precision": AVERAGE_PRECISION,
        "roc_auc": ROC_AUC,
        "accuracy": accuracy(thresholds["model"]),
        "balanced_accuracy": balanced_accuracy(thresholds["model"]),
        "accuracy_at_half": accuracy(thresholds["half"]),
        "best_accuracy": BEST_ACCURACY,
        **{measure.name: measure for measure in map(tpr_at_fpr, FALSE_POSITIVE_RATES)},
        "equal_error_rate": EQUAL_ERROR_RATE,
        "minimum_cllr": MINIMUM_CLLR,
    }


def _mean(name: str, family: str, drawn: Sequence[Mapping[str, Distribution]]) -> EvaluatedSet:
    keys = drawn[0] if drawn else {}
    figures = {key: mean_of([each[key] for each in drawn]).figure() for key in MEASURES if key in keys}
    return EvaluatedSet(name, family, 0, 0, 0, figures)
