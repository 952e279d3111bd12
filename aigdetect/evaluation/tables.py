"""The tables of an evaluation, in the paper's order and grouping, for terminal and report alike."""

from __future__ import annotations

from collections.abc import Sequence

from aigdetect.evaluation.benchmark import REAL
from aigdetect.evaluation.families import FAMILIES, read_families
from aigdetect.evaluation.measuring import MEAN, POOLED
from aigdetect.evaluation.published import PublishedTable
from aigdetect.evaluation.report.document import Cell, Table, TableBuilder
from aigdetect.evaluation.results import (
    MEASURES,
    BenchmarkSet,
    EvaluatedDetector,
    EvaluatedSet,
    Evaluation,
    Run,
)
from aigdetect.evaluation.robustness import CLEAN, LevelSummary
from aigdetect.metrics.measure import Figure

BY_GENERATOR = ("average_precision", "roc_auc", "balanced_accuracy")
"""Measures that are told by generator; all others are in the results."""


def data_table(sets: Sequence[BenchmarkSet]) -> Table:
    """The sets of a benchmark: real and generated images, and where the real ones are from."""
    builder = TableBuilder(
        "Sets of the benchmark: a generator and the real images it is compared with",
        ("generator", "family", "real", "generated", "real images from"),
    )
    for each in sets:
        left_out = f"; {each.left_out} images left out" if each.left_out else ""
        reals = each.reals or "none: what needs both classes is not defined"
        builder.row([each.name, each.family, len(each.real), len(each.generated), f"{reals}{left_out}"])
    return builder.table()


def summary_table(run: Run) -> Table:
    """All measures by detector: the mean over generators, then all images as one set."""
    names = [detector.name for detector in run.detectors]
    builder = TableBuilder(f"Figures of merit{_after(run)}", ("", *names))
    for title, sets in (
        (MEAN, [detector.mean for detector in run.detectors]),
        (POOLED, [detector.pooled for detector in run.detectors]),
    ):
        if any(each.figures for each in sets):
            builder.heading(title)
            for key, told in MEASURES.items():
                if any(key in each.figures for each in sets):
                    builder.row([told, *(each.figures.get(key, _NONE) for each in sets)])
    return builder.table()


def generator_table(sets: Sequence[BenchmarkSet], run: Run, measure: str) -> Table:
    """One measure by generator and detector, grouped by family, with the means of the families and of all.

    Args:
        sets: of the evaluation.
        run: whose detectors are told.
        measure: a key of `MEASURES`.
    """
    names = [detector.name for detector in run.detectors]
    builder = TableBuilder(
        f"{_capital(MEASURES[measure])} by generator{_after(run)}", ("generator", "real", "generated", *names)
    )
    for family in FAMILIES:
        places = [place for place, each in enumerate(sets) if each.family == family]
        if places:
            builder.heading(family)
        for place in places:
            figures = [detector.sets[place].figures[measure] for detector in run.detectors]
            counts = [len(sets[place].real), len(sets[place].generated)]
            builder.row([sets[place].name, *counts, *figures])
        if len(places) > 1:
            means = [_of_family(detector, family).figures[measure] for detector in run.detectors]
            builder.row([f"mean of {family}", "", "", *means], kind="total")
    generated = sum(bool(each.generated) for each in sets)
    if generated:
        means = [detector.mean.figures[measure] for detector in run.detectors]
        noun = "generator" if generated == 1 else "generators"
        builder.row([f"mean over {generated} {noun}", "", "", *means], kind="total")
    return builder.table()


def real_table(sets: Sequence[BenchmarkSet], run: Run) -> Table | None:
    """False-positive rates on real images that no generator is compared with; None if there are none."""
    places = [place for place, each in enumerate(sets) if each.family == REAL]
    if not places:
        return None
    columns = [
        (detector, key, told)
        for detector in run.detectors
        for key, told in (
            ("false_positive_rate", "above threshold"),
            ("false_positive_rate_ai", "verdict ai"),
        )
    ]
    builder = TableBuilder(
        f"False-positive rate on real images alone{_after(run)}",
        ("source", "real", *(f"{detector.name}, {told}" for detector, _, told in columns)),
    )
    for place in places:
        figures = [detector.sets[place].figures[key] for detector, key, _ in columns]
        builder.row([sets[place].name, len(sets[place].real), *figures])
    return builder.table()


