"""The copied figures against what the paper itself says of them: its means, in tables and in the text."""

from __future__ import annotations

import re
from statistics import fmean

import pytest

from aigdetect.evaluation.families import read_families
from aigdetect.evaluation.published import PublishedRow, PublishedTable, published_tables
from aigdetect.evaluation.results import MEASURES

TABLES = {table.key: table for table in published_tables()}
ROWS = [(key, row) for key, table in TABLES.items() for row in table.rows]


def mean(key: str, name: str, family: str, *more: str) -> float:
    table = TABLES[key]
    families = [read_families().find(column).family for column in table.columns]
    (row,) = (row for row in table.rows if row.name == name)
    return fmean(v for v, f in zip(row.values, families, strict=True) if f in (family, *more))


@pytest.mark.parametrize(("key", "row"), ROWS, ids=[f"{key} {row.name}" for key, row in ROWS])
def test_the_means_of_the_paper_come_out_of_its_rows(key: str, row: PublishedRow) -> None:
    assert len(row.values) == len(TABLES[key].columns)
    # the one row whose printed mean is not that of the figures printed; its note gives the right one
    stated = re.search(r"that of the figures printed is ([\d.]+)", row.note)
    # some means are rounded, some cut
    assert fmean(row.values) == pytest.approx(float(stated[1]) if stated else row.mean, abs=0.0101)
    assert bool(stated) == (key == "table2" and row.name == "FreqSpec")


@pytest.mark.parametrize(
    ("name", "families", "precision", "accuracy"),
    [
        ("CNNSpot", ["GAN"], 94.19, 85.29),
        ("CNNSpot", ["diffusion"], 76.22, 59.06),
        ("DIRE", ["diffusion"], 95.95, 86.05),
        ("DIRE", ["GAN"], 85.84, 80.15),
        ("UnivFD", ["low-level vision"], 70.17, 60.25),
        ("MoLE (ViT-L/14)", ["diffusion", "autoregressive"], 98.64, 94.74),
    ],
)
def test_the_means_in_the_papers_text(
    name: str, families: list[str], precision: float, accuracy: float
) -> None:
    assert mean("table1", name, *families) == pytest.approx(precision, abs=0.0101)
    assert mean("table2", name, *families) == pytest.approx(accuracy, abs=0.0101)


def test_the_gains_that_the_paper_claims() -> None:
    ours, theirs = ("MoLE (ViT-L/14)", "UnivFD")
    unseen = ("diffusion", "autoregressive")
    assert mean("table1", ours, *unseen) - mean("table1", theirs, *unseen) == pytest.approx(3.64, abs=0.011)
    assert mean("table2", ours, *unseen) - mean("table2", theirs, *unseen) == pytest.approx(12.72, abs=0.011)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_and_measures_are_known(table: PublishedTable) -> None:
    known = read_families()
    assert [known.find(column).key for column in table.columns] == list(table.columns)
    assert table.measure in MEASURES
    assert len(table.columns) == (9 if table.layout == "genimage" else 19)
    assert "Liu" in table.source
