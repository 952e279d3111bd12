"""``aigdetect scan``: score images and write one row for each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from aigdetect.cli.console import Exit, drop_output
from aigdetect.cli.options import (
    Debug,
    Device,
    Json,
    Offline,
    Precision,
    Quiet,
    Verbose,
    WeightsFile,
    terminal,
)
from aigdetect.errors import ImageError, UsageError

if TYPE_CHECKING:
    from aigdetect.images.find import Found
    from aigdetect.scanning.pipeline import Tally
    from aigdetect.scanning.record import Record

STDIO = "-"

_MAX_ERRORS_FIRST = 1000  # unreadable paths in a row after which the model is loaded all the same


class FailOn(str, Enum):
    """What makes a scan end with a status of its own."""

    AI = "ai"


class _Sink(Protocol):
    def write(self, record: Record) -> None: ...


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Files, folders (with all inside), or - for a list on standard input."
        ),
    ],
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a file; - for standard output.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option("--jsonl", metavar="FILE", help="Write JSON Lines to a file; - as above.")
    ] = None,
    json: Json = False,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME|FOLDER", help="Model (default: the one that is shipped)."),
    ] = None,
    fpr: Annotated[
        float | None,
        typer.Option(
            "--fpr",
            metavar="X",
            help="Share of real images that the verdict 'ai' may flag (default: the model's, 0.01).",
        ),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where the model runs.")] = Device.AUTO,
    precision: Annotated[Precision, typer.Option("--precision", help="Arithmetic.")] = Precision.AUTO,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Images per pass of the model.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, max=256, help="Threads that read and decode."),
    ] = None,
    weights: WeightsFile = None,
    offline: Offline = False,
    fail_on: Annotated[
        FailOn | None,
        typer.Option("--fail-on", help="Exit status 3 if an image is flagged, also if others failed."),
    ] = None,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Follow symbolic links inside folders.")
    ] = False,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="The list on standard input is separated by NUL bytes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing output files.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", metavar="N", min=1, help="Refuse images of more pixels.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Say of each image whether it is AI-generated, and how sure that is.

    Every image gets one row: a verdict, a calibrated score, what its
    metadata claims, or why it could not be scored. Rows go to the files
    named, else to standard output: a table on a terminal, lines elsewhere.

    Exit status: 0 all done; 1 some inputs failed, each of them named;
    2 nothing done; 3 with --fail-on ai if an image was flagged, even if
    others failed; 130 interrupted, with all finished rows written.
    """
    from aigdetect.images.find import find_files
    from aigdetect.images.opening import MAX_PIXELS
    from aigdetect.model.card import DEFAULT_MODEL, find_model_folder, read_card
    from aigdetect.scanning.pipeline import Tally, scan_found

    # all that can be wrong with the command is said before anything slow begins
    outputs = _Outputs(csv=csv, jsonl=jsonl, json=json, force=force)
    outputs.check()
    if fpr is not None and not 0 <= fpr < 1:
        raise UsageError(f"--fpr: {fpr} is not in 0..1")
    read_card(find_model_folder(model or DEFAULT_MODEL))
    tally = Tally()
    found = find_files(_listed(paths, null=null), follow_symlinks=follow_symlinks)
    items = _from_first_image(tally.without_others(found), tally)

    from aigdetect.model.detector import load_detector

    detector = load_detector(
        model or DEFAULT_MODEL,
        device=device.value,
        precision=precision.value,
        batch_size=batch_size,
        fpr=fpr,
        weights=weights,
        offline=offline,
        say=terminal.say,
        warn=terminal.warn,
    )
    records = scan_found(items, detector, workers=workers, max_pixels=max_pixels or MAX_PIXELS)
    with closing(records):
        _deliver(records, outputs, tally, _total(paths))
    if fail_on is FailOn.AI and tally.ai:
        return Exit.FLAGGED
    return Exit.SOME_FAILED if tally.errors else Exit.DONE


# -- what goes in ------------------------------------------------------------------------------------------


def _listed(paths: list[str], *, null: bool) -> Iterator[str]:
    """The paths given, with the list on standard input in the place of ``-``."""
    from aigdetect.images.find import read_list

    for path in paths:
        if path == STDIO:
            yield from read_list(sys.stdin.buffer, null=null)
        else:
            yield path


def _from_first_image(items: Iterator[Found], tally: Tally) -> Iterator[Found]:
    """All items, once there is an image among them.

    Raises:
        UsageError: if there is none; what could not be read has been named.
    """
    held: list[Found] = []
    for item in items:
        held.append(item)
        if item.kind == "image" or len(held) >= _MAX_ERRORS_FIRST:
            return chain(held, items)
    for item in held:
        _name_error(item.path, item.reason)
    raise UsageError(f"no image to scan: {len(held)} unreadable, {_other_files(tally)}")


