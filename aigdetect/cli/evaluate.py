"""``aigdetect eval``: its options; what comes of them is carried out in :mod:`aigdetect.cli.eval_run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aigdetect.cli.options import (
    RUN,
    BatchSize,
    Debug,
    Device,
    DeviceChoice,
    FakeFolder,
    FollowSymlinks,
    Json,
    Loading,
    MaxPixels,
    Offline,
    Precision,
    PrecisionChoice,
    Quiet,
    RealFolder,
    Verbose,
    WeightsFile,
    Workers,
)

_DATA = "Data"
_REPORT = "Report"


def evaluate(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Images in any of the field's layouts: a folder, a list (CSV, JSON Lines) or an archive "
            "(tar, Parquet); may be given several times.",
        ),
    ] = None,
    real: RealFolder = None,
    fake: FakeFolder = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FOLDER", help="Model; several may be given (default: the shipped one)."),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=F.csv", help="Scores of any other detector: a CSV of path,score."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="How images are taken and prepared: ours, univfd, genimage or dif.", rich_help_panel=_DATA
        ),
    ] = "ours",
    split: Annotated[
        str | None,
        typer.Option(
            help="Split to measure on: train, val or test (default: the protocol's).", rich_help_panel=_DATA
        ),
    ] = None,
    follow_symlinks: FollowSymlinks = False,
    max_pixels: MaxPixels = None,
    families: Annotated[
        Path | None,
        typer.Option(metavar="F.yaml", help="Further generators and their families.", rich_help_panel=_DATA),
    ] = None,
    parity: Annotated[
        str | None,
        typer.Option(
            metavar="CODEC:QUALITY",
            help="Measure also after cropping and re-encoding both classes alike, such as jpeg:90.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    robustness: Annotated[
        str | None,
        typer.Option(
            metavar="OPERATIONS",
            help="Measure also after operations on the images: all, or such as blur,jpeg:65.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--list", help="Say what is in the data and what gives it away, and stop.", rich_help_panel=_DATA
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a report: JSON, CSV, Markdown, HTML, plots; scores are kept in it.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    fuse: Annotated[
        bool,
        typer.Option(
            "--fuse",
            help="Measure also what the models say together, fitted on other origins.",
            rich_help_panel=_REPORT,
        ),
    ] = False,
    paper: Annotated[
        bool,
        typer.Option("--paper", help="Show the paper's tables beside ours.", rich_help_panel=_REPORT),
    ] = False,
    experts: Annotated[
        bool,
        typer.Option(
            "--experts", help="Look into the models: load and features of experts.", rich_help_panel=_REPORT
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Take the scores that the report folder holds.", rich_help_panel=_REPORT
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite an older report.", rich_help_panel=_REPORT)
    ] = False,
    json: Json = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=100_000, help="Resamples behind intervals.", rich_help_panel=RUN
        ),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of all chance.", rich_help_panel=RUN)
    ] = 0,
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
    """Measure detectors on labelled images, generator by generator.

    Says what was found and what the files alone give away before it scores
    anything. Results go to standard output, and to --report FOLDER.

    Exit status: 0 all done; 1 some images have no score, each of them named;
    2 nothing done; 130 interrupted, with all finished scores on disk
    (--report FOLDER, then --resume).

    Example: aigdetect eval --data test/ --model models/mine --report r/
    """
    if not (data or real or fake):
        raise typer.BadParameter("name the images to measure on", ctx=context, param_hint="--data")
    from aigdetect.cli.eval_request import Output, Request
    from aigdetect.cli.eval_run import run_evaluation
    from aigdetect.evaluation import plan
    from aigdetect.images.opening import MAX_PIXELS
    from aigdetect.model.card import DEFAULT_MODEL

    return run_evaluation(
        Request(
            measured=plan.Request(
                data=tuple(data or ()),
                real=tuple(real or ()),
                fake=tuple(fake or ()),
                models=tuple(model or ([] if scores else [DEFAULT_MODEL])),
                scores=tuple(scores or ()),
                protocol=protocol,
                split=split,
                families=families,
                parity=parity,
                robustness=robustness,
                resamples=bootstrap,
                seed=seed,
                follow_symlinks=follow_symlinks,
                max_pixels=max_pixels or MAX_PIXELS,
                fuse=fuse,
            ),
            output=Output(report=report, json=json, resume=resume, force=force, paper=paper, experts=experts),
            loading=Loading(device.value, precision.value, batch_size, weights, offline=offline),
            workers=workers,
            dry_run=dry_run,
        )
    )
