"""``aigdetect scan``: its options; what comes of them is carried out in :mod:`aigdetect.cli.scan_run`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

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
)


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
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="NAME|FOLDER",
            help="A further model, whose score and verdict get columns of their own; may be given several "
            "times.",
        ),
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
    from aigdetect.cli.outputs import Outputs
    from aigdetect.cli.scan_request import Execution, Inputs, Models, Request
    from aigdetect.cli.scan_run import run_scan

    return run_scan(
        Request(
            inputs=Inputs.of_options(
                paths,
                null=null,
                follow_symlinks=follow_symlinks,
                shard=shard,
                video=video,
                frames_per_minute=frames_per_minute,
                max_frames=max_frames,
                seconds=timeout / 2,  # what was seen by then counts, and is not lost with its worker
            ),
            outputs=Outputs.of_options(
                csv=csv,
                jsonl=jsonl,
                json=json,
                html=html,
                heatmaps=heatmap,
                case=case,
                force=force,
                resume=resume,
            ),
            models=Models.of_options(
                model,
                also or [],
                device=device.value,
                precision=precision.value,
                batch_size=batch_size,
                fpr=fpr,
                weights=weights,
                offline=offline,
            ),
            execution=Execution(
                workers=workers,
                timeout=timeout,
                on_cluster=engine is EngineName.RAY,
                ray_address=ray_address,
            ),
            stability=stability,
            max_pixels=max_pixels,
            retry_errors=retry_errors,
            sign=sign,
            fail_on_ai=fail_on is FailOn.AI,
        )
    )
