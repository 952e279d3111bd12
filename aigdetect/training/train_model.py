"""From data and a recipe to a model folder, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from aigdetect.methods.instrument import Instrument
from aigdetect.methods.registry import choose_precision_of, find_method
from aigdetect.model.base import Network
from aigdetect.model.card import ModelCard
from aigdetect.model.detector import choose_device
from aigdetect.training.callbacks import NOBODY, Epoch, Watch
from aigdetect.training.crossfit import cross_fit
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.engine import Trainer
from aigdetect.training.head_fit import fit_kinds, read_features
from aigdetect.training.model_folder import write_model
from aigdetect.training.open_outputs import open_outputs
from aigdetect.training.partition import RunImages, Split, choose_images
from aigdetect.training.recipe import DEFAULT_OPTIONS, Recipe, RunOptions
from aigdetect.training.run import Run
from aigdetect.training.sampling import choose_training_set
from aigdetect.training.starting_point import InitialModel, find_start, identify


def train_model(
    split: Split,
    recipe: Recipe,
    folder: Path,
    options: RunOptions = DEFAULT_OPTIONS,
    *,
    initial: InitialModel | None = None,
    instrument: Instrument | None = None,
    group: Group = ALONE,
    watch: Watch = NOBODY,
) -> ModelCard:
    """Train a detector and write its model folder: card, adapter, list of images, log of every step, curves.

    Args:
        split: images to learn from and to hold out.
        recipe: the settings.
        folder: made if it does not exist; its name becomes the model's.
        options: how the run is carried out.
        initial: a trained model that the run begins with; None begins anew.
        instrument: what the method looks through, if it does
            (:func:`aigdetect.training.starting_point.find_instrument`).
        group: the processes that train together.
        watch: told what the run does; of a group, only the first process tells anything.

    Returns:
        the card, as written.

    Raises:
        UsageError: if a setting or the folder cannot be used, or another run is writing into it.
        DataError: if too many images cannot be read, or one class is absent.
        WeightsError: if the weights of the backbone cannot be found.
    """
    watch = watch if group.first else NOBODY
    device = choose_device(options.device)
    precision = choose_precision_of(find_method(recipe.method), recipe.precision, device)
    recipe = replace(recipe, precision=precision)
    start = find_start(split, recipe, options, initial, instrument, group, watch)
    start.move_to(device, precision)
    for doubt in start.doubts(split):
        watch.warn(doubt)
    run = Run(folder, identify(split, recipe, start, options), options, group, watch)
    if (card := run.finished_card()) is not None:
        watch.say(f"{folder}: finished already")
        return card
    with run.opened() as run:
        images = choose_images(split, recipe, run)
        with run.recorded() as recorded:
            judged = train_network(start.network, recipe, images, recorded, start.weights())
        return write_model(start, recipe, split, images, judged, run)


def train_network(
    network: Network,
    recipe: Recipe,
    images: RunImages,
    run: Run,
    weights: Mapping[str, Tensor] | None = None,
) -> Epoch:
    """Train a network: its head on the frozen tower, the models of the folds, and then all that it adapts.

    Args:
        network: on its device, its tower in the precision wanted; trained in place.
        recipe: the settings.
        images: to learn from, and to judge by.
        run: the run, which may go on from a checkpoint.
        weights: those to begin with, by name; None: those of the network, which has not been trained.

    Returns:
        logits of :attr:`RunImages.judged`: those of the weights that are kept, which are in the network then,
        or of the models of the folds.

    Raises:
        DataError: if too many images cannot be read, or the loss is no number any more.
        UsageError: if what the frozen tower makes of the images does not fit where it is to be kept.
    """
    state = run.first_state(network, recipe, weights)
    with open_outputs(network, recipe, images, state, run) as outputs:
        begins = not state.epoch  # no head is fitted twice
        features = read_features(network, recipe, outputs.training, run) if begins else None
        if features is not None and network.kinds is not None:
            fit_kinds(network, features, images.training, run.group)
            state = replace(state, adapter=network.adapter_state())
        if images.folds and state.out_of_fold is None:
            out_of_fold = cross_fit(network, recipe, images, outputs, features, state, run)
            state = replace(state, out_of_fold=out_of_fold)
            run.save(state)
        device = network.head.weight.device
        training_set = choose_training_set(images.training, outputs.training, recipe, device)
        validate = None if images.folds else outputs.validate
        trainer = Trainer(network, recipe, training_set, state, run, validate)
        if features is not None:
            trainer.fit_head(features)
        del features  # they may be large, and no other head is fitted
        judged = trainer.train() or state.out_of_fold
        assert judged is not None  # images were held out, or there were folds
        if outputs.calibration is not None:
            judged = outputs.calibration.epoch(judged.epoch)
        outputs.share_unread()
    if state.out_of_fold is not None:
        run.watch.epoch(state.out_of_fold)
    return judged
