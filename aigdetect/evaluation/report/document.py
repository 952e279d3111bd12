"""A report as sections of texts, tables and plots, before it is known how they will be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from aigdetect.metrics.measure import Figure

LABELS = ("real", "generated")
"""Classes in words, by label."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph.

    Attributes:
        text: what it says; names in it are shown as data.
        kind: ``"plain"``, ``"warning"``, or ``"small"`` for what explains a table or plot.
    """

    text: str
    kind: Literal["plain", "warning", "small"] = "plain"


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms and what is to be said of each."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what is in it.
        detail: what stands smaller beside it, such as an interval.
        note: number of the table's note that belongs to it; 0 for none.
        number: whether it is set as a number.
    """

    text: str
    detail: str = ""
    note: int = 0
    number: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: as many as the table has columns; one alone for a heading.
        kind: ``"plain"``, ``"heading"`` across the table, or ``"total"``.
    """

    cells: tuple[Cell, ...]
    kind: Literal["plain", "heading", "total"] = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        columns: titles of the columns.
        rows: its rows.
        notes: its notes, the first one has the number 1.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def number_columns(self) -> frozenset[int]:
        """Places of the columns that hold numbers."""
        cells = (
            (place, cell)
            for row in self.rows
            if row.kind != "heading"
            for place, cell in enumerate(row.cells)
        )
        return frozenset(place for place, cell in cells if cell.number)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        name: of its file, without the ending: letters, digits and dashes.
        title: what it shows, in a few words.
        caption: how to read it.
        alt: what it shows, for who cannot see it.
        svg: the plot itself, for a page.
        png: the plot itself, as a file of its own.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: bytes = field(repr=False)
    png: bytes = field(repr=False)


Block: TypeAlias = "Text | Facts | Table | Plot"


@dataclass(frozen=True, slots=True)
class Section:
    """A section with its heading."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report.

    Attributes:
        title: its heading.
        subtitle: what was measured, when, with which version.
        sections: in order.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]

    @property
    def plots(self) -> tuple[Plot, ...]:
        """All plots, in order."""
        return tuple(
            block for section in self.sections for block in section.blocks if isinstance(block, Plot)
        )


class TableBuilder:
    """Collects the rows of a table and numbers its notes, each of which comes once.

    Args:
        caption: what the table shows.
        columns: titles of the columns.
    """

    def __init__(self, caption: str, columns: Sequence[str]) -> None:
        self.caption = caption
        self.columns = tuple(columns)
        self._rows: list[Row] = []
        self._notes: dict[str, int] = {}

    def heading(self, text: str) -> None:
        """Add a heading across the table."""
        self._rows.append(Row((Cell(text),), "heading"))

    def row(
        self, cells: Iterable[Cell | Figure | str | int], *, kind: Literal["plain", "total"] = "plain"
    ) -> None:
        """Add a row; its figures come with their intervals, and what limits them as notes.

        Raises:
            ValueError: if it has not as many cells as the table has columns.
        """
        made = tuple(self._cell(cell) for cell in cells)
        if len(made) != len(self.columns):
            raise ValueError(f"a row of {len(made)} cells in a table of {len(self.columns)} columns")
        self._rows.append(Row(made, kind))

    def table(self) -> Table:
        """The table so far."""
        return Table(self.caption, self.columns, tuple(self._rows), tuple(self._notes))

    def _cell(self, content: Cell | Figure | str | int) -> Cell:
        if isinstance(content, Cell):
            return content
        if isinstance(content, Figure):
            note = self._notes.setdefault(content.reason, len(self._notes) + 1) if content.reason else 0
            return Cell(value_text(content), interval_text(content), note, number=True)
        return Cell(f"{content:,}" if isinstance(content, int) else content, number=isinstance(content, int))


def value_text(figure: Figure) -> str:
    """A figure to three decimals, or ``"not defined"``; 1 and 0 only if they are exact."""
    value = figure.value
    if value is None:
        return "not defined"
    text = f"{value:.3f}"
    if text == "1.000" and value < 1:
        return ">0.999"
    if text in ("0.000", "-0.000") and value:
        return "<0.001" if value > 0 else ">−0.001"
    return text.replace("-", "−")


def interval_text(figure: Figure) -> str:
    """The interval of a figure to three decimals, empty if there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{figure.low:.3f} to {figure.high:.3f}".replace("-", "−")
