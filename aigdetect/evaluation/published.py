"""Published figures: the paper's tables of its baselines and variants, as a data file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from aigdetect.parsing import STRICT_KEYS, parse, read_yaml

_FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A detector's row.

    Attributes:
        name: of the detector, as the paper has it.
        year: in which it was published.
        values: in per cent, one per column of the table.
        mean: the mean that the paper prints.
        note: what limits the comparison; empty if nothing does.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    name: str
    year: int
    values: tuple[float, ...]
    mean: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table of the paper.

    Attributes:
        key: ``"table1"`` ...
        title: what it shows.
        measure: key of the measure in `aigdetect.evaluation.results.MEASURES` that it compares with.
        mean_title: what the paper calls the mean.
        layout: ``"genimage"`` if its BigGAN is that of GenImage, else ``"univfd"``.
        columns: keys of the generators, in the paper's order; see families.yaml.
        rows: baselines, then the paper's own variants.
        source: where the figures are from.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    key: str
    title: str
    measure: str
    mean_title: str
    layout: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    source: str


@dataclass(frozen=True, slots=True)
class _File:
    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    source: str
    tables: tuple[dict[str, Any], ...]


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Tables 1 to 3 of the paper.

    Raises:
        ValueError: if the data file is damaged.
    """
    file = parse(_File, read_yaml(_FILE))
    return tuple(parse(PublishedTable, {**table, "source": file.source}) for table in file.tables)
