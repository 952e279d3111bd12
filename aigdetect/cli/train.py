"""``aigdetect train``: its options; what comes of them is carried out in :mod:`aigdetect.cli.training`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

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
)

_PAPER = "Paper's recipe"
_ADAPTER = "Adapter"


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
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Image tower: ViT-B-16 (default), ViT-B-32, ViT-L-14 ...", rich_help_panel=_ADAPTER
        ),
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(
            help="Adapt this many of the last blocks; 0: linear probe; all.", rich_help_panel=_ADAPTER
        ),
    ] = None,
    modules: Annotated[
        str | None,
        typer.Option(help="What is adapted: mlp, attention, or mlp,attention.", rich_help_panel=_ADAPTER),
    ] = None,
    shared_rank: Annotated[
        int | None, typer.Option(help="Rank of the shared expert; 0: none.", rich_help_panel=_ADAPTER)
    ] = None,
    expert_ranks: Annotated[
        str | None,
        typer.Option(help="Ranks of the separate experts, such as 4,8,16; none.", rich_help_panel=_ADAPTER),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Scaling constant alpha; default: a scale of 1.", rich_help_panel=_ADAPTER),
    ] = None,
    head_blocks: Annotated[
        int | None,
        typer.Option(
            help="The head reads the class tokens of so many last blocks; 0: the embedding.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    head_penalty: Annotated[
        float | None,
        typer.Option(
            help="First fit the head to the frozen tower, under this L2 penalty.", rich_help_panel=_ADAPTER
        ),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            help="What the model sees: names of views, such as center_crop,whole.", rich_help_panel=_ADAPTER
        ),
    ] = None,
    head_views: Annotated[
        str | None,
        typer.Option(
            help="With crops and the whole: share the head's weights (shared), or each its own.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images.", rich_help_panel=_PAPER)
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", "--max-steps", help="Stop after so many steps.", rich_help_panel=_PAPER),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.", rich_help_panel=_PAPER)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of AdamW.", rich_help_panel=_PAPER)] = None,
    head_rate: Annotated[
        float | None,
        typer.Option(
            help="The head's learning rate as a share of it; 0: a fitted head stays as it is.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all chance.", rich_help_panel=_PAPER)] = None,
    samples: Annotated[
        int | None, typer.Option(help="Train on this many images, drawn uniformly.", rich_help_panel=_PAPER)
    ] = None,
    samples_per_class: Annotated[
        int | None, typer.Option(help="Train on this many images of each class.", rich_help_panel=_PAPER)
    ] = None,
    samples_per_group: Annotated[
        int | None,
        typer.Option(
            help="Train on at most this many images of each generator or source.", rich_help_panel=_PAPER
        ),
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share held out of each generator.", rich_help_panel=_PAPER)
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP",
            help="Hold out all of a generator or source, and calibrate on that; may be given several times.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Hold nothing out, and calibrate on so many other models, each trained without some images.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    source_penalty: Annotated[
        float | None,
        typer.Option(
            help="With --head-penalty: how strongly sources of real images are drawn together.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    aligned: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER[,...]",
            help="Real images come back as generated ones: transposed, shuffle, or a folder of decoders.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    aligned_images: Annotated[
        int | None, typer.Option(help="So many of them for each way.", rich_help_panel=_PAPER)
    ] = None,
    symmetric: Annotated[
        bool | None,
        typer.Option(
            "--symmetric/--no-symmetric",
            help="Resize and re-encode images of both classes at random.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    balanced: Annotated[
        bool | None,
        typer.Option(
            "--balanced/--no-balanced",
            help="Let classes, and half-way generators and sources, count alike.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    balanced_batches: Annotated[
        bool | None,
        typer.Option(
            "--balanced-batches/--no-balanced-batches",
            help="Make half of every batch of each class.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(help="Go over the images of a step in so many parts.", rich_help_panel=RUN),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs with no better average precision.", rich_help_panel=_PAPER
        ),
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="Weights that become the model: last or best.", rich_help_panel=_PAPER)
    ] = None,
    copies: Annotated[
        int | None,
        typer.Option(help="Augmented copies of each image; epochs take them in turn.", rich_help_panel=RUN),
    ] = None,
    plain_copy: Annotated[
        bool | None,
        typer.Option(
            "--plain-copy/--no-plain-copy",
            help="The first copy is the image as it is.",
            rich_help_panel=RUN,
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(help="Keep the frozen blocks' output: auto, memory, disk or none.", rich_help_panel=RUN),
    ] = None,
    cache_budget: Annotated[
        str | None,
        typer.Option(help="Keep no more than this, such as 500M or 20G.", rich_help_panel=RUN),
    ] = None,
    cache_folder: Annotated[
        Path | None,
        typer.Option(
            help="Keep it in this folder, for this run and later ones; by default it goes with the run.",
            rich_help_panel=RUN,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Of the frozen tower: auto, float32 or bfloat16.", rich_help_panel=RUN),
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
        {
            "method": method,
            "backbone": backbone,
            "blocks": blocks,
            "modules": modules,
            "shared_rank": shared_rank,
            "expert_ranks": expert_ranks,
            "alpha": alpha,
            "head_blocks": head_blocks,
            "head_penalty": head_penalty,
            "views": views,
            "head_views": head_views,
            "epochs": epochs,
            "steps": steps,
            "batch_size": batch_size,
            "lr": lr,
            "head_rate": head_rate,
            "seed": seed,
            "samples": samples,
            "samples_per_class": samples_per_class,
            "samples_per_group": samples_per_group,
            "validation": validation,
            "hold_out": hold_out,
            "folds": folds,
            "source_penalty": source_penalty,
            "aligned": aligned,
            "aligned_images": aligned_images,
            "symmetric": symmetric,
            "balanced": balanced,
            "balanced_batches": balanced_batches,
            "accumulate": accumulate,
            "patience": patience,
            "keep": keep,
            "copies": copies,
            "plain_copy": plain_copy,
            "cache": cache,
            "cache_budget": cache_budget,
            "precision": precision,
            "max_pixels": max_pixels,
        },
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
                # a run that was resumed is told of as if it had not been
                command=shlex.join(["aigdetect", *(word for word in sys.argv[1:] if word != "--resume")]),
            ),
        ),
    )
