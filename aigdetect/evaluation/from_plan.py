"""From a plan to a whole evaluation: score what is missing, measure, put together."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

import aigdetect
from aigdetect.data.layouts import Sample
from aigdetect.data.origins import origins_of
from aigdetect.errors import DataError
from aigdetect.evaluation.bias import BiasAudit
from aigdetect.evaluation.families import FAMILIES
from aigdetect.evaluation.foreign import ForeignScores
from aigdetect.evaluation.fusion import FUSED, fuse_left_out
from aigdetect.evaluation.measuring import Measured, arrays, means_by_family, measure_detector
from aigdetect.evaluation.plan import Model, Plan, parity_operation
from aigdetect.evaluation.protocols import Protocol
from aigdetect.evaluation.published import PublishedTable
from aigdetect.evaluation.results import EvaluatedDetector, Evaluation, ImageScore, Run, Threshold
from aigdetect.evaluation.robustness import LevelSummary, Operation, summarise
from aigdetect.evaluation.score_samples import AS_THEY_ARE, form_name, score_forms
from aigdetect.evaluation.score_store import ScoreStore
from aigdetect.metrics.measure import Figure, Floats, Measure
from aigdetect.metrics.ranking import AVERAGE_PRECISION
from aigdetect.metrics.rates import balanced_accuracy
from aigdetect.model.card import ModelCard
from aigdetect.scanning.record import Record
from aigdetect.scanning.scoring import Scorer


def open_store(model: Model, protocol: Protocol, folder: Path | None) -> ScoreStore:
    """The scores of a model under a protocol, in memory or in a folder; nothing is read yet."""
    subject = {
        "model": model.card.name,
        "adapter": model.card.adapter_sha256,
        "backbone": model.card.backbone_digest,
        "protocol": f"{protocol.name}: {protocol.prepared}",
    }
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in model.name)
    card = model.card
    return ScoreStore(folder, name.lstrip(".") or "model", subject, card.calibration, card.adapter.kinds)


def score_missing(
    store: ScoreStore, plan: Plan, *, load: Callable[[], Scorer], workers: int | None = None
) -> Generator[tuple[Sample, Operation, Record], None, None]:
    """Score what a store lacks of a plan; an image is decoded once for all that is done to it.

    Args:
        store: takes in the scores.
        plan: images, protocol and what is done to the images.
        load: gives the model; not called if nothing is missing.
        workers: threads that decode.

    Yields:
        every image that was scored now, or failed, once its row is in the store.
    """
    if not count_missing(store, plan):
        return
    lacking: defaultdict[tuple[Operation, ...], list[Sample]] = defaultdict(list)
    for sample in plan.benchmark.samples:
        lacking[tuple(form for form in plan.forms if store.missing([sample], form_name(form)))].append(sample)
    lacking.pop((), None)
    detector = load()
    with store:
        for forms, samples in lacking.items():
            records = score_forms(
                samples,
                detector,
                protocol=plan.protocol,
                operations=forms,
                workers=workers,
                max_pixels=plan.request.max_pixels,
            )
            with closing(records) as scored:
                for sample, form, record in scored:
                    store.add(sample, form_name(form), record)
                    yield sample, form, record


def count_missing(store: ScoreStore, plan: Plan) -> int:
    """How many images, each in every form, a store lacks."""
    return sum(len(store.missing(plan.benchmark.samples, form_name(form))) for form in plan.forms)


def model_thresholds(card: ModelCard) -> tuple[Threshold, ...]:
    """Thresholds of a model, on the scale of its logits; chosen on images held out in training, if at all."""
    calibration = card.calibration
    reals = calibration.fitted_real_count or calibration.real_count
    held_out = f"{reals:g} real and {calibration.generated_count} generated held-out images"
    return (
        Threshold(
            "model",
            calibration.even,
            f"calibrated score of 0.5, fitted to {held_out}",
        ),
        Threshold(
            "ai",
            calibration.thresholds().ai,
            f"verdict ai: at most {100 * calibration.fpr:g} % of held-out real images lie above",
        ),
        Threshold("half", 0.0, "logit 0: an uncalibrated score of 0.5, as the field uses it"),
    )


def scores_thresholds(scale: str) -> tuple[Threshold, ...]:
    """Thresholds of a file of scores: there is nothing to choose them on."""
    if scale == "probability":
        value, origin = 0.5, "0.5, as all scores lie between 0 and 1; nothing was fitted"
    else:
        value, origin = 0.0, "0, as scores beyond 0 and 1 are taken for logits; nothing was fitted"
    return Threshold("model", value, origin), Threshold("half", value, origin)


def evaluate(
    plan: Plan,
    stores: Sequence[ScoreStore],
    audits: Sequence[BiasAudit],
    *,
    published: Sequence[PublishedTable] = (),
    command: str = "",
) -> Evaluation:
    """Measure all detectors of a plan, and put the evaluation together.

    Args:
        plan: what is measured.
        stores: scores of its models, in their order.
        audits: of the images as they are, then after parity if the plan has it.
        published: tables to show beside.
        command: the command line.

    Raises:
        DataError: if no detector has a score for any image, or there are too few origins to fuse by.
    """
    models = list(zip(plan.models, stores, strict=True))
    detectors = [
        *(_model(plan, model, store, AS_THEY_ARE) for model, store in models),
        *(_foreign(plan, found) for found in plan.foreign),
    ]
    if plan.request.fuse:
        detectors.append(_fused(plan, detectors[: len(models)]))
    if all(score.score is None for detector in detectors for score in detector.scores):
        count = len(plan.benchmark.images)
        raise DataError(f"none of {count} images has a score: there is nothing to measure")
    runs = [Run("", audits[0], tuple(detectors))]
    if plan.parity:
        form = parity_operation(plan.parity)
        after = tuple(_model(plan, model, store, form) for model, store in models)
        runs.append(Run(str(plan.parity), audits[1], after))
    return Evaluation(
        data=plan.found,
        protocol=plan.protocol.facts(seed=plan.request.seed),
        families=FAMILIES,
        images=plan.benchmark.images,
        sets=plan.benchmark.sets,
        runs=tuple(runs),
        published=tuple(published),
        seed=plan.request.seed,
        resamples=plan.request.resamples,
        command=command,
        versions={
            "aigdetect": aigdetect.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "pillow", "scikit-learn", "scipy")},
        },
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _model(plan: Plan, model: Model, store: ScoreStore, form: Operation) -> EvaluatedDetector:
    """A model on the images in one form; its robustness belongs to the images as they are."""
    thresholds = model_thresholds(model.card)
    scores = _scores(plan, store, form)
    measured = _measured(plan, scores, thresholds)
    operations = plan.operations if form == AS_THEY_ARE else ()
    return EvaluatedDetector(
        name=model.name,
        kind="model",
        source=str(model.folder),
        scale="logit",
        thresholds=thresholds,
        facts=_model_facts(model.card, store),
        scores=scores,
        sets=measured.sets,
        families=measured.families,
        mean=measured.mean,
        pooled=measured.pooled,
        robustness=_robustness(plan, store, operations, thresholds[0].value) if operations else (),
    )


def _foreign(plan: Plan, found: ForeignScores) -> EvaluatedDetector:
    thresholds = scores_thresholds(found.scale)
    measured = _measured(plan, found.scores, thresholds)
    return EvaluatedDetector(
        name=found.name,
        kind="scores",
        source=str(found.path),
        scale=found.scale,
        thresholds=thresholds,
        facts=(("scores", str(found.path)),),
        scores=found.scores,
        sets=measured.sets,
        families=measured.families,
        mean=measured.mean,
        pooled=measured.pooled,
        unmatched=len(found.unmatched),
    )


def _fused(plan: Plan, models: Sequence[EvaluatedDetector]) -> EvaluatedDetector:
    """All models as one, by a regression that has seen no image of an origin that it scores."""
    samples = plan.benchmark.samples
    logits = np.array([[np.nan if each.score is None else each.score for each in m.scores] for m in models]).T
    scored = np.flatnonzero(np.isfinite(logits).all(axis=1))
    values = fuse_left_out(
        logits[scored],
        np.array([samples[place].label for place in scored]),
        origins_of([samples[place] for place in scored]),
    )
    of_place = dict(zip(scored.tolist(), values.tolist(), strict=True))
    scores = tuple(
        ImageScore(of_place[place]) if place in of_place else ImageScore(error="not scored by every model")
        for place in range(len(samples))
    )
    origin = "logit 0, fitted on the images of all other origins"
    thresholds = (Threshold("model", 0.0, origin), Threshold("half", 0.0, origin))
    measured = _measured(plan, scores, thresholds)
    names = ", ".join(model.name for model in models)
    return EvaluatedDetector(
        name=FUSED,
        kind="fused",
        source=names,
        scale="logit",
        thresholds=thresholds,
        facts=(("models", names), ("fitted", "by a logistic regression, each origin left out in turn")),
        scores=scores,
        sets=measured.sets,
        families=measured.families,
        mean=measured.mean,
        pooled=measured.pooled,
    )


def _measured(plan: Plan, scores: Sequence[ImageScore], thresholds: Sequence[Threshold]) -> Measured:
    request = plan.request
    return measure_detector(
        plan.benchmark, scores, thresholds, resamples=request.resamples, seed=request.seed
    )


def _scores(plan: Plan, store: ScoreStore, form: Operation) -> tuple[ImageScore, ...]:
    return tuple(store.score(sample, form_name(form)) for sample in plan.benchmark.samples)


def _robustness(
    plan: Plan, store: ScoreStore, operations: Sequence[Operation], threshold: float
) -> tuple[LevelSummary, ...]:
    benchmark = plan.benchmark
    forms = [_scores(plan, store, each) for each in (AS_THEY_ARE, *operations)]
    # only images that have a score in every form can be compared
    everywhere = [
        place
        for place in range(len(benchmark.images))
        if all(form[place].score is not None for form in forms)
    ]
    (labels, clean, _), *rest = (arrays(benchmark, form, everywhere) for form in forms)
    request = plan.request
    levels = summarise(
        labels,
        clean,
        [(each, values) for each, (_, values, _) in zip(operations, rest, strict=True)],
        groups={},
        threshold=threshold,
        resamples=request.resamples,
        seed=request.seed,
    )

    def means(values: Floats, measure: Measure) -> dict[str, Figure]:
        return means_by_family(
            benchmark, everywhere, labels, values, measure, resamples=request.resamples, seed=request.seed
        )

    # as in the paper's figure 4: means over generators, not images pooled
    return tuple(
        replace(
            level,
            average_precision=means(values, AVERAGE_PRECISION),
            accuracy=means(values, balanced_accuracy(threshold)),
        )
        for level, values in zip(levels, (clean, *(values for _, values, _ in rest)), strict=True)
    )


def _model_facts(card: ModelCard, store: ScoreStore) -> tuple[tuple[str, str], ...]:
    calibration = card.calibration
    return (
        ("method", card.method),
        (
            "backbone",
            f"{card.backbone} (digest {card.backbone_digest[:12]})" if card.has_backbone else card.backbone,
        ),
        ("adapter", f"SHA-256 {card.adapter_sha256}"),
        ("views", f"{', '.join(card.preprocess.views)}, {card.preprocess.size} pixels"),
        (
            "calibration",
            f"{calibration.real_count} real and {calibration.generated_count} generated held-out images",
        ),
        ("precision", ", ".join(sorted(store.precisions)) or "none"),
    )
