"""``aigdetect train``: its options; what comes of them is carried out in :mod:`aigdetect.cli.training`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import (
    RUN,
    Debug,
    Device,
    DeviceChoice,
    FakeFolder,
    FollowSymlinks,
    MaxPixels,
    Offline,
    Quiet,
    RealFolder,
    Verbose,
    WeightsFile,
    Workers,
    command_line,
)
from aigdetect.cli.recipe_options import with_recipe_options


@with_recipe_options
def train(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Images in any of the field's layouts: a folder, a list (CSV, JSON Lines) or an archive "
            "(tar, Parquet)."
        ),
    ] = None,
    real: RealFolder = None,
    fake: FakeFolder = None,
    validation_data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Validate on this data, of any layout, in the place of a share of --data; may be given "
            "several times."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Model folder to write.")] = None,
    beginning: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME|FOLDER", help="Go on from a trained model, on other images."),
    ] = None,
    follow_symlinks: FollowSymlinks = False,
    max_pixels: MaxPixels = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with settings; options go before it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the recipe, such as blur_probability=0.2; may be given several times.",
        ),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole recipe as YAML, and stop.")
    ] = False,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="Detector to train: mole (default) or another.")
    ] = None,
    list_methods: Annotated[
        bool, typer.Option("--list-methods", help="Name all methods and their papers, and stop.")
    ] = False,
    instrument: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Weights of the network of others that a method looks through, such as an autoencoder.",
        ),
    ] = None,
    recipe_options: Mapping[str, Any] = MappingProxyType({}),
    cache_folder: Annotated[
        Path | None,
        typer.Option(
            help="Keep it in this folder, for this run and later ones; by default it goes with the run.",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: DeviceChoice = Device.AUTO,
    workers: Workers = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where a run into --out was stopped.", rich_help_panel=RUN),
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            min=1, help="Also write a checkpoint after so many steps, not only epochs.", rich_help_panel=RUN
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(help="Folder for TensorBoard's files (needs tensorboard).", rich_help_panel=RUN),
    ] = None,
    weights: WeightsFile = None,
    offline: Offline = False,
    dry_run: Annotated[
        bool, typer.Option("--list", help="Say what is in the data, and stop.", rich_help_panel=RUN)
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is in use.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> Exit:
    """Train a detector on folders of real and generated images.

    Example: aigdetect train --data progan/ --out models/mine

    On several GPUs: torchrun --nproc-per-node gpu -m aigdetect train --data progan/ --out models/mine
    """
    from aigdetect.cli import training

    if list_methods:
        training.list_methods()
        return Exit.DONE
    from aigdetect.cli.train_request import RecipeRequest, Roots, RunRequest
    from aigdetect.training.recipe import RunOptions

    recipe = RecipeRequest.of_options(
        beginning,
        config,
        settings or (),
        {"method": method, "max_pixels": max_pixels, **recipe_options},
    )
    if print_config:
        training.print_config(recipe)
        return Exit.DONE
    if not (data or real or fake):
        raise typer.BadParameter("name the images to train on", ctx=context, param_hint="--data")
    roots = Roots(data or (), real or (), fake or (), validation_data or (), follow_symlinks)
    if dry_run:
        training.list_data(roots, recipe)
        return Exit.DONE
    return training.train(
        roots,
        recipe,
        RunRequest(
            out=out,
            force=force,
            workers=workers,
            instrument=instrument,
            options=RunOptions(
                device=device.value,
                weights=weights,
                offline=offline,
                cache_folder=cache_folder,
                resume=resume,
                checkpoint_every=checkpoint_every,
                tensorboard=tensorboard,
                command=command_line(),
            ),
        ),
    )
