from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aigdetect.data.layouts import DataSet, Sample
from aigdetect.evaluation.benchmark import Benchmark, build_benchmark
from aigdetect.evaluation.bias import BiasAudit
from aigdetect.evaluation.families import read_families
from aigdetect.evaluation.foreign import ForeignScores
from aigdetect.evaluation.from_plan import evaluate as run_plan
from aigdetect.evaluation.plan import Plan, Request
from aigdetect.evaluation.protocols import PROTOCOLS
from aigdetect.evaluation.published import published_tables
from aigdetect.evaluation.report.document import Table
from aigdetect.evaluation.results import Evaluation, ImageScore
from aigdetect.evaluation.robustness import parse_operations, summarise
from aigdetect.evaluation.tables import (
    data_table,
    generator_table,
    paper_table,
    real_table,
    robustness_table,
    summary_table,
)
from aigdetect.metrics.measure import Figure

AUDIT = BiasAudit((), (), Figure(None), 0)


def made(layout: str = "0_real/1_fake folders", *names: str) -> Benchmark:
    samples = tuple(
        Sample(f"/d/{name}/{label}/{index}.png", label, name, root="/d")
        for name in names
        for label in (0, 1)
        for index in range(2)
    )
    return build_benchmark([DataSet("/d", layout, samples)], read_families())


def evaluate(benchmark: Benchmark, wrong: str = "") -> Evaluation:
    """A detector that is always right, but for one generator, where one real image scores highest."""
    scores = [
        ImageScore(float(image.label) or (1.5 if image.generator == wrong and "0.png" in image.path else 0.1))
        for image in benchmark.images
    ]
    plan = Plan(
        request=Request(data=(), resamples=0),
        found=(),
        benchmark=benchmark,
        protocol=PROTOCOLS["ours"],
        models=(),
        foreign=(ForeignScores("mine", Path("s.csv"), "score", tuple(scores), ()),),
        parity=None,
        operations=(),
    )
    return run_plan(plan, (), [AUDIT], published=published_tables())


def column(table: Table, title: str) -> dict[str, str]:
    place = table.columns.index(title)
    return {row.cells[0].text: row.cells[place].text for row in table.rows if row.kind != "heading"}


def headings(table: Table) -> list[str]:
    return [row.cells[0].text for row in table.rows if row.kind == "heading"]


def test_generators_stand_in_the_papers_order_by_family_with_means() -> None:
    evaluation = evaluate(
        made("0_real/1_fake folders", "dalle", "kolors", "biggan", "progan", "odd"), "biggan"
    )
    table = generator_table(evaluation.sets, evaluation.runs[0], "balanced_accuracy")
    assert headings(table) == ["GAN", "diffusion", "autoregressive", "unknown"]
    assert list(column(table, "mine").items()) == [
        ("ProGAN", "0.500"),  # all real images lie above 0, the threshold of scores of no known scale
        ("BigGAN", "0.500"),
        ("mean of GAN", "0.500"),
        ("Kolors", "0.500"),
        ("DALL-E", "0.500"),
        ("odd", "0.500"),
        ("mean over 5 generators", "0.500"),
    ]
    precision = generator_table(evaluation.sets, evaluation.runs[0], "average_precision")
    assert column(precision, "mine")["BigGAN"] == "0.667"
    assert column(precision, "real")["BigGAN"] == "2"


def test_the_papers_tables_get_a_column_of_ours_and_no_mean_of_a_part() -> None:
    evaluation = evaluate(made("0_real/1_fake folders", "progan", "dalle"))
    table = paper_table(evaluation, published_tables()[0])
    assert "with 2 of 19 generators measured here" in table.caption
    ours = column(table, "mine (here)")
    assert (ours["ProGAN"], ours["DALL-E"], ours["CycleGAN"], ours["mAP"]) == ("100.00", "100.00", "", "")
    theirs = column(table, "UnivFD")
    assert (theirs["CycleGAN"], theirs["mAP"]) == ("99.46", "93.38")
    assert headings(table)[:3] == ["GAN", "edited", "low-level vision"]
    assert column(table, "FreqSpec")["mAP"] == "66.21*"
    assert any("trained on CycleGAN" in note for note in table.notes)


def test_a_whole_table_of_the_paper_has_our_mean() -> None:
    published = published_tables()[0]
    evaluation = evaluate(made("0_real/1_fake folders", *published.columns))
    assert column(paper_table(evaluation, published), "mine (here)")["mAP"] == "100.00"


@pytest.mark.parametrize(
    ("layout", "in_first", "in_third"),
    [("0_real/1_fake folders", "100.00", ""), ("GenImage ai/nature", "", "50.00")],
)
def test_biggan_is_told_apart_by_layout(layout: str, in_first: str, in_third: str) -> None:
    evaluation = evaluate(made(layout, "BigGAN"))
    first, _, third = (column(paper_table(evaluation, each), "mine (here)") for each in published_tables())
    assert (first["BigGAN"], third["BigGAN"]) == (in_first, in_third)


def test_sets_say_where_their_real_images_are_from() -> None:
    table = data_table(made("0_real/1_fake folders", "progan").sets)
    assert [cell.text for cell in table.rows[0].cells] == ["ProGAN", "GAN", "2", "2", "own"]


def test_real_images_alone() -> None:
    samples = tuple(Sample(f"/d/{index}.png", 0, "agency", root="/d") for index in range(3))
    benchmark = build_benchmark([DataSet("/d", "one folder", samples)], read_families())
    evaluation = evaluate(benchmark)
    table = real_table(evaluation.sets, evaluation.runs[0])
    assert table is not None
    assert column(table, "mine, above threshold") == {"agency": "1.000"}
    assert column(table, "mine, verdict ai") == {"agency": "not defined"}
    assert real_table(made("x", "progan").sets, evaluation.runs[0]) is None
    assert headings(summary_table(evaluation.runs[0])) == ["all images"]


def test_summary() -> None:
    evaluation = evaluate(made("0_real/1_fake folders", "progan"))
    table = summary_table(evaluation.runs[0])
    assert headings(table) == ["mean over generators", "all images"]
    assert column(table, "mine")["average precision"] == "1.000"
    after = summary_table(replace(evaluation.runs[0], parity="jpeg:90"))
    assert after.caption.endswith("after jpeg:90 on both classes")


def test_robustness_tells_every_level_the_clean_images_first() -> None:
    operations = parse_operations("blur:2,jpeg:50")
    labels = np.array([0] * 12 + [1] * 12)
    levels = summarise(
        labels,
        labels.astype(float),
        [(each, 1 - labels.astype(float)) for each in operations],
        groups={"all generators": labels >= 0},
        threshold=0.5,
        resamples=10,
    )
    table = robustness_table("mine", levels)
    assert column(table, "AP, all generators") == {"clean": "1.000", "blur 2": "0.500", "jpeg 50": "0.500"}
    assert column(table, "its change")["blur 2"] == "1.000"
