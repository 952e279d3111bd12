"""Write a report's sections as Markdown, with tables as GitHub reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aigdetect.evaluation.report.document import Block, Cell, Document, Facts, Plot, Table, Text
from aigdetect.text import printable

# an underscore inside a word is none of Markdown's
_MEANS_SOMETHING = re.compile(r"[\\`*\[\]<>|~&#$@]|(?<![^\W_])_|_(?![^\W_])")


def to_markdown(document: Document) -> str:
    """A report as Markdown; plots are links to ``figures/NAME.png`` beside it.

    Text of unknown origin can neither break a table nor become markup: what means something to Markdown gets
    a backslash, control and format characters come out as escapes.
    """
    lines = [f"# {_plain(document.title)}", "", _plain(document.subtitle), ""]
    for section in document.sections:
        lines += [f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return "\n".join(lines)


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield f"> **Warning.** {_plain(block.text)}" if block.kind == "warning" else _plain(block.text)
    elif isinstance(block, Facts):
        for term, said in block.pairs:
            yield f"- {_plain(term)}: {_plain(said)}"
    elif isinstance(block, Plot):
        yield f"**{_plain(block.title)}**"
        yield ""
        yield f"![{_plain(block.alt)}](figures/{block.name}.png)"
        yield ""
        yield _plain(block.caption)
    else:
        yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    yield f"**{_plain(table.caption)}**"
    yield ""
    yield _line([_plain(column) for column in table.columns])
    yield _line(["---:" if place in table.number_columns else "---" for place in range(len(table.columns))])
    for row in table.rows:
        cells = [_cell(cell) for cell in row.cells]
        cells[0] = f"**{cells[0]}**" if row.kind != "plain" else cells[0]
        yield _line(cells + [""] * (len(table.columns) - len(cells)))
    if table.notes:
        yield ""
    for number, note in enumerate(table.notes, start=1):
        yield f"{number}. {_plain(note)}"


def _cell(cell: Cell) -> str:
    detail = f" ({_plain(cell.detail)})" if cell.detail else ""
    note = f" [{cell.note}]" if cell.note else ""
    return f"{_plain(cell.text)}{detail}{note}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return _MEANS_SOMETHING.sub(r"\\\g<0>", printable(text))