def _total(paths: list[str]) -> int | None:
    """How many records to expect, if that is easily known."""
    simple = all(path != STDIO and not Path(path).is_dir() for path in paths)
    return len(paths) if simple else None


# -- what comes out ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outputs:
    """Where the rows go: the files named, and standard output in one form.

    Attributes:
        csv: file for CSV, if any; ``-`` for standard output.
        jsonl: file for JSON Lines, likewise.
        json: JSON Lines on standard output.
        force: overwrite existing files.
    """

    csv: str | None
    jsonl: str | None
    json: bool
    force: bool

    @property
    def targets(self) -> list[str]:
        """Files to write, standard output among them."""
        jsonl = dict.fromkeys([self.jsonl, STDIO if self.json else None])
        return [target for target in (self.csv, *jsonl) if target is not None]

    @property
    def rows_on_terminal(self) -> bool:
        """Whether rows for machines appear on a terminal as they are made."""
        return STDIO in self.targets and sys.stdout.isatty()

    def check(self) -> None:
        """Refuse what cannot be written or must not be overwritten.

        Raises:
            UsageError: with what to do.
        """
        from aigdetect.scanning.writers import check_output

        for target in self.targets:
            check_output(target, force=self.force)
        if len(self.targets) > len({_real(target) for target in self.targets}):
            raise UsageError(
                "CSV and JSON Lines need a file each; only one of them can be - (standard output)"
            )

    @contextmanager
    def open(self) -> Iterator[list[_Sink]]:
        """Create the files and hand out what takes in the records."""
        from aigdetect.scanning.writers import CsvWriter, JsonlWriter, RecordWriter

        writers: list[RecordWriter] = []
        if self.csv is not None:
            writers.append(CsvWriter(self.csv, force=self.force))
        writers += [JsonlWriter(target, force=self.force) for target in self.targets[len(writers) :]]
        with ExitStack() as stack:
            sinks: list[_Sink] = [stack.enter_context(sink) for sink in self._for_people()]
            yield sinks + [stack.enter_context(writer) for writer in writers]

    def _for_people(self) -> list[AbstractContextManager[_Sink]]:
        from aigdetect.cli.rows import Highlights, Lines

        if STDIO in self.targets:
            return []
        if sys.stdout.isatty():
            return [Highlights(terminal.results())]
        return [] if self.targets else [Lines()]


def _deliver(records: Iterator[Record], outputs: _Outputs, tally: Tally, total: int | None) -> None:
    """Write the records as they come, and sum up however it ends."""
    start = time.monotonic()
    try:
        with (
            outputs.open() as sinks,
            terminal.progress("scanning", total, hidden=outputs.rows_on_terminal) as bar,
        ):
            for record in records:
                tally.count(record)
                _hand_out(record, sinks)
                bar.update(bar.task_ids[0], advance=1, speed=f"{_rate(tally, start):.1f}/s")
    finally:
        _summarise(tally, start, outputs)


def _real(target: str) -> str:
    return target if target == STDIO else os.path.realpath(target)


def _hand_out(record: Record, sinks: list[_Sink]) -> None:
    """Give a record to every sink; files are written even when the reader of standard output has gone."""
    if record.error:
        _name_error(record.path, record.error)
    for sink in tuple(sinks):
        try:
            sink.write(record)
        except BrokenPipeError:
            sinks.remove(sink)
            if not sinks:
                raise
            drop_output()


def _name_error(path: str, reason: str) -> None:
    terminal.error(ImageError(f"{path}: {reason}"))


def _other_files(tally: Tally) -> str:
    return f"{tally.others} other file{'' if tally.others == 1 else 's'}"


def _rate(tally: Tally, start: float) -> float:
    return (tally.scored + tally.errors) / max(time.monotonic() - start, 1e-9)


def _summarise(tally: Tally, start: float, outputs: _Outputs) -> None:
    rate, seconds = _rate(tally, start), time.monotonic() - start
    parts = [f"{tally.scored} scored: {tally.ai} ai, {tally.uncertain} uncertain, {tally.real} real"]
    if tally.errors:
        parts.append(f"{tally.errors} could not be scored")
    if tally.others:
        parts.append(f"{_other_files(tally)} passed over")
    terminal.say("; ".join(parts) + f" ({seconds:.1f} s, {rate:.1f} images/s)")
    if files := [target for target in outputs.targets if target != STDIO]:
        terminal.say("written to " + ", ".join(files))
    terminal.say("absence of detection is no proof of authenticity")