def paper_table(evaluation: Evaluation, table: PublishedTable) -> Table:
    """A published table with our detectors beside it, in per cent: generators as rows, detectors as columns.

    Our mean is given only if every generator of the table was measured, as means over other generators do not
    compare.
    """
    families = read_families()
    ours = evaluation.detectors
    places = _places(evaluation.sets, table)
    measured = sum(place is not None for place in places)
    builder = TableBuilder(
        f"{table.title} (%), with {measured} of {len(table.columns)} generators measured here",
        ("generator", *(row.name for row in table.rows), *(f"{each.name} (here)" for each in ours)),
    )
    family = ""
    for column, key in enumerate(table.columns):
        generator = families.find(key)
        if generator.family != family:
            family = generator.family
            builder.heading(family)
        place = places[column]
        cells = [
            Cell("") if place is None else _percent(each.sets[place].figures[table.measure]) for each in ours
        ]
        builder.row([generator.title, *(_number(row.values[column]) for row in table.rows), *cells])
    complete = measured == len(table.columns)
    means = [
        _percent(_mean_of_columns(each, places, table.measure)) if complete else Cell("") for each in ours
    ]
    builder.row(
        [table.mean_title, *(_number(row.mean, row.note) for row in table.rows), *means], kind="total"
    )
    return _with_notes(builder.table(), table)


def robustness_table(detector: str, levels: Sequence[LevelSummary]) -> Table:
    """What every operation did to a detector, the clean images first."""
    groups = list(levels[0].average_precision)
    columns = ("operation", *(f"AP, {group}" for group in groups), f"balanced accuracy, {groups[0]}")
    builder = TableBuilder(
        f"{detector} under every operation", (*columns, "false-positive rate", "its change")
    )
    for level in levels:
        name = level.name if level.name == CLEAN else f"{level.name} {level.level:g}"
        precisions = [level.average_precision[group] for group in groups]
        accuracy = level.accuracy[groups[0]]
        builder.row([name, *precisions, accuracy, level.false_positive_rate, level.drift])
    return builder.table()


_NONE = Cell("")


def _after(run: Run) -> str:
    return f", after {run.parity} on both classes" if run.parity else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _of_family(detector: EvaluatedDetector, family: str) -> EvaluatedSet:
    return next(each for each in detector.families if each.name == family)


def _places(sets: Sequence[BenchmarkSet], table: PublishedTable) -> list[int | None]:
    """For each column of a published table, the place of our set of that generator, if there is one."""
    found: list[int | None] = []
    for key in table.columns:
        places = [
            place
            for place, each in enumerate(sets)
            if each.generator == key
            # BigGAN is in both benchmarks, with other images
            and (key != "biggan" or ("GenImage" in each.layout) == (table.layout == "genimage"))
        ]
        found.append(places[0] if len(places) == 1 else None)
    return found


def _mean_of_columns(detector: EvaluatedDetector, places: Sequence[int | None], measure: str) -> Figure:
    values = [detector.sets[place].figures[measure].value for place in places if place is not None]
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return Figure(None, reason="not defined for one of the generators")
    return Figure(sum(defined) / len(defined))


def _percent(figure: Figure) -> Cell | Figure:
    return figure if figure.value is None else _number(100 * figure.value)


def _number(value: float, note: str = "") -> Cell:
    return Cell(f"{value:.2f}{'*' if note else ''}", number=True)


def _with_notes(made: Table, table: PublishedTable) -> Table:
    notes = [f"* {row.name}: {row.note}" for row in table.rows if row.note]
    return Table(made.caption, made.columns, made.rows, (*made.notes, *notes, f"source: {table.source}"))
