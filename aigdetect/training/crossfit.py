"""The models of the folds: each learns from what its fold keeps, and scores what that leaves out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aigdetect.model.base import Network
from aigdetect.training.callbacks import Epoch
from aigdetect.training.checkpoint import State
from aigdetect.training.engine import Trainer
from aigdetect.training.folds import Fold
from aigdetect.training.head_fit import Features, share_head, solve_head
from aigdetect.training.open_outputs import RunOutputs
from aigdetect.training.partition import RunImages
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.sampling import TrainingSet, choose_training_set


def cross_fit(
    network: Network,
    recipe: Recipe,
    images: RunImages,
    outputs: RunOutputs,
    features: Features | None,
    state: State,
    run: Run,
    after: Callable[[Fold], None] = lambda fold: None,
) -> Epoch:
    """Train once for each fold, and score what it leaves out.

    Neither the steps nor the epochs of these models are told, and no state is saved: they are not the model.

    Args:
        network: trained in place, by each of them anew.
        recipe: the settings.
        images: of the run, and the folds.
        outputs: of the frozen trunk for them.
        features: what heads are fitted to; None: none is.
        state: from which each of the models begins.
        run: the run.
        after: called for each fold while the network is that fold's model.

    Returns:
        the logits of all images that were left out and can be read, as those after the last epoch.

    Raises:
        DataError: if no image of one class that was left out can be read, or the loss is no number any more.
    """
    device = network.head.weight.device

    def learn(chosen: Tensor | None = None) -> TrainingSet:
        return choose_training_set(images.training, outputs.training, recipe, device, chosen)

    def train(fold: Fold, name: str) -> None:
        trainer = Trainer(network, recipe, learn(fold.kept), state, run.of_fold(name))
        if features is not None:
            trainer.fit_head(features)
        trainer.train()

    def leave_out(fold: Fold, name: str) -> None:
        if solution is not None:
            ridge, learnt = solution
            ridge.fit_without(~torch.isin(learnt, fold.kept).to(device))
        share_head(network, run.group)

    fit_to, solution = train, None
    # where all that is learnt is a head over products, one solution holds those of all folds
    if features is not None and network.head.quadratic is not None and not recipe.epochs:
        network.load_adapter_state(state.adapter)
        fit_to = leave_out
        if run.group.first:
            solution = solve_head(network, recipe, features, learn())
    logits: dict[int, float] = {}
    for number, fold in enumerate(images.folds, 1):
        fit_to(fold, f"fold {number} of {len(images.folds)}")
        outputs.share_unread()
        logits |= outputs.validation.logits_of(fold.left_out.tolist())
        after(fold)
    return outputs.validation.told(recipe.epochs, logits)
