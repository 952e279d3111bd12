"""How the rows of a scan look to people: a table on a terminal, plain lines anywhere else."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aigdetect.cli.printing import printing, put
from aigdetect.scanning.record import Record
from aigdetect.text import log10_lr_text, one_line, printable, score_text

MAX_ROWS = 50
"""A table of more rows is of no use on a terminal."""

_ROOMY = 100  # cells of a terminal on which a column more leaves the remarks their room, beside that column
_OPINION = 16  # cells of a further model's column: "uncertain 0.5000"
_LONGEST_CLAIM = 80  # characters; all of it is in CSV and JSON Lines
_STYLES = {"ai": "bold red", "uncertain": "yellow", "real": "green", "error": "magenta"}
_WEIGHTS = {"ai": 0, "error": 1, "uncertain": 2, "real": 3}


class Lines:
    """Prints one line per record: path, verdict, score, log10 LR and remarks, with tabs between.

    Control characters come out as escapes: the lines are for eyes, ``--json`` and ``--csv`` for programs.
    """

    def __enter__(self) -> Lines:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def write(self, record: Record) -> None:
        """Print one record."""
        cells = (
            record.shown_path,
            _verdict(record),
            score_text(record.score),
            log10_lr_text(record.log10_lr),
            _remarks(record),
        )
        put("\t".join(map(printable, cells)) + "\n")


@dataclass(order=True)
class _Weighed:
    key: tuple[int, float, int]
    record: Record = field(compare=False)


class Highlights:
    """Collects records and prints them as a table at the end.

    Up to ``limit`` records are shown in the order found. Of more, those that ask for attention are shown: the
    flagged by falling score, then the failed, the uncertain and the rest. Memory holds ``limit`` records.
    What further models say has columns where the terminal is wide enough, and else stands in the remarks.

    Args:
        console: where to print.
        limit: rows to show.
    """

    def __init__(self, console: Console, limit: int = MAX_ROWS) -> None:
        self.console = console
        self.limit = limit
        self._count = 0
        self._kept: list[_Weighed] = []

    def __enter__(self) -> Highlights:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Print the table, also of a scan that was cut short."""
        with printing():
            if self._kept:
                self.console.print(self._table())
            if self._count > len(self._kept):
                shown = f"{len(self._kept)} of {self._count} rows"
                self.console.print(f"{shown}, those to look at first; all of them: --csv FILE")

    def write(self, record: Record) -> None:
        """Take in one record."""
        insort(self._kept, _Weighed((_WEIGHTS[_verdict(record)], -(record.score or 0), self._count), record))
        self._count += 1
        del self._kept[self.limit :]

    def _table(self) -> Table:
        kept = self._kept
        if self._count <= self.limit:
            kept = sorted(kept, key=lambda weighed: weighed.key[-1])
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("path", "verdict"):
            table.add_column(title, no_wrap=True)
        for title in ("score", "log10 LR"):
            table.add_column(title, no_wrap=True, justify="right")
        others = self._others()
        for name in others:
            table.add_column(Text(shorten(printable(name), _OPINION)), no_wrap=True)
        table.add_column("remarks", overflow="fold")
        room = max(24, self.console.width // 2 - 14)
        for record in (weighed.record for weighed in kept):
            verdict = _verdict(record)
            table.add_row(
                Text(shorten(printable(record.shown_path), room)),
                Text(verdict, style=_STYLES[verdict]),
                score_text(record.score),
                log10_lr_text(record.log10_lr),
                *(_opinion(record, name) for name in others),
                Text(printable(_remarks(record, opinions=not others))),
            )
        return table

    def _others(self) -> tuple[str, ...]:
        """The further models that have a column: all or none."""
        names = tuple(opinion.model for opinion in self._kept[0].record.also)
        return names if self.console.width >= _ROOMY + len(names) * (_OPINION + 2) else ()


def shorten(text: str, width: int) -> str:
    """Cut text in the middle to ``width`` cells of a terminal at most; its end tells more and keeps more."""
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, width // 3)
    room = width - cell_len(head) - 1
    tail = text[-room:]
    while cell_len(tail) > room:
        tail = tail[1:]
    return f"{head}…{tail}"


def _verdict(record: Record) -> str:
    return record.verdict or record.status


def _remarks(record: Record, *, opinions: bool = True) -> str:
    """Why there is no score or what limits it, what others say, and what in the metadata must be seen."""
    remarks = (record.error,) if record.error else record.notes
    return "; ".join((*remarks, *(_opinions(record) if opinions else ()), *_claims(record)))


def _opinion(record: Record, model: str) -> Text:
    """Verdict and score of a further model; empty if it gave none."""
    said = next((opinion for opinion in record.also if opinion.model == model), None)
    if said is None or said.verdict is None:
        return Text()
    return Text.assemble((said.verdict, _STYLES[said.verdict]), " ", score_text(said.score))


def _opinions(record: Record) -> Iterator[str]:
    for opinion in record.also:
        if opinion.verdict is not None:
            yield f"{opinion.model}: {opinion.verdict} ({score_text(opinion.score)})"


def _claims(record: Record) -> Iterator[str]:
    if record.provenance is None:
        return
    for strongest in record.provenance.ai_claims[:1]:
        yield one_line(f"metadata: {strongest.says.value}, {strongest.claim}", _LONGEST_CLAIM)
    if record.provenance.contradictions:
        yield "metadata: contradictory"
