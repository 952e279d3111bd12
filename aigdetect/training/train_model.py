"""From data and a recipe to a model folder."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

import aigdetect
from aigdetect.data.dataset import Reading
from aigdetect.data.kinds import kind_of
from aigdetect.data.layouts import Sample, count_by_generator
from aigdetect.errors import UsageError
from aigdetect.files import write_atomically
from aigdetect.locks import alone_in
from aigdetect.methods.instrument import Instrument
from aigdetect.methods.registry import choose_precision_of, find_method
from aigdetect.model.calibration_fit import fit_calibration, rates_at
from aigdetect.model.card import ADAPTER_NAME, NO_BACKBONE, ModelCard, Preprocess, write_card
from aigdetect.model.detector import choose_device
from aigdetect.model.learnt import write_learnt
from aigdetect.training.aligned import Aligned, digest_decoders, list_aligned, make_aligned, parents_of
from aigdetect.training.beginning import Beginning
from aigdetect.training.checkpoint import Checkpoints, RunIdentity, digest_images
from aigdetect.training.curves import draw_curves
from aigdetect.training.draw import draw_scored
from aigdetect.training.folds import Fold, make_folds
from aigdetect.training.log import LOG_NAME, read_history
from aigdetect.training.networks import Built, from_pixels, on_a_tower
from aigdetect.training.partition import Split
from aigdetect.training.recipe import Recipe
from aigdetect.training.session import Session
from aigdetect.training.token_store import remove_tables

CURVES_NAME = "curves.png"
#: folder of images that were made here, while a run goes on
ALIGNED_NAME = ".aligned"

_log = logging.getLogger(__name__)


def train_model(
    split: Split,
    recipe: Recipe,
    folder: Path,
    *,
    command: str = "",
    device: str = "auto",
    weights: Path | None = None,
    offline: bool = False,
    session: Session | None = None,
    beginning: Beginning | None = None,
    instrument: Instrument | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ModelCard:
    """Train a detector and write its model folder: card, adapter, list of images, log of every step, curves.

    Args:
        split: images to learn from and to hold out.
        recipe: the settings.
        folder: made if it does not exist; its name becomes the model's.
        command: command line to note in the card.
        device: as for :func:`aigdetect.load_detector`.
        weights: file with the backbone's weights; None searches for them.
        offline: look for weights on this machine only.
        session: how the run is carried out.
        beginning: a trained model that the run begins with; None begins anew.
        instrument: what the method looks through, if it does
            (:func:`aigdetect.training.beginning.find_instrument`).
        say: called with one line per step of the search for weights.

    Returns:
        the card, as written.

    Raises:
        UsageError: if a setting or the folder cannot be used, or another run is writing into it.
        DataError: if too many images cannot be read, or one class is absent.
        WeightsError: if the weights of the backbone cannot be found.
    """
    session = session or Session()
    group = session.group
    if beginning is not None:
        beginning.require_fit(recipe)
    elif recipe.initial is not None:
        raise UsageError("initial: the recipe begins with a trained model; name it with --from")
    chosen = choose_device(device)
    method = find_method(recipe.method)
    recipe = replace(recipe, precision=choose_precision_of(method, recipe.precision, chosen))
    build = on_a_tower if method.reads_tower else partial(from_pixels, instrument=instrument)
    built = build(split, recipe, beginning, session, weights=weights, offline=offline, say=say)
    network, adapter = built.network, built.adapter
    _log.info(
        "%s from %s, on %s in %s, %d threads; %d parameters train, %d stay frozen",
        *(built.what, built.place, chosen, recipe.precision, torch.get_num_threads()),
        *(_count(network.parameters(), trained) for trained in (True, False)),
    )
    network.prepare(recipe.precision, chosen, train=True)
    network.to(chosen)
    if beginning is not None:
        _warn_of_beginning(beginning, built.digest, split, session.watch.warn)
    run = RunIdentity(
        recipe=recipe.defining(),
        backbone=built.digest,
        images=digest_images(*(split.training, split.validation, split.selection), contents=split.contents),
        command=command,
        decoders=digest_decoders(recipe.aligned),
        instrument=instrument.digest if instrument else "",
    )
    if (card := session.finished(folder, run)) is not None:
        say(f"{folder}: finished already")
        return card
    if group.first:
        _make(folder)
    with alone_in(folder) if group.first else nullcontext():
        group.wait()
        session.require_same(folder, run)  # before anything is made that another run has made, too
        aligned = _aligned(split.training, recipe, folder, session)
        training = [*split.training, *(each.sample for each in aligned)]
        held_out, folds = _held_out(split, training, aligned, recipe)
        last, run = session.train(
            network,
            recipe,
            training,
            split.selection or held_out,
            folder,
            run,
            folds,
            split.validation if split.selection else (),
            beginning.adapter() if beginning else None,
            split.contents,
        )
        state = save(network.adapter_state())
        groups = [held_out[index].generator for index in last.indices]
        kinds = [kind_of(held_out[index].kind) for index in last.indices]
        calibration = fit_calibration(last.logits, last.labels, groups, kinds if adapter.kinds else None)
        if not calibration.informative:
            session.watch.warn(
                "the model ranks the held-out images no better than chance: every score will be 0.5, and "
                "every verdict uncertain"
            )
        for lack in calibration.lacks():
            session.watch.warn(f"{lack}; give more images, or other rates to aigdetect calibrate")
        rates = rates_at(calibration.thresholds(), last.logits, last.labels, groups)
        card = ModelCard(
            name=folder.resolve().name,
            backbone=recipe.backbone if method.reads_tower else NO_BACKBONE,
            backbone_digest=built.digest if method.reads_tower else "",
            preprocess=Preprocess(network.size, *network.statistics, views=recipe.views),
            adapter=adapter,
            adapter_sha256=hashlib.sha256(state).hexdigest(),
            calibration=calibration,
            command=run.command,
            recipe=recipe.defining(),
            data=_data_facts(split, training, run, built, beginning, instrument),
            metrics={
                "validation" if recipe.folds is None else "out of fold": last.metrics,
                "rates": {name: rate.as_dict() for name, rate in rates.items()},
            },
            program=f"aigdetect {aigdetect.__version__}",
            method=recipe.method,
            hyperparameters=recipe.hyperparameters,
        )
        if group.first:
            write_atomically(folder / ADAPTER_NAME, state)
            before = map(bytes.fromhex, beginning.learnt() if beginning else ())
            write_learnt(folder, [*before, *split.contents_of(split.training)])
            write_card(folder, card)
            history = read_history(folder / LOG_NAME)
            if len(history.step):
                draw_curves(history, folder / CURVES_NAME)
            Checkpoints(folder).remove()
            remove_tables(folder)
            shutil.rmtree(folder / ALIGNED_NAME, ignore_errors=True)
        return card


def _data_facts(
    split: Split,
    training: Sequence[Sample],
    run: RunIdentity,
    built: Built,
    beginning: Beginning | None,
    instrument: Instrument | None,
) -> dict[str, Any]:
    """What a card says of the images, and of what the run began with."""
    facts: dict[str, Any] = {"training": _counts(training), "validation": _counts(split.validation)}
    if split.selection:
        facts["selection"] = _counts(split.selection)
    if split.validated_on:
        facts["validation data"] = _told(split)
    facts["digest"] = run.images
    if run.decoders:
        facts["decoders"] = run.decoders
    if built.begun_with:
        facts["begun with"] = built.begun_with
    if instrument:
        facts["instrument"] = {"name": instrument.name, "digest": instrument.digest}
    if beginning:
        facts["from"] = beginning.lineage()
    return facts


def _told(split: Split) -> dict[str, Any]:
    """What a card says of data for validation alone."""
    learnt = {(sample.label, sample.generator) for sample in split.training}
    both = {sample.generator for sample in split.validation if (sample.label, sample.generator) in learnt}
    return {
        "folders": [found.root for found in split.validated_on],
        "left out of training": len(split.shared_copies()),
        "trained on, too": sorted(both),
    }


def _warn_of_beginning(
    beginning: Beginning, backbone: str, split: Split, warn: Callable[[str], None]
) -> None:
    """Say what makes the model that a run begins with, or the figures that come of it, doubtful."""
    name = beginning.card.name
    if beginning.card.has_backbone and backbone != beginning.card.backbone_digest:
        warn(f"{name} was trained on other weights of {beginning.card.backbone} than those found here")
    held_out = [*split.validation, *split.selection]
    if known := beginning.count_learnt(split.contents_of(held_out)):
        warn(
            f"{name} has learnt {known} of the {len(held_out)} images held out: thresholds and figures come "
            "out too good"
        )


def _aligned(samples: Sequence[Sample], recipe: Recipe, folder: Path, session: Session) -> list[Aligned]:
    """The images that the recipe has made of real ones; the first process of a group makes them."""
    place = folder / ALIGNED_NAME
    if session.group.first:
        if not session.resume:
            shutil.rmtree(place, ignore_errors=True)  # of another run
        make_aligned(
            samples,
            place,
            recipe.aligned,
            count=recipe.aligned_images,
            seed=recipe.seed,
            reading=Reading.of("real", samples, session.workers, session.watch.unread),
            max_pixels=recipe.max_pixels,
            stage=session.watch.stage,
            advance=session.watch.advance,
        )
    session.group.wait()
    return list_aligned(samples, place, recipe.aligned, count=recipe.aligned_images, seed=recipe.seed)


def _held_out(
    split: Split, training: Sequence[Sample], aligned: Sequence[Aligned], recipe: Recipe
) -> tuple[Sequence[Sample], list[Fold]]:
    """Images that are scored without having been learnt from, and the folds that leave them out, if any do.

    The aligned images are the last of the training samples, and never scored.
    """
    if recipe.folds is None:
        return split.validation, []
    scored = draw_scored(split.training, recipe)
    parents = parents_of(split.training, aligned)
    folds = make_folds(training, parents, recipe.folds, seed=recipe.seed, scored=scored)
    return [split.training[index] for index in scored], folds


def _count(parameters: Iterable[torch.nn.Parameter], trained: bool) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad == trained)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts = count_by_generator(samples)
    return {
        "real": {count.generator: count.real for count in counts if count.real},
        "generated": {count.generator: count.generated for count in counts if count.generated},
    }
