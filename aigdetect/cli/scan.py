"""``aigdetect scan``: score images and write one row for each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from enum import Enum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigdetect.cli.console import Exit, drop_output
from aigdetect.cli.options import (
    RUN,
    BatchSize,
    Debug,
    Device,
    DeviceChoice,
    FollowSymlinks,
    Json,
    MaxPixels,
    Offline,
    Precision,
    PrecisionChoice,
    Quiet,
    Verbose,
    WeightsFile,
    terminal,
)
from aigdetect.cli.outputs import STDIO, Outputs, hand_out, name_error
from aigdetect.errors import UsageError

if TYPE_CHECKING:
    from aigdetect.images.find import Found
    from aigdetect.model.calibration import Verdict
    from aigdetect.scanning.heat import HeatMaps
    from aigdetect.scanning.ledger import Ledger
    from aigdetect.scanning.pipeline import Result, Tally

_MAX_ERRORS_FIRST = 1000  # unreadable paths in a row after which the model is loaded all the same


class FailOn(str, Enum):
    """What makes a scan end with a status of its own."""

    AI = "ai"


class EngineName(str, Enum):
    """Where files are decoded and scored."""

    LOCAL = "local"
    RAY = "ray"


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Files, folders (with all inside), or - for a list on standard input."
        ),
    ],
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a file; - for standard output.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option("--jsonl", metavar="FILE", help="Write JSON Lines to a file; - as above.")
    ] = None,
    json: Json = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write one self-contained page with pictures."),
    ] = None,
    case: Annotated[
        Path | None,
        typer.Option(
            "--case", metavar="FOLDER", help="Write all of it into a folder, with a log and a manifest."
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign", metavar="KEY", help="With --case: sign the manifest (Ed25519 private key as PEM)."
        ),
    ] = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            "--heatmap",
            metavar="FOLDER",
            help="Write a PNG for each scored image that shows where the evidence lies (slow without a GPU).",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the files or the case of an earlier scan, as called then."),
    ] = False,
    retry_errors: Annotated[
        bool,
        typer.Option(
            "--retry-errors",
            help="With --resume: try all errors again, not only those that may pass (time, memory, access).",
        ),
    ] = False,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability", help="Score again after mild changes; a verdict that flips becomes uncertain."
        ),
    ] = False,
    video: Annotated[
        bool,
        typer.Option(
            "--video",
            help="Score key frames of videos, too: a row for each, and one for the whole (extra 'video').",
        ),
    ] = False,
    frames_per_minute: Annotated[
        int | None,
        typer.Option(
            "--frames-per-minute",
            metavar="N",
            min=1,
            max=600,
            help="With --video: at most so many key frames a minute (default: 12).",
        ),
    ] = None,
    max_frames: Annotated[
        int | None,
        typer.Option(
            "--max-frames",
            metavar="N",
            min=1,
            max=100,
            help="With --video: at most so many key frames of each file (default: 30).",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", metavar="I/N", help="Scan part I of N only; aigdetect merge joins the parts."
        ),
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option("--engine", help="Decode and score in this program, or on a Ray cluster (extra 'ray')."),
    ] = EngineName.LOCAL,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT|auto",
            help="Ray cluster to join (default: RAY_ADDRESS, else this machine for the time of the scan).",
        ),
    ] = None,
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
    device: DeviceChoice = Device.AUTO,
    precision: PrecisionChoice = Precision.AUTO,
    batch_size: BatchSize = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            max=256,
            help="Processes that read and decode, for each model; 0 does it in threads beside the model.",
            rich_help_panel=RUN,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="S",
            min=1,
            help="Seconds that decoding one file may take.",
            rich_help_panel=RUN,
        ),
    ] = 60,
    weights: WeightsFile = None,
    offline: Offline = False,
    fail_on: Annotated[
        FailOn | None,
        typer.Option("--fail-on", help="Exit status 3 if an image is flagged, also if others failed."),
    ] = None,
    follow_symlinks: FollowSymlinks = False,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="The list on standard input is separated by NUL bytes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite output files of earlier scans.")] = False,
    max_pixels: MaxPixels = None,
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
    others failed; 130 interrupted, with all finished rows written; 141 the
    reader of standard output has gone before the end.
    """
    from aigdetect.cli.scanners import in_this_program, on_a_cluster
    from aigdetect.images.find import find_files
    from aigdetect.images.opening import MAX_PIXELS
    from aigdetect.images.video import MOST, MOST_PER_MINUTE, Sampling, has_decoder
    from aigdetect.images.views import take_views
    from aigdetect.model.card import DEFAULT_MODEL, find_model_folder, read_card
    from aigdetect.scanning.case import CaseFolder
    from aigdetect.scanning.heat import HeatMaps
    from aigdetect.scanning.ledger import Ledger
    from aigdetect.scanning.pipeline import Tally
    from aigdetect.scanning.preparation import Preparation
    from aigdetect.scanning.report import Report
    from aigdetect.scanning.scanner import Wanted
    from aigdetect.scanning.settings import Settings
    from aigdetect.scanning.shard import Shard

    # all that can be wrong with the command is said before anything slow begins
    outputs = Outputs(
        csv=csv,
        jsonl=jsonl,
        json=json,
        html=html,
        heatmaps=heatmap,
        case=CaseFolder(case) if case else None,
        force=force,
        resume=resume,
    )
    if retry_errors and not resume:
        raise UsageError("--retry-errors: tries the errors of an earlier scan again; only with --resume")
    if (frames_per_minute or max_frames) and not video:
        raise UsageError("--frames-per-minute, --max-frames: of videos; only with --video")
    if video and not has_decoder():
        raise UsageError("--video: PyAV is not installed; pip install 'aigdetect[video]'")
    if sign and not case:
        raise UsageError("--sign: signs the manifest of a case; only with --case")
    outputs.check([path for path in paths if path != STDIO])
    if fpr is not None and not 0 <= fpr < 1:
        raise UsageError(f"--fpr: {fpr} is not in 0..1")
    key = None
    if sign:
        from aigdetect.scanning.signature import read_private_key, sign_file

        key = read_private_key(sign)
    part = Shard.parse(shard) if shard else Shard(1, 1)
    if engine is EngineName.RAY:
        from aigdetect.scanning.cluster import require_ray

        require_ray()
    elif ray_address:
        raise UsageError("--ray-address: only with --engine ray")
    seen = read_card(find_model_folder(model or DEFAULT_MODEL)).preprocess
    # half the time: what was seen by then counts, and is not lost with its worker
    sampling = Sampling(frames_per_minute or MOST_PER_MINUTE, max_frames or MOST, seconds=timeout / 2)
    prepare = Preparation(
        partial(take_views, names=seen.views, size=seen.size),
        max_pixels or MAX_PIXELS,
        stability=stability,
        pictures=outputs.page is not None,
        video=sampling,
    )
    wanted = Wanted(model or DEFAULT_MODEL, device.value, precision.value, batch_size, fpr, weights, offline)
    drawn = _drawn(outputs)
    scanners = (
        in_this_program(wanted, prepare, workers, timeout)
        if engine is EngineName.LOCAL
        else on_a_cluster(wanted, prepare, workers, timeout, address=ray_address, heat_maps=drawn)
    )
    ledger = Ledger(outputs.targets(paths), resume=resume, force=force, retry_errors=retry_errors)
    if ledger.lost:
        terminal.warn(f"{ledger.lost} rows are in the journal, but not in all files: they are made again")
    tally = Tally.of_outcomes(ledger.held)
    found = outputs.without_own(
        find_files(_listed(paths, null=null, outputs=outputs), follow_symlinks=follow_symlinks, videos=video)
    )
    fresh = ledger.fresh(part.take(enumerate(tally.without_others(found))))
    items = _from_first_image(fresh, tally)

    with outputs.run_log(), scanners as scanner:
        settings = Settings.of_model(
            scanner.model,
            fpr=fpr,
            max_pixels=prepare.max_pixels,
            stability=stability,
            shard=shard or "",
            video=str(sampling) if video else "",
        )
        with outputs.copied_after(ledger.open(settings, pictures=prepare.pictures)):
            report = Report(
                ledger,
                scanner.model,
                settings,
                page=outputs.page,
                case=outputs.case,
                command=["aigdetect", *sys.argv[1:]],
            )
            folder = outputs.heatmap_folder
            heat_maps = HeatMaps(folder, scanner.heat_map, drawn) if folder else None
            try:
                with closing(scanner.results(items, ledger)) as results:
                    _deliver(results, ledger, outputs, tally, heat_maps, _total(paths))
            except BrokenPipeError:
                if fail_on is FailOn.AI and tally.ai:  # that is settled, whatever else there was to see
                    drop_output()
                    return Exit.FLAGGED
                raise
            report.write(tally)
    if outputs.html:
        terminal.say(f"page written to {outputs.html}")
    if outputs.case:
        sha256 = report.write_manifest(tally)
        if key:
            sign_file(outputs.case.manifest, outputs.case.signature, key)
        terminal.say(f"manifest: SHA-256 {sha256}")
    if fail_on is FailOn.AI and tally.ai:
        return Exit.FLAGGED
    return Exit.SOME_FAILED if tally.errors else Exit.DONE


