"""What a report says, section by section: from results to texts, tables and plots."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from aigdetect.evaluation import tables
from aigdetect.evaluation.experts import ExpertStudy
from aigdetect.evaluation.report.bias_section import bias_section
from aigdetect.evaluation.report.document import (
    Block,
    Document,
    Facts,
    Plot,
    Section,
    Text,
)
from aigdetect.evaluation.report.plots import (
    Bar,
    Level,
    Scores,
    generator_figure,
    histogram_figure,
    load_figure,
    map_figure,
    place_title,
    reliability_figure,
    robustness_figure,
    roc_figure,
)
from aigdetect.evaluation.report.style import as_png, as_svg
from aigdetect.evaluation.results import (
    MEASURES,
    BenchmarkSet,
    EvaluatedDetector,
    EvaluatedImage,
    Evaluation,
    FoundData,
    Run,
)
from aigdetect.evaluation.robustness import CLEAN, SUITE, LevelSummary
from aigdetect.metrics.measure import Figure
from aigdetect.metrics.probabilities import Bin, reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

LABELS = ("real", "generated")
"""Classes in words, by label."""

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
        yield _plot(
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
        yield _plot(
            f"roc{ending}",
            roc_figure(scores),
            title="ROC curves over all images",
            caption="Left whole, right with the false-positive rate on a logarithmic axis: left of the "
            "dotted line, no real image lies above the threshold.",
            alt="ROC curves of all detectors",
        )
    bins = {detector.name: _bins(evaluation.images, detector) for detector in run.detectors}
    if any(bins.values()):
        yield _plot(
            f"reliability{ending}",
            reliability_figure({name: each for name, each in bins.items() if each}),
            title="Reliability of the probabilities",
            caption="Both classes weigh the same. On the line, a probability is what it says; above it, "
            "images are generated more often than told. Hollow marks: bins of under ten images.",
            alt="Reliability diagram",
        )
    if scores:
        yield _plot(
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


def robustness_section(summaries: Mapping[str, Sequence[LevelSummary]]) -> Section:
    """What operations on the images do to every detector.

    Args:
        summaries: by detector, the clean images first, the same operations for all.
    """
    clean, *rest = next(iter(summaries.values()))
    groups = list(clean.average_precision)
    operations = dict.fromkeys(level.name for level in rest)
    blocks: list[Block] = [
        Text(
            "Every operation was done to whole images of both classes alike, before the model's crop. The "
            "threshold is the one chosen for the clean images."
        ),
        Facts(tuple((operation, SUITE[operation].title) for operation in operations)),
    ]
    blocks += [
        _robustness_plot(
            summaries,
            name=f"robustness-{number}-{_slug(group)}",
            title=f"Average precision, {group}",
            measure="average precision",
            of=partial(_precision_of, group),
        )
        for number, group in enumerate(groups, start=1)
    ]
    blocks.append(
        _robustness_plot(
            summaries,
            name="robustness-drift",
            title="Change of the false-positive rate at the clean threshold",
            measure="rate less clean",
            of=lambda level: level.drift,
            around=0,
        )
    )
    blocks += [tables.robustness_table(name, levels) for name, levels in summaries.items()]
    return Section("Robustness", tuple(blocks))


def _precision_of(group: str, level: LevelSummary) -> Figure:
    return level.average_precision[group]


def _robustness_plot(
    summaries: Mapping[str, Sequence[LevelSummary]],
    *,
    name: str,
    title: str,
    measure: str,
    of: Callable[[LevelSummary], Figure],
    around: float | None = None,
) -> Plot:
    operations: dict[str, list[Level]] = {}
    first, *_ = summaries.values()
    for place, level in enumerate(first[1:], start=1):
        panel = operations.setdefault(
            level.name, [Level(CLEAN, {detector: of(levels[0]) for detector, levels in summaries.items()})]
        )
        panel.append(
            Level(f"{level.level:g}", {detector: of(levels[place]) for detector, levels in summaries.items()})
        )
    return _plot(
        name,
        robustness_figure(operations, measure=measure, around=around),
        title=title,
        caption="Bars are 95 % intervals.",
        alt=f"Robustness: {title}, by operation, level and detector",
    )


def expert_section(study: ExpertStudy, number: int, family: Callable[[str], str]) -> Section:
    """What goes on inside one model.

    Args:
        study: of the model.
        number: of the model, for the names of files.
        family: family of a generator.
    """
    least, expert = study.least_used
    uniform = 100 / len(study.separate)
    slug = f"{number}-{_slug(study.model)}"
    unreadable = f"; {study.unreadable:,} more could not be read" if study.unreadable else ""
    blocks: list[Block] = [
        Text(
            f"At every router, each token of an image goes to one of {len(study.separate)} separate experts. "
            f"Read from {study.images:,} images{unreadable}. Used alike, each would get {uniform:.0f} % of "
            f"the tokens. The least used is {study.separate[expert]} at {place_title(least.place)}, with "
            f"{100 * least.load[expert]:.1f} % of the tokens of {LABELS[least.label]} images."
        ),
        _plot(
            f"expert-load-{slug}",
            load_figure(study),
            title="Load of the experts",
            caption="Share of the tokens that each expert gets, in per cent, by generator or source.",
            alt=f"Share of tokens of each expert of {study.model} by block and generator",
        ),
        _plot(
            f"expert-gates-{slug}",
            load_figure(study, gates=True),
            title="Mean gate of the experts",
            caption="Mean gate of each expert over all tokens, in per cent: what the routers give to each.",
            alt=f"Mean gate of each expert of {study.model} by block and generator",
        ),
    ]
    if study.maps:
        blocks.append(
            _plot(
                f"expert-maps-{slug}",
                map_figure(study, family=family),
                title="What each expert sees: t-SNE maps",
                caption=f"Frozen MLP's output plus that of one expert ({study.token}), {len(study.mapped):,} "
                "images. Near means alike; distances between groups, their sizes and the axes mean nothing.",
                alt=f"t-SNE maps of {study.model} by block and expert",
            )
        )
    return Section(f"Inside {study.model}", tuple(blocks))


def _plot(name: str, figure: MplFigure, *, title: str, caption: str, alt: str) -> Plot:
    return Plot(name, title, caption, alt, as_svg(figure), as_png(figure))


def _slug(text: str) -> str:
    """Text as part of a file's name: lower-case ASCII letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "unnamed"
