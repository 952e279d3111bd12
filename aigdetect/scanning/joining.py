"""Join the parts of a scan that several machines shared: row by row, byte for byte."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from aigdetect.errors import UsageError
from aigdetect.files import writing, writing_atomically
from aigdetect.replacing import refuse_inputs
from aigdetect.scanning.case import CaseFolder
from aigdetect.scanning.journal import Journal, Line
from aigdetect.scanning.ledger import KINDS, journal_beside, read_row
from aigdetect.scanning.settings import difference, names_of_others
from aigdetect.scanning.shard import Shard


@dataclass(frozen=True)
class _Part:
    """A part of a scan: where it is, its open journal and its files of rows by form."""

    path: Path
    journal: Journal
    files: Mapping[str, Path]

    @property
    def also(self) -> tuple[str, ...]:
        """What further models are called, of which the rows have columns."""
        return names_of_others(self.journal.fact("settings"))

    @property
    def shard(self) -> Shard:
        text = self.journal.fact("settings")["shard"]
        if not text:
            raise UsageError(f"{self.path}: is no part of a scan; parts are made with --shard")
        return Shard.parse(text)


@dataclass(frozen=True)
class _Row:
    """A row of a part: its line in the journal, and by form its place in the part's file."""

    part: int
    line: Line
    spans: Mapping[str, tuple[int, int]]


def merge(
    parts: Sequence[Path], outputs: Mapping[str, Path], *, warn: Callable[[str], None]
) -> Mapping[str, int]:
    """Join parts, in the order in which one machine alone would have met the files.

    Args:
        parts: files of rows, beside which their journals lie, or case folders.
        outputs: files to write, by form (``"csv"``, ``"jsonl"``); existing ones are replaced.
        warn: called with one line if the parts did not meet the same files.

    Returns:
        how many rows say what: verdicts, and ``error``.

    Raises:
        UsageError: if a part is missing, doubled, unfinished, changed since or made with other settings, if a
            file has two rows, if an output is a file of a part, or if something cannot be read or written;
            then nothing is written.
    """
    with ExitStack() as stack:
        opened = [_open(path, stack) for path in parts]
        _check(opened)
        _refuse_doubled(opened)
        refuse_inputs(outputs.values(), (file for part in opened for file in part.files.values()))
        counts = sum((Counter(part.journal.outcomes()) for part in opened), Counter[str]())
        met = {part.journal.fact("met") for part in opened}
        if met != {counts.total()}:
            warn(
                f"the parts met {' or '.join(map(str, sorted(met)))} files and have {counts.total()} rows: "
                "files came or went meanwhile, or the machines did not see the same paths"
            )
        sources = {kind: [_source(part, kind, stack) for part in opened] for kind in outputs}
        targets = {kind: stack.enter_context(writing_atomically(path)) for kind, path in outputs.items()}
        for kind, target in targets.items():
            with writing(outputs[kind]):
                target.write(_header(kind, opened[0].also))
        for row in _in_order(opened):
            for kind, target in targets.items():
                data = read_row(sources[kind][row.part], *row.spans[kind])
                with writing(outputs[kind]):
                    target.write(data)
    return counts


def _open(path: Path, stack: ExitStack) -> _Part:
    journal = CaseFolder(path).targets.journal if path.is_dir() else journal_beside(path)
    if journal is None or not journal.is_file():
        raise UsageError(f"{path}: no part of a scan (there is no {journal})")
    if journal.with_name(f"{journal.name}-wal").exists():
        raise UsageError(f"{path}: its scan goes on, or was cut short: finish it with --resume")
    held = stack.enter_context(Journal(journal, frozen=True))
    if not held.fact("finished"):
        raise UsageError(f"{path}: its scan was cut short: finish it with --resume")
    files = {kind: journal.parent / name for kind, name in held.fact("files").items()}
    return _Part(path, held, files)


def _check(parts: Sequence[_Part]) -> None:
    """Refuse parts that are not all the parts of one scan."""
    first = parts[0]
    shards: dict[Shard, _Part] = {}
    for part in parts:
        unlike = difference(first.journal.fact("settings"), part.journal.fact("settings"), without="shard")
        if unlike:
            raise UsageError(f"{part.path}: does not fit {first.path}, which was made with {unlike}")
        shard, count = part.shard, first.shard.count
        if shard.count != count:
            raise UsageError(f"{part.path}: is part {shard}, and {first.path} is part {first.shard}")
        if shard in shards:
            raise UsageError(f"{part.path}: is part {shard}, and so is {shards[shard].path}")
        shards[shard] = part
    missing = [str(index) for index in range(1, count + 1) if Shard(index, count) not in shards]
    if missing:
        raise UsageError(f"of {count} parts these are missing: {', '.join(missing)}")


def _refuse_doubled(parts: Sequence[_Part]) -> None:
    """Refuse parts that have a row for the same file, as those of machines with other current folders may."""
    with ExitStack() as stack:
        each = [stack.enter_context(closing(_paths(index, part))) for index, part in enumerate(parts)]
        for (path, index, number), (next_path, other, _) in pairwise(heapq.merge(*each)):
            if path == next_path:
                raise UsageError(
                    f"{parts[other].path}: has a row of a file that {parts[index].path} has one of, too: its "
                    f"row number {number}; scan under the same paths everywhere"
                )


def _paths(index: int, part: _Part) -> Generator[tuple[bytes, int, int], None, None]:
    with closing(part.journal.paths()) as rows:
        for path, number in rows:
            yield path, index, number


def _source(part: _Part, kind: str, stack: ExitStack) -> BinaryIO:
    if kind not in part.files:
        raise UsageError(f"{part.path}: was made without --{kind}")
    path = part.files[kind]
    try:
        file = stack.enter_context(path.open("rb"))
        size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if size != (known := _end(part, kind)):
        raise UsageError(
            f"{path}: was changed since: it has {size} bytes, and its journal knows {known}; "
            "take it from a copy, or scan this part again with --force"
        )
    return file


def _end(part: _Part, kind: str) -> int:
    """Where a part's file ends, as its journal knows."""
    last = next(part.journal.lines(backwards=True), None)
    return len(_header(kind, part.also)) if last is None else last.ends[tuple(part.files).index(kind)]


def _header(kind: str, also: Sequence[str]) -> bytes:
    return KINDS[kind]("", also=also).header().encode("utf-8")


def _in_order(parts: Sequence[_Part]) -> Iterator[_Row]:
    """The rows of all parts, by place among all files."""
    rows = (_rows(index, part) for index, part in enumerate(parts))
    return heapq.merge(*rows, key=lambda row: (row.line.place, row.part, row.line.number))


def _rows(index: int, part: _Part) -> Iterator[_Row]:
    kinds = tuple(part.files)
    begin = tuple(len(_header(kind, part.also)) for kind in kinds)
    for line in part.journal.lines():
        if not line.superseded:
            yield _Row(index, line, dict(zip(kinds, zip(begin, line.ends, strict=True), strict=True)))
        begin = line.ends
