"""A scan as it is carried out: files in, rows out as they are made, and a sum of it all at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from itertools import chain
from pathlib import Path

from aigdetect.cli.console import Exit, drop_output
from aigdetect.cli.options import terminal
from aigdetect.cli.outputs import STDIO, Outputs, hand_out, name_error
from aigdetect.cli.scan_request import Inputs, Request
from aigdetect.cli.scanners import in_this_program, on_a_cluster
from aigdetect.errors import UsageError
from aigdetect.images.find import Found, find_files
from aigdetect.images.path_list import read_list
from aigdetect.scanning.heat import HeatMaps
from aigdetect.scanning.ledger import Ledger
from aigdetect.scanning.pipeline import Result, Tally
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.report import Report
from aigdetect.scanning.scanner import Scanner
from aigdetect.scanning.settings import Settings

_MAX_ERRORS_FIRST = 1000  # unreadable paths in a row after which the model is loaded all the same


def run_scan(request: Request) -> int:
    """Carry out what is asked for; its exit status.

    Raises:
        AigdetectError: if nothing can be done, or an output cannot be written.
    """
    inputs, outputs = request.inputs, request.outputs
    key = request.key()
    prepare = request.preparation()
    scanners = _scanners(request, prepare)
    ledger = Ledger(
        outputs.targets(inputs.paths),
        resume=outputs.resume,
        force=outputs.force,
        retry_errors=request.retry_errors,
    )
    if ledger.lost:
        terminal.warn(f"{ledger.lost} rows are in the journal, but not in all files: they are made again")
    tally = Tally.of_outcomes(ledger.held)
    found = outputs.without_own(
        find_files(_listed(inputs, outputs), follow_symlinks=inputs.follow_symlinks, videos=inputs.video)
    )
    whole = _Listing(tally.without_others(found))
    fresh = ledger.fresh(inputs.part.take(enumerate(whole)))
    items = _from_first_image(fresh, tally, whole)

    with outputs.run_log(), scanners as scanner:
        settings = _settings(request, prepare, scanner)
        with outputs.copied_after(ledger.open(settings, pictures=prepare.pictures)):
            outputs.clear()
            report = Report(
                ledger,
                scanner.model,
                settings,
                page=outputs.page,
                case=outputs.case,
                command=["aigdetect", *sys.argv[1:]],
            )
            folder = outputs.heatmap_folder
            heat_maps = HeatMaps(folder, scanner.heat_map, request.heat_maps) if folder else None
            try:
                with closing(scanner.results(items, ledger)) as results:
                    _deliver(results, ledger, outputs, settings, tally, heat_maps, _total(inputs.paths))
            except BrokenPipeError:
                if request.fail_on_ai and tally.ai:  # that is settled, whatever else there was to see
                    drop_output()
                    return Exit.FLAGGED
                raise
            report.write(tally)
    if outputs.html:
        terminal.say(f"page written to {outputs.html}")
    if outputs.case:
        sha256 = report.write_manifest(tally)
        if key:
            from aigdetect.scanning.signature import sign_file

            sign_file(outputs.case.manifest, outputs.case.signature, key)
        terminal.say(f"manifest: SHA-256 {sha256}")
    if request.fail_on_ai and tally.ai:
        return Exit.FLAGGED
    return Exit.SOME_FAILED if tally.errors else Exit.DONE


def _scanners(request: Request, prepare: Preparation) -> AbstractContextManager[Scanner]:
    """What scores, once it is entered; what decodes begins to start at once."""
    models, execution = request.models, request.execution
    if not execution.on_cluster:
        return in_this_program(models.first, models.also, prepare, execution.workers, execution.timeout)
    return on_a_cluster(
        models.first,
        models.also,
        prepare,
        execution.workers,
        execution.timeout,
        address=execution.ray_address,
        heat_maps=request.heat_maps,
    )


def _settings(request: Request, prepare: Preparation, scanner: Scanner) -> Settings:
    return Settings.of_model(
        scanner.model,
        fpr=request.models.first.fpr,
        max_pixels=prepare.max_pixels,
        stability=prepare.stability,
        shard=request.inputs.shard,
        video=str(prepare.video) if request.inputs.video else "",
        also=scanner.also,
    )


# -- what goes in ------------------------------------------------------------------------------------------


def _listed(inputs: Inputs, outputs: Outputs) -> Iterator[str]:
    """The paths given, with the list on standard input in the place of ``-``.

    Raises:
        UsageError: if standard input is closed, or a folder to write to lies in one of those listed.
    """
    for path in inputs.paths:
        if path != STDIO:
            yield path
            continue
        if sys.stdin is None:
            raise UsageError(f"{STDIO}: standard input is closed; give it a list of paths")
        for listed in read_list(sys.stdin.buffer, null=inputs.null):
            outputs.refuse_among(listed)
            yield listed


def _is_image(item: Found) -> bool:
    return item.kind in ("image", "video")


class _Listing:
    """All that was found, of which a part may be scanned, and whether an image has been among it so far."""

    def __init__(self, items: Iterable[Found]) -> None:
        self._items = items
        self.has_image = False

    def __iter__(self) -> Iterator[Found]:
        for item in self._items:
            self.has_image |= _is_image(item)
            yield item


def _from_first_image(items: Iterator[Found], tally: Tally, whole: _Listing) -> Iterator[Found]:
    """All items, once there is an image among them, or if there are rows already, or images in other parts.

    Raises:
        UsageError: if there is none of these; what could not be read has been named.
    """
    held: list[Found] = []
    for item in items:
        held.append(item)
        if _is_image(item) or len(held) >= _MAX_ERRORS_FIRST:
            return chain(held, items)
    if tally.scored or tally.errors or whole.has_image:  # none may fall into this part: it is whole, too
        return iter(held)
    for item in held:
        name_error(item.path, item.reason)
    raise UsageError(f"no image to scan: {len(held)} unreadable, {_passed_over(tally) or '0 other files'}")


def _total(paths: Sequence[str]) -> int | None:
    """How many records to expect, if that is easily known."""
    simple = all(path != STDIO and not Path(path).is_dir() for path in paths)
    return len(paths) if simple else None


# -- what comes out ----------------------------------------------------------------------------------------


def _deliver(
    results: Iterable[Result],
    ledger: Ledger,
    outputs: Outputs,
    settings: Settings,
    tally: Tally,
    heat_maps: HeatMaps | None,
    total: int | None,
) -> None:
    """Write the rows as they come, and sum up however it ends."""
    start = time.monotonic()
    before, done = tally.scored + tally.errors, 0
    files = bool(outputs.written or outputs.page)

    def rate() -> float:
        return done / max(time.monotonic() - start, 1e-9)

    try:
        with (
            outputs.sinks(settings.names_of_others) as sinks,
            terminal.progress("scanning", total, hidden=outputs.rows_on_terminal) as bar,
        ):
            for scored in results:
                result = heat_maps.draw(scored) if heat_maps else scored
                superseded = ledger.write(result.record, result.prepared.pictures, result.pictures_of_frames)
                tally.count(result.record, instead_of=superseded)
                done += 1
                hand_out(result.record, sinks, files=files)
                bar.update(bar.task_ids[0], advance=1, speed=f"{rate():.1f}/s")
    finally:
        _summarise(tally, before, f"{time.monotonic() - start:.1f} s, {rate():.1f} images/s", outputs)


def _passed_over(tally: Tally) -> str:
    """What has no row, kind by kind; empty if there is nothing."""
    kinds = [
        (tally.others, "other file", ""),
        (tally.videos, "video", " (--video scores key frames of them)"),
        (tally.companions, "companion file", " of macOS (._)"),
        (tally.links, "symbolic link", " (--follow-symlinks follows them)"),
    ]
    return ", ".join(f"{count} {what}{'s' * (count != 1)}{more}" for count, what, more in kinds if count)


def _summarise(tally: Tally, before: int, speed: str, outputs: Outputs) -> None:
    parts = [f"{tally.scored} scored: {tally.ai} ai, {tally.uncertain} uncertain, {tally.real} real"]
    if tally.errors:
        parts.append(f"{tally.errors} could not be scored")
    if tally.passed_over:
        parts.append(f"{_passed_over(tally)} passed over")
    if before:
        parts.append(f"{before - tally.replaced} of these rows from before")
    if tally.replaced:
        parts.append(f"{tally.replaced} made anew")
    terminal.say("; ".join(parts) + f" ({speed})")
    if outputs.written:
        terminal.say("written to " + ", ".join(outputs.written))
    terminal.say("absence of detection is no proof of authenticity")
