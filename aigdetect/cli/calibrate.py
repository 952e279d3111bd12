"""``aigdetect calibrate``: its options; what comes of them is done in :mod:`aigdetect.cli.calibrate_run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aigdetect.cli.options import (
    BatchSize,
    Debug,
    Device,
    DeviceChoice,
    FollowSymlinks,
    Json,
    Loading,
    MaxPixels,
    Offline,
    Precision,
    PrecisionChoice,
    Quiet,
    Verbose,
    WeightsFile,
    Workers,
)

_DATA = "Data"


def calibrate(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder to write.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Real and generated images in any of the field's layouts: a folder, a list (CSV, JSON "
            "Lines) or an archive (tar, Parquet); may be given several times.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    real: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Folder or archive of real images; may be given several times.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of --data to take: train, val or test (default: val, else test, where named).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    follow_symlinks: FollowSymlinks = False,
    max_pixels: MaxPixels = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="Model to calibrate (default: the shipped one)."),
    ] = None,
    fpr: Annotated[
        float, typer.Option(metavar="X", help="Share of real images that the verdict 'ai' may flag.")
    ] = 0.01,
    fnr: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Share of generated images that may be called 'real' (default: the model's)."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take the scores that a stopped run into --out has left."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is in use.")] = False,
    json: Json = False,
    device: DeviceChoice = Device.AUTO,
    precision: PrecisionChoice = Precision.AUTO,
    batch_size: BatchSize = None,
    workers: Workers = None,
    weights: WeightsFile = None,
    offline: Offline = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Set a model's thresholds and scores on your own images.

    With --data, scores and both thresholds are fitted anew. With --real
    alone, only the threshold of the verdict 'ai' is. The images must be
    others than the model was trained on, and like those it will meet.
    What they are too few for is refused.

    Exit status: 0 all done; 1 some images could not be scored, each of
    them named; 2 nothing done; 130 interrupted, with all finished scores
    on disk (--resume).

    Example: aigdetect calibrate --real camera/ --fpr 0.01 --out models/mine
    """
    from aigdetect.cli.calibrate_request import Images, Output, Rates, Request
    from aigdetect.cli.calibrate_run import run_calibration
    from aigdetect.images.opening import MAX_PIXELS
    from aigdetect.model.card import DEFAULT_MODEL

    return run_calibration(
        Request(
            model=model or DEFAULT_MODEL,
            images=Images(data or (), real or (), split, follow_symlinks, max_pixels or MAX_PIXELS),
            rates=Rates(fpr, fnr),
            output=Output(out, resume=resume, force=force, json=json),
            loading=Loading(device.value, precision.value, batch_size, weights, offline=offline),
            workers=workers,
        )
    )
