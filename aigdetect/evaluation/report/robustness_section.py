"""What of a report says how detectors fare after operations on the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aigdetect.evaluation import tables
from aigdetect.evaluation.report.document import Block, Facts, Plot, Section, Text
from aigdetect.evaluation.report.plots import Level, robustness_figure
from aigdetect.evaluation.report.style import as_plot, slug
from aigdetect.evaluation.robustness import CLEAN, SUITE, LevelSummary
from aigdetect.metrics.measure import Figure


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
            name=f"robustness-{number}-{slug(group)}",
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
    return as_plot(
        name,
        robustness_figure(operations, measure=measure, around=around),
        title=title,
        caption="Bars are 95 % intervals.",
        alt=f"Robustness: {title}, by operation, level and detector",
    )
