"""How ``aigdetect train`` carries out a training run, and what it shows of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aigdetect.cli.console import Exit
from aigdetect.cli.options import terminal
from aigdetect.cli.printing import put
from aigdetect.errors import AigdetectError, PeerError
from aigdetect.training.ranks import environment_rank

if TYPE_CHECKING:
    from aigdetect.cli.train_request import RecipeRequest, Roots, RunRequest
    from aigdetect.data.layouts import DataSet
    from aigdetect.methods.instrument import Instrument
    from aigdetect.model.card import ModelCard
    from aigdetect.training.callbacks import Watch
    from aigdetect.training.partition import Split
    from aigdetect.training.recipe import Recipe, RunOptions
    from aigdetect.training.starting_point import InitialModel

_log = logging.getLogger(__name__)


def print_config(recipe: RecipeRequest) -> None:
    """Print the whole recipe, as ``--config`` takes it, on standard output."""
    from aigdetect.training.recipe import write_recipe

    put(write_recipe(recipe.make()[0]))


def list_methods() -> None:
    """Print name, title and paper of every method on standard output."""
    from aigdetect.methods.registry import METHODS

    width = max(map(len, METHODS))
    for method in METHODS.values():
        put(f"{method.name:<{width}}  {method.title} ({method.source})\n")


def list_data(roots: Roots, recipe: RecipeRequest) -> None:
    """Say what is in the data, and what would give the classes away; a recipe is checked, too."""
    recipe.make()
    _look_at(roots)
    _look_at_validation(roots)


def train(roots: Roots, asked: RecipeRequest, run: RunRequest) -> Exit:
    """Train, and write the model folder; of several processes, the first one speaks.

    Returns:
        the exit status.

    Raises:
        AigdetectError: any; it names the process, where there are several.
    """
    rank, size = environment_rank()
    terminal.quiet = terminal.quiet or rank > 0
    with _named(rank, size):
        out = run.usable_folder() if not rank else run.out or Path()
        recipe, initial = asked.make()
        instrument = _checked(recipe, initial, run.instrument)
        options = replace(run.options, workers=run.workers or _decoding_threads(run.options))
        split = _split(roots, recipe, options.workers)
        from aigdetect.training.distributed import joined
        from aigdetect.training.train_model import train_model

        unread: list[str] = []
        whose = "held-out" if recipe.folds is None else "out-of-fold"
        with joined() as group, _progress(unread, whose) as watch:
            _tell_images(split, recipe, group.size)
            card = train_model(
                split,
                recipe,
                out,
                options,
                initial=initial,
                instrument=instrument,
                group=group,
                watch=watch,
            )
        if group.first:
            _summarise(card, out)
        if unread:
            terminal.say(f"images that could not be read and were left out: {len(unread)}")
        # what starts several processes would take the status for a run that failed
        return Exit.SOME_FAILED if unread and group.alone else Exit.DONE


@contextmanager
def _named(rank: int, size: int) -> Iterator[None]:
    """Say which of several processes an error is of, and how to go on after an interruption."""
    try:
        yield
    except AigdetectError as error:
        if size == 1 or isinstance(error, PeerError):
            raise
        raise type(error)(f"process {rank} of {size}: {error}") from error
    except KeyboardInterrupt:
        terminal.say("--resume goes on from the last checkpoint")
        raise


def _decoding_threads(options: RunOptions) -> int:
    """Threads that decode unless told otherwise: a GPU takes more images than a few of them give."""
    from aigdetect.model.detector import choose_device
    from aigdetect.scanning.engines import default_workers

    on_cpu = choose_device(options.device).type == "cpu"
    return default_workers() if on_cpu else min(16, os.cpu_count() or 1)


def _checked(recipe: Recipe, initial: InitialModel | None, place: Path | None) -> Instrument | None:
    """What the method looks through; what cannot be is said before a long look at the data."""
    from aigdetect.methods.registry import find_method
    from aigdetect.model.detector import adapter_config
    from aigdetect.training.starting_point import adapter_of, find_instrument

    if find_method(recipe.method).reads_tower:
        adapter_config(adapter_of(recipe))
    return find_instrument(recipe.method, initial, place)


def _split(roots: Roots, recipe: Recipe, workers: int) -> Split:
    """Find the images, say what is in them, and divide them."""
    from aigdetect.training.partition import split_data

    data, own = _look_at(roots), _look_at_validation(roots)
    split = split_data(data, recipe, workers=workers, validation_data=own)
    if own and (passed := sum(sample.split == "val" for found in data for sample in found.samples)):
        terminal.say(f"left out: {passed} images of a split val, as there is other data to validate on")
    _tell_copies(split)
    return split


def _look_at(roots: Roots) -> list[DataSet]:
    from aigdetect.data.audit import audit
    from aigdetect.data.layouts import find_samples

    labelled = ((roots.data, None), (roots.real, 0), (roots.fake, 1))
    data = [
        find_samples(root, label=label, follow_symlinks=roots.follow_symlinks)
        for some, label in labelled
        for root in some
    ]
    if not terminal.quiet:
        for found in data:
            _describe(found)
        for leak in audit(sample for found in data for sample in found.samples).warnings:
            terminal.warn(str(leak))
    return data


def _look_at_validation(roots: Roots) -> list[DataSet]:
    from aigdetect.data.layouts import find_samples

    data = [find_samples(root, follow_symlinks=roots.follow_symlinks) for root in roots.validation_data]
    if not terminal.quiet:
        for found in data:
            _describe(found)
    return data


def _tell_images(split: Split, recipe: Recipe, processes: int) -> None:
    rest = f"{len(split.validation)} held out"
    if recipe.folds is not None:
        rest = "each origin left out in turn" if recipe.folds == "origins" else f"{recipe.folds} folds"
    if split.selection:
        rest += f" and {len(split.selection)} more to choose an epoch by"
    told = f", in {processes} processes" if processes > 1 else ""
    terminal.say(f"training on {len(split.training)} images, {rest}{told}")


def _tell_copies(split: Split) -> None:
    """Name what is left out because it is there already, or in both classes."""
    if shared := split.shared_copies():
        terminal.warn(
            f"left out of training: {len(shared)} images that are among those to validate on, too, such as "
            f"{shared[0].sample.path}"
        )
    for copy in split.copies:
        _log.info("%s: left out, it has the content of %s", copy.sample.path, copy.original.path)
    if split.copies:
        first = split.copies[0]
        terminal.say(
            f"exact copies of other images left out: {len(split.copies)}, such as {first.sample.path} of "
            f"{first.original.path}; --verbose names all"
        )
    for sample in split.contradictions:
        terminal.warn(f"left out: {sample.path}: its content is given both as real and as generated")


def _describe(found: DataSet) -> None:
    """Say what was found, by generator and class, as a table on standard error."""
    from rich.table import Table

    from aigdetect.data.layouts import count_by_generator
    from aigdetect.text import printable

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


_CAUTION = {
    "validation": "generators that were trained on: unseen ones will be lower",
    "out of fold": "each image scored by a model that did not learn from it",
}
_UNSEEN = "none of a generator or source that was trained on"


def _summarise(card: ModelCard, out: Path) -> None:
    (which, metrics), *_ = card.metrics.items()
    learnt, held_out = (
        {(label, name) for label, names in card.data[part].items() for name in names}
        for part in ("training", "validation")
    )
    caution = _UNSEEN if held_out and held_out.isdisjoint(learnt) else _CAUTION[which]
    terminal.say(
        f"{'held-out' if which == 'validation' else 'out-of-fold'} images: ROC AUC {_told(metrics['auc'])}, "
        f"average precision {_told(metrics['average_precision'])}, "
        f"true-positive rate {_told(metrics['tpr_at_fpr_5'])} at 5 % false positives "
        f"({caution})"
    )
    put(f"{out}\n")


def _told(figure: float | None, digits: int = 3) -> str:
    return "not defined" if figure is None else f"{figure:.{digits}f}"


@contextmanager
def _progress(unread: list[str], whose: str) -> Iterator[Watch]:
    """Progress of a run: a bar on a terminal, one line per stage and epoch elsewhere.

    What is said of images that cannot be read is added to ``unread``; the figures of an epoch are those
    of ``whose`` images.
    """
    from aigdetect.training.callbacks import Epoch, Step, Watch

    with terminal.progress("starting") as bar:
        (task,) = bar.task_ids
        losses: list[tuple[float, float]] = []  # and balances, of the epoch under way

        def stage(name: str, total: int) -> None:
            losses.clear()
            bar.reset(task, description=name, total=total or None, speed="")
            if not name.startswith("epoch"):
                terminal.say(f"{name}: {total}")

        def step(done: Step) -> None:
            losses.append((done.loss, done.balance))
            rate = bar.tasks[0].speed
            told = [f"loss {done.loss:.4f}", f"balance {done.balance:.2f}", f"lr {done.lr:.1e}"]
            bar.update(task, speed=", ".join(told + ([f"{rate:.1f} images/s"] if rate else [])))

        def epoch(done: Epoch) -> None:
            line = (
                f"{f'epoch {done.epoch}' if done.epoch else 'head fitted'}: "
                f"{whose} AUC {_told(done.metrics['auc'], 4)}, "
                f"average precision {_told(done.metrics['average_precision'], 4)}"
            )
            if losses:
                loss, balance = (sum(values) / len(losses) for values in zip(*losses, strict=True))
                line += f"; in training, mean loss {loss:.4f}, balance {balance:.2f}"
            terminal.say(line)

        def left_out(text: str) -> None:
            unread.append(text)
            terminal.warn(text)

        yield Watch(
            stage=stage,
            advance=lambda count: bar.advance(task, count),
            step=step,
            epoch=epoch,
            unread=left_out,
            warn=terminal.warn,
            say=terminal.say,
            estimate=lambda estimate: terminal.say(str(estimate)),
        )
