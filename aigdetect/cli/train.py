"""``aigdetect train``: data and a recipe in, a model folder out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigdetect.cli.options import Debug, Offline, Quiet, Verbose, WeightsFile, terminal
from aigdetect.errors import UsageError

if TYPE_CHECKING:
    from aigdetect.data.layouts import DataSet
    from aigdetect.model.card import ModelCard
    from aigdetect.training.trainer import Watch

_PAPER = "Paper's recipe"
_ADAPTER = "Adapter"
_RUN = "Run"


def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder of images in any of the field's layouts, or a CSV of path,label[,generator]."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Model folder to write.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with settings; options go before it.")
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
            help="What the model sees: center_crop, whole, or center_crop,whole.", rich_help_panel=_ADAPTER
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images.", rich_help_panel=_PAPER)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.", rich_help_panel=_PAPER)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of AdamW.", rich_help_panel=_PAPER)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all chance.", rich_help_panel=_PAPER)] = None,
    samples: Annotated[
        int | None, typer.Option(help="Train on this many images, drawn uniformly.", rich_help_panel=_PAPER)
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share held out of each generator.", rich_help_panel=_PAPER)
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
    copies: Annotated[
        int | None, typer.Option(help="With a cache: augmented copies of each image.", rich_help_panel=_RUN)
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            help="Keep the frozen blocks' output: auto, memory, disk or none.", rich_help_panel=_RUN
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Of the frozen tower: auto, float32 or bfloat16.", rich_help_panel=_RUN),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.", rich_help_panel=_RUN)] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode.", rich_help_panel=_RUN)] = 2,
    weights: WeightsFile = None,
    offline: Offline = False,
    dry_run: Annotated[
        bool, typer.Option("--list", help="Say what is in the data, and stop.", rich_help_panel=_RUN)
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is in use.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train a detector on folders of real and generated images.

    Example: aigdetect train --data progan/ --out models/mine
    """
    options = {
        "backbone": backbone,
        "shared_rank": shared_rank,
        "alpha": alpha,
        "head_blocks": head_blocks,
        "head_penalty": head_penalty,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
        "samples": samples,
        "validation": validation,
        "symmetric": symmetric,
        "balanced": balanced,
        "copies": copies,
        "cache": cache,
        "precision": precision,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if blocks is not None:
        given["blocks"] = None if blocks == "all" else _whole("blocks", blocks)
    if modules is not None:
        given["modules"] = modules.split(",")
    if views is not None:
        given["views"] = views.split(",")
    if expert_ranks is not None:
        parts = [] if expert_ranks in ("", "none") else expert_ranks.split(",")
        given["expert_ranks"] = [_whole("expert-ranks", part) for part in parts]
    if not dry_run:
        out = _usable(out, force)
    _run(data, out, config, given, device, weights, offline, workers)


def _run(
    roots: Sequence[Path],
    out: Path | None,
    config: Path | None,
    given: dict[str, Any],
    device: str,
    weights: Path | None,
    offline: bool,
    workers: int,
) -> None:
    from aigdetect.data.audit import audit
    from aigdetect.data.layouts import find_samples
    from aigdetect.training.recipe import make_recipe, read_recipe

    recipe = make_recipe(read_recipe(config) if config else {}, given)
    data = [find_samples(root) for root in roots]
    for found in data:
        _describe(found)
    for leak in audit(sample for found in data for sample in found.samples).warnings:
        terminal.warn(str(leak))
    if out is None:
        return

    from aigdetect.training.run import split_data, train_model

    split = split_data(data, recipe)
    terminal.say(f"training on {len(split.training)} images, {len(split.validation)} held out")
    with _Progress() as watch:
        card = train_model(
            split,
            recipe,
            out,
            command=shlex.join(["aigdetect", *sys.argv[1:]]),
            device=device,
            weights=weights,
            offline=offline,
            workers=workers,
            watch=watch,
            say=terminal.say,
        )
    _summarise(card, out)


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{name}: {text!r} is not a whole number") from None


def _usable(out: Path | None, force: bool) -> Path:
    if out is None:
        raise UsageError("--out: name the model folder to write, or look at the data with --list")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is not a folder; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise UsageError(f"{out}: is in use; choose another --out, or add --force to write into it")
    return out


def _describe(found: DataSet) -> None:
    """Say what was found, by generator and class, as a table on standard error."""
    from rich.table import Table

    from aigdetect.data.layouts import count_by_generator
    from aigdetect.text import printable

    if terminal.quiet:
        return
    table = Table(title=printable(f"{found.root}: {found.kind}"), title_justify="left")
    table.add_column("generator or source")
    table.add_column("real", justify="right")
    table.add_column("generated", justify="right")
    counts = count_by_generator(found.samples)
    for count in counts:
        table.add_row(printable(count.generator), str(count.real or ""), str(count.generated or ""))
    table.add_section()
    table.add_row("all", str(sum(c.real for c in counts)), str(sum(c.generated for c in counts)))
    terminal.messages().print(table)
    if left_out := str(found.ignored):
        terminal.say(f"left out: {left_out}")


def _summarise(card: ModelCard, out: Path) -> None:
    metrics = card.metrics["validation"]
    terminal.say(
        f"held-out images: ROC AUC {_told(metrics['auc'])}, "
        f"average precision {_told(metrics['average_precision'])}, "
        f"true-positive rate {_told(metrics['tpr_at_fpr_5'])} at 5 % false positives "
        "(generators that were trained on: unseen ones will be lower)"
    )
    sys.stdout.write(f"{out}\n")


def _told(figure: float | None, digits: int = 3) -> str:
    return "not defined" if figure is None else f"{figure:.{digits}f}"


class _Progress:
    """Progress of a run: a bar on a terminal, one line per epoch elsewhere."""

    def __enter__(self) -> Watch:
        from aigdetect.training.trainer import Epoch, Step, Watch

        self._context = terminal.progress("starting")
        bar = self._bar = self._context.__enter__()
        task = bar.tasks[0].id

        def stage(name: str, total: int) -> None:
            bar.reset(task, description=name, total=total or None)
            if not name.startswith("epoch"):
                terminal.say(f"{name}: {total}")

        def step(done: Step) -> None:
            bar.update(task, speed=f"loss {done.loss:.4f}")

        def epoch(done: Epoch) -> None:
            terminal.say(
                f"{f'epoch {done.epoch}' if done.epoch else 'head fitted'}: "
                f"held-out AUC {_told(done.metrics['auc'], 4)}, "
                f"average precision {_told(done.metrics['average_precision'], 4)}"
            )

        return Watch(
            stage=stage,
            advance=lambda count: bar.advance(task, count),
            step=step,
            epoch=epoch,
            warn=terminal.warn,
        )

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)
