"""How the blocks of a report look on a terminal: texts, facts and tables; plots are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from aigdetect.evaluation.report.document import Block, Cell, Facts, Plot, Row, Table, Text
from aigdetect.text import printable

_STYLES = {"plain": "", "warning": "bold yellow", "small": "dim"}
_GAP = 2  # between two columns


def show_title(console: Console, text: str) -> None:
    """Print the title of a section."""
    console.print()
    console.print(RichText(printable(text), style="bold"))


def show_blocks(console: Console, blocks: Iterable[Block]) -> None:
    """Print blocks one after the other; names in them cannot drive the terminal."""
    before: Block | None = None
    for block in blocks:
        if isinstance(block, Plot):
            continue
        if not (isinstance(block, Text) and isinstance(before, Text)):
            console.print()
        before = block
        if isinstance(block, Table):
            _show_table(console, block)
        elif isinstance(block, Facts):
            for term, said in block.pairs:
                console.print(RichText(printable(f"{term}: {said}")))
        else:
            text = f"warning: {block.text}" if block.kind == "warning" else block.text
            console.print(RichText(printable(text), style=_STYLES[block.kind]))


def _show_table(console: Console, table: Table) -> None:
    console.print(RichText(printable(table.caption), style="italic"))
    for places in _fitting(table, console.width):
        console.print(_part(table, places))
    for number, note in enumerate(table.notes, start=1):
        console.print(RichText(printable(f"[{number}] {note}"), style=_STYLES["small"]))


def _fitting(table: Table, width: int) -> Iterator[list[int]]:
    """Columns that fit beside each other and beside the first one, which each part repeats."""
    numbers = table.number_columns
    widths = [
        _width(table, place) + _GAP if place in numbers else _GAP for place in range(len(table.columns))
    ]
    widths[0] = _width(table, 0) + _GAP
    part: list[int] = []
    room = 0
    for place, own in enumerate(widths[1:], start=1):
        if part and own > room:
            yield [0, *part]
            part = []
        room = (room if part else width - widths[0]) - own
        part.append(place)
    yield [0, *part]


def _width(table: Table, place: int) -> int:
    """Cells of a terminal that a column needs below its title, which can be folded."""
    rows = (row for row in table.rows if row.kind != "heading")
    return max((_cell(row.cells[place], "").cell_len for row in rows), default=0)


def _part(table: Table, places: Sequence[int]) -> RichTable:
    numbers = table.number_columns
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    for place in places:
        number = place in numbers
        shown.add_column(
            RichText(printable(table.columns[place])),
            justify="right" if number else "left",
            overflow="fold",
            min_width=_width(table, place) if number else None,
        )
    for row in table.rows:
        cells = _cells(row, len(table.columns))
        shown.add_row(*(cells[place] for place in places), style="bold" if row.kind == "total" else None)
    return shown


def _cells(row: Row, columns: int) -> list[RichText]:
    style = "underline" if row.kind == "heading" else ""
    cells = [_cell(cell, style) for cell in row.cells]
    return cells + [RichText("")] * (columns - len(cells))


def _cell(cell: Cell, style: str) -> RichText:
    text = RichText(printable(cell.text), style=style)
    if cell.detail:
        text.append(f" ({printable(cell.detail)})", style=_STYLES["small"])
    if cell.note:
        text.append(f" [{cell.note}]", style=_STYLES["small"])
    return text
