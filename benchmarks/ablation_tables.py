"""The paper's ablations as data: what its tables vary, what it found, and how to set figures beside them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from scipy import stats

from aigdetect.errors import UsageError
from aigdetect.parsing import STRICT_KEYS, parse, read_yaml

COLUMNS = ("GAN", "diffusion", "autoregressive", "average")
"""Families over whose generators average precision is averaged, and the mean over all generators."""

#: the backbone of the paper's ablations
PAPER_BACKBONE = "ViT-B-32"

_FILE = Path(__file__).with_name("ablations.yaml")


@dataclass(frozen=True)
class Published:
    """Figures of a row in the paper, in per cent.

    Attributes:
        average_precision: one per column of `COLUMNS`; None where the paper prints none.
        trainable: trainable parameters, in per cent of all.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    average_precision: tuple[float | None, float | None, float | None, float | None]
    trainable: float | None = None


@dataclass(frozen=True)
class Variant:
    """A row of a table.

    Attributes:
        name: as shown.
        settings: those of a recipe that make it.
        nearest: nothing is trained: the row is UnivFD's nearest neighbour on the frozen embedding.
        published: the paper's figures, by backbone.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    nearest: bool = False
    published: Mapping[str, Published] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """A table or figure of the paper.

    Attributes:
        key: ``"blocks"`` ...
        title: what it varies, and where it stands in the paper.
        rows: in the paper's order.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    key: str
    title: str
    rows: tuple[Variant, ...]


@dataclass(frozen=True)
class _File:
    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    source: str
    tables: tuple[Ablation, ...]


@dataclass(frozen=True)
class Measured:
    """What one run of a variant gave, in per cent.

    Attributes:
        seed: of the run.
        average_precision: one per column of `COLUMNS`; None where no generator of that family is there.
        by_generator: average precision of every generator.
        trainable: trainable parameters, in per cent of all.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    seed: int
    average_precision: tuple[float | None, float | None, float | None, float | None]
    by_generator: Mapping[str, float]
    trainable: float


@dataclass(frozen=True)
class Spread:
    """A figure over seeds: mean, and sample standard deviation (None with fewer than two seeds)."""

    mean: float
    deviation: float | None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.deviation:.2f}" if self.deviation is not None else "")


def read_ablations() -> tuple[Ablation, ...]:
    """The paper's ablations, in its order.

    Raises:
        ValueError: if the data file is damaged.
    """
    return parse(_File, read_yaml(_FILE)).tables


def choose(
    tables: Sequence[Ablation],
    *,
    backbone: str,
    keys: Sequence[str] = (),
    rows: Sequence[str] = (),
    sizes: Sequence[int] = (),
) -> tuple[Ablation, ...]:
    """The tables and rows that are asked for.

    Without names of rows, those that the paper has for this backbone, or, where it has none at all, for its
    own; and those that it has no figures for.

    Args:
        tables: to choose from.
        backbone: that is trained.
        keys: of tables; none for all.
        rows: names of rows; none as above.
        sizes: numbers of training images in the place of the paper's.

    Raises:
        UsageError: if a table or a row is not there.
    """
    known = {table.key for table in tables}
    if unknown := [key for key in keys if key not in known]:
        raise UsageError(f"--tables: {unknown[0]!r} is none of {', '.join(table.key for table in tables)}")
    chosen = [table for table in tables if not keys or table.key in keys]
    if sizes:
        of_sizes = tuple(Variant(f"{size} images", {"samples": size}) for size in sizes)
        chosen = [replace(table, rows=of_sizes) if table.key == "sizes" else table for table in chosen]
    names = {row.name for table in chosen for row in table.rows}
    if unknown := [name for name in rows if name not in names]:
        raise UsageError(f"--rows: {unknown[0]!r} is none of {', '.join(sorted(names))}")
    if rows:
        parts = [replace(table, rows=tuple(r for r in table.rows if r.name in rows)) for table in chosen]
    else:
        parts = [replace(table, rows=_of_backbone(table, backbone)) for table in chosen]
    return tuple(part for part in parts if part.rows)


def _of_backbone(table: Ablation, backbone: str) -> tuple[Variant, ...]:
    reference = reference_backbone(table, backbone)
    return tuple(
        row
        for row in table.rows
        if not row.published or "backbone" in row.settings or reference in row.published
    )


def reference_backbone(table: Ablation, backbone: str) -> str:
    """The backbone whose rows of the paper stand beside ours: ours, where the paper has it in this table."""
    there = any(backbone in row.published for row in table.rows)
    return backbone if there else PAPER_BACKBONE


def published_of(table: Ablation, row: Variant, backbone: str) -> tuple[str, Published] | None:
    """The paper's figures to show beside a row, and the backbone that they are of; None if it has none."""
    key = row.settings.get("backbone") or reference_backbone(table, backbone)
    found = row.published.get(key)
    return (key, found) if found is not None else None


def over_seeds(values: Iterable[float | None]) -> Spread | None:
    """Mean and spread; None if a seed has no value, or there is no seed."""
    numbers = list(values)
    defined = [value for value in numbers if value is not None]
    if not numbers or len(defined) < len(numbers):
        return None
    deviation = statistics.stdev(defined) if len(defined) > 1 else None
    return Spread(statistics.fmean(defined), deviation)


def rank_agreement(ours: Sequence[float], papers: Sequence[float]) -> float | None:
    """Spearman's rank correlation of both orders of the same rows, -1..1.

    None with fewer than three rows, or where all are equal.
    """
    if len(ours) < 3 or len(set(ours)) == 1 or len(set(papers)) == 1:
        return None
    return float(stats.spearmanr(ours, papers).statistic)
