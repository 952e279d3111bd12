"""The models of the folds: each learns from what its fold keeps, and scores what that leaves out."""

from __future__ import annotations

from collections.abc import Callable

from aigdetect.model.base import Network
from aigdetect.training.callbacks import Epoch
from aigdetect.training.checkpoint import State
from aigdetect.training.engine import Trainer
from aigdetect.training.folds import Fold
from aigdetect.training.head_fit import Features
from aigdetect.training.open_outputs import RunOutputs
from aigdetect.training.partition import RunImages
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.sampling import choose_training_set


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
    logits: dict[int, float] = {}
    for number, fold in enumerate(images.folds, 1):
        of_fold = run.of_fold(f"fold {number} of {len(images.folds)}")
        training_set = choose_training_set(
            images.training, outputs.training, recipe, network.head.weight.device, fold.kept
        )
        trainer = Trainer(network, recipe, training_set, state, of_fold)
        if features is not None:
            trainer.fit_head(features)
        trainer.train()
        outputs.share_unread()
        logits |= outputs.validation.logits_of(fold.left_out.tolist())
        after(fold)
    return outputs.validation.told(recipe.epochs, logits)
