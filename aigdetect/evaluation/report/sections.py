"""What a report says, section by section: from results to texts, tables and plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aigdetect.evaluation import tables
from aigdetect.evaluation.report.bias_section import bias_section
from aigdetect.evaluation.report.document import (
    Block,
    Document,
    Facts,
    Plot,
    Section,
    Text,
)
from aigdetect.evaluation.report.expert_section import expert_section
from aigdetect.evaluation.report.plots import (
    Bar,
    Scores,
    generator_figure,
    histogram_figure,
    reliability_figure,
    roc_figure,
)
from aigdetect.evaluation.report.robustness_section import robustness_section
from aigdetect.evaluation.report.style import as_plot
from aigdetect.evaluation.results import (
    MEASURES,
    BenchmarkSet,
    EvaluatedDetector,
    EvaluatedImage,
    Evaluation,
    FoundData,
    Run,
)
from aigdetect.metrics.probabilities import Bin, reliability

if TYPE_CHECKING:
    from aigdetect.evaluation.experts import ExpertStudy

_LIMITS = (
    "The absence of a detection is no proof of authenticity, and a detection alone is no proof of the "
    "opposite.",
    "All figures hold for these generators, these sources of real images and these file formats. Images of "
    "generators that a detector has not been trained on are usually found less often.",
    "Intervals are 95 % bootstrap intervals over the images, those of rates at one threshold Wilson's. They "
    "do not cover the choice of generators, of sources or of the training, which may weigh more.",
    "Average precision and accuracy depend on the shares of both classes; ROC AUC, balanced accuracy and the "
    "figures of calibration do not.",
    "Figures flatter a detector on images, generators or sources that it was trained or calibrated on. Of "
    "scores from a file, only their maker can know.",
    "The best threshold is chosen on these very images: an upper bound, not a promise.",
)


def report_document(evaluation: Evaluation, experts: Sequence[ExpertStudy] = ()) -> Document:
    """The whole report: data and protocol, what the files alone give away, and only then scores.

    Args:
        evaluation: what was found.
        experts: what goes on inside the models, if that was looked into.
    """
    family = {image.generator: image.family for image in evaluation.images if image.label}
    robust = {each.name: each.robustness for each in evaluation.detectors if each.robustness}
    sections = [
        data_section(evaluation),
        bias_section([run.audit for run in evaluation.runs]),
        detector_section(evaluation),
        *(result_section(evaluation, run) for run in evaluation.runs),
        *([robustness_section(robust)] if robust else []),
        *([paper_section(evaluation)] if evaluation.published else []),
        *(
            expert_section(study, number, lambda generator: family.get(generator, "unknown"))
            for number, study in enumerate(experts, start=1)
        ),
        Section("Limits", tuple(map(Text, _LIMITS))),
    ]
    real, generated = _counts(evaluation.images)
    return Document(
        f"Evaluation of {_counted(len(evaluation.detectors), 'detector')} on {_counted(real, 'real image')} "
        f"and {_counted(generated, 'generated image')}",
        f"Protocol {evaluation.protocol.name}: {evaluation.protocol.title}. Finished {evaluation.created}. "
        "The absence of a detection is no proof of authenticity: see Limits.",
        tuple(sections),
    )


def data_section(evaluation: Evaluation) -> Section:
    """What was measured on, and how: data, protocol, program."""
    protocol = evaluation.protocol
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    facts = (
        *((found.root, _found(found)) for found in evaluation.data),
        (f"protocol {protocol.name}", "; ".join(protocol.lines)),
        ("chance", f"seed {evaluation.seed}; {evaluation.resamples} resamples behind each interval"),
        *((("command", evaluation.command),) if evaluation.command else ()),
        *((("versions", versions),) if versions else ()),
    )
    return Section("Data and protocol", (Facts(facts), tables.data_table(evaluation.sets)))


def _found(found: FoundData) -> str:
    real = sum(count for _, count, _ in found.counts)
    generated = sum(count for _, _, count in found.counts)
    split = f", split {found.split}" if found.split else ""
    ignored = f"; left out: {found.ignored}" if found.ignored else ""
    return f"{found.kind}{split}: {real:,} real and {generated:,} generated images{ignored}"


def detector_section(evaluation: Evaluation) -> Section:
    """The detectors, and where their thresholds come from."""
    blocks: list[Block] = []
    for detector in evaluation.detectors:
        missing = sum(score.score is None for score in detector.scores)
        facts = [
            (detector.name, f"{_KINDS[detector.kind]}; scores are {_SCALES[detector.scale]}"),
            *detector.facts,
            *(
                (f"threshold {each.name}", f"{each.value:.4g} ({each.origin})")
                for each in detector.thresholds
            ),
        ]
        if missing:
            facts.append(("without a score", f"{_counted(missing, 'image')}, left out of its figures"))
        if detector.unmatched:
            facts.append(("fitting no image", _counted(detector.unmatched, "row")))
        blocks.append(Facts(tuple(facts)))
    return Section("Detectors and thresholds", tuple(blocks))


_KINDS = {"model": "a model of this program", "scores": "scores from a file", "fused": "models fused"}
_SCALES = {"logit": "logits", "probability": "probabilities", "score": "on a scale of their own"}
_LINES = {"model": "threshold of the accuracies", "ai": "verdict ai"}


def result_section(evaluation: Evaluation, run: Run) -> Section:
    """Figures and plots of all detectors on the images in one form."""
    blocks: list[Block] = []
    images = evaluation.images
    if run.parity:
        blocks.append(
            Text(
                f"The same images, cropped and encoded anew ({run.parity}), both classes alike. Scores from "
                "files cannot be made anew and are missing here."
            )
        )
    generators = [place for place, each in enumerate(evaluation.sets) if each.generated]
    blocks += [tables.generator_table(evaluation.sets, run, measure) for measure in tables.BY_GENERATOR[:1]]
    blocks += _plots(evaluation, run, generators)
    blocks += [tables.generator_table(evaluation.sets, run, measure) for measure in tables.BY_GENERATOR[1:]]
    alone = tables.real_table(evaluation.sets, run)
    blocks += [alone] if alone else []
    blocks.append(tables.summary_table(run))
    real, generated = _counts(images)
    title = f"Results after {run.parity} on both classes" if run.parity else "Results"
    return Section(f"{title} (n = {real:,} real + {generated:,} generated)", tuple(blocks))


def _plots(evaluation: Evaluation, run: Run, generators: Sequence[int]) -> Iterator[Plot]:
    ending = "-parity" if run.parity else ""
    if generators:
        key = tables.BY_GENERATOR[0]
        yield as_plot(
            f"generators{ending}",
            generator_figure(
                [_bar(evaluation.sets[place], run, place, key) for place in generators], measure=MEASURES[key]
            ),
            title="Average precision by generator",
            caption="With 95 % intervals, and the numbers of generated and real images. Dotted: what "
            "guessing would give, the share of generated images.",
            alt="Bars of average precision by generator and detector",
        )
    scores = [_scores(evaluation.images, detector) for detector in run.detectors]
    scores = [each for each in scores if len(each.labels)]
    if any(0 < each.labels.sum() < len(each.labels) for each in scores):
        yield as_plot(
            f"roc{ending}",
            roc_figure(scores),
            title="ROC curves over all images",
            caption="Left whole, right with the false-positive rate on a logarithmic axis: left of the "
            "dotted line, no real image lies above the threshold.",
            alt="ROC curves of all detectors",
        )
    bins = {detector.name: _bins(evaluation.images, detector) for detector in run.detectors}
    if any(bins.values()):
        yield as_plot(
            f"reliability{ending}",
            reliability_figure({name: each for name, each in bins.items() if each}),
            title="Reliability of the probabilities",
            caption="Both classes weigh the same. On the line, a probability is what it says; above it, "
            "images are generated more often than told. Hollow marks: bins of under ten images.",
            alt="Reliability diagram",
        )
    if scores:
        yield as_plot(
            f"scores{ending}",
            histogram_figure(scores),
            title="Scores by class",
            caption="As shares of each class, with thresholds.",
            alt="Histograms of the scores by detector and class",
        )


def _bar(each: BenchmarkSet, run: Run, place: int, key: str) -> Bar:
    real, generated = len(each.real), len(each.generated)
    return Bar(
        each.name,
        each.family,
        f"n = {generated:,} + {real:,}",
        {detector.name: detector.sets[place].figures[key] for detector in run.detectors},
        generated / (generated + real) if real else None,
    )


def _scores(images: Sequence[EvaluatedImage], detector: EvaluatedDetector) -> Scores:
    known = [
        (image.label, score.score)
        for image, score in zip(images, detector.scores, strict=True)
        if score.score is not None
    ]
    return Scores(
        detector.name,
        np.array([label for label, _ in known], dtype=np.int64),
        np.array([score for _, score in known], dtype=np.float64),
        {_LINES[each.name]: each.value for each in detector.thresholds if each.name in _LINES},
    )


def _bins(images: Sequence[EvaluatedImage], detector: EvaluatedDetector) -> tuple[Bin, ...]:
    known = [
        (image.label, score.probability)
        for image, score in zip(images, detector.scores, strict=True)
        if score.probability is not None
    ]
    return reliability([label for label, _ in known], [probability for _, probability in known])


def paper_section(evaluation: Evaluation) -> Section:
    """The paper's tables, with our detectors beside."""
    return Section(
        "The paper's tables",
        (
            Text(
                "Published figures beside those measured here. They compare only where images and protocol "
                "are the same."
            ),
            *(tables.paper_table(evaluation, each) for each in evaluation.published),
        ),
    )


def _counts(images: Sequence[EvaluatedImage]) -> tuple[int, int]:
    """Real and generated images."""
    generated = sum(image.label for image in images)
    return len(images) - generated, generated


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