# -- what goes in ------------------------------------------------------------------------------------------


def _listed(paths: list[str], *, null: bool, outputs: Outputs) -> Iterator[str]:
    """The paths given, with the list on standard input in the place of ``-``.

    Raises:
        UsageError: if a folder to write to lies in one of those listed.
    """
    from aigdetect.images.find import read_list

    for path in paths:
        if path != STDIO:
            yield path
            continue
        for listed in read_list(sys.stdin.buffer, null=null):
            outputs.refuse_among(listed)
            yield listed


def _from_first_image(items: Iterator[Found], tally: Tally) -> Iterator[Found]:
    """All items, once there is an image among them, or if there are rows already.

    Raises:
        UsageError: if there is neither; what could not be read has been named.
    """
    held: list[Found] = []
    for item in items:
        held.append(item)
        if item.kind in ("image", "video") or len(held) >= _MAX_ERRORS_FIRST:
            return chain(held, items)
    if tally.scored or tally.errors:
        return iter(held)
    for item in held:
        name_error(item.path, item.reason)
    raise UsageError(f"no image to scan: {len(held)} unreadable, {_passed_over(tally) or '0 other files'}")


def _total(paths: list[str]) -> int | None:
    """How many records to expect, if that is easily known."""
    simple = all(path != STDIO and not Path(path).is_dir() for path in paths)
    return len(paths) if simple else None


# -- what comes out ----------------------------------------------------------------------------------------


def _drawn(outputs: Outputs) -> tuple[Verdict, ...]:
    """Verdicts of the images whose heat maps are drawn: all if asked for, those flagged in a case."""
    from aigdetect.scanning.heat import ALL, FLAGGED

    if outputs.heatmap_folder is None:
        return ()
    return FLAGGED if outputs.case else ALL


def _deliver(
    results: Iterable[Result],
    ledger: Ledger,
    outputs: Outputs,
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
            outputs.sinks() as sinks,
            terminal.progress("scanning", total, hidden=outputs.rows_on_terminal) as bar,
        ):
            for result in results:
                pictures = heat_maps.draw(result) if heat_maps else result.prepared.pictures
                superseded = ledger.write(result.record, pictures, result.pictures_of_frames)
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
