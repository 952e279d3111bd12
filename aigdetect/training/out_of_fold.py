"""Logits of training images out of models that did not learn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.training.folds import Fold
from aigdetect.training.held_out import HeldOut, require_both
from aigdetect.training.watching import Epoch, Watch


def score_out_of_fold(
    folds: Sequence[Fold],
    samples: Sequence[Sample],
    held_out: HeldOut,
    train: Callable[[Tensor, Watch], None],
    *,
    epochs: int,
    watch: Watch,
) -> Epoch:
    """Train once for each fold, and score what it leaves out.

    Neither the steps nor the epochs of these models are told: they are not the model.

    Args:
        folds: divisions of the training samples.
        samples: those that are scored.
        held_out: the same.
        train: trains a model, from the beginning, on the training samples of these indices, and tells the
            watch; its network is the one that ``held_out`` scores with.
        epochs: number of the epoch that the logits are those of.
        watch: told of stages, with the number of the fold, and of progress.

    Raises:
        DataError: if no image of one class that was left out can be read.
    """
    logits: dict[int, float] = {}
    for number, fold in enumerate(folds, 1):
        stage = partial(_tell_stage, watch.stage, f"fold {number} of {len(folds)}: ")
        train(fold.kept, Watch(stage=stage, advance=watch.advance, unread=watch.unread, warn=watch.warn))
        logits |= dict(zip(*held_out.logits_of(fold.left_out.tolist()), strict=True))
    indices = sorted(logits)
    labels = tuple(samples[index].label for index in indices)
    require_both(labels)
    return Epoch(epochs, tuple(logits[index] for index in indices), labels, tuple(indices))


def _tell_stage(stage: Callable[[str, int], None], prefix: str, name: str, total: int) -> None:
    stage(prefix + name, total)
