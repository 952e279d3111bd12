"""The model folder that a run ends in: calibration and card, adapter, list of images and curves."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from typing import Any

from safetensors.torch import save

import aigdetect
from aigdetect.data.kinds import kind_of
from aigdetect.data.layouts import Sample, count_by_generator
from aigdetect.files import write_atomically
from aigdetect.methods.registry import find_method
from aigdetect.model.calibration import Calibration
from aigdetect.model.calibration_fit import fit_calibration, rates_at
from aigdetect.model.card import ADAPTER_NAME, NO_BACKBONE, ModelCard, Preprocess, write_card
from aigdetect.model.learnt import write_learnt
from aigdetect.training.callbacks import LOG_NAME, Epoch, Watch
from aigdetect.training.checkpoint import Checkpoints, RunIdentity
from aigdetect.training.curves import draw_curves, read_history
from aigdetect.training.partition import MADE_NAME, RunImages, Split
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.starting_point import Start
from aigdetect.training.token_store import remove_tables

CURVES_NAME = "curves.png"


def calibrate(judged: Epoch, images: RunImages, *, by_kind: bool, watch: Watch) -> Calibration:
    """Calibrate a model by what it says of images that it did not learn from.

    Args:
        judged: logits of :attr:`RunImages.judged`.
        images: of the run.
        by_kind: whether kinds of pictures are told apart.
        watch: warned of what the images do not bear.
    """
    samples = [images.judged[index] for index in judged.indices]
    kinds = [kind_of(sample.kind) for sample in samples] if by_kind else None
    groups = [sample.generator for sample in samples]
    calibration = fit_calibration(judged.logits, judged.labels, groups, kinds)
    if not calibration.informative:
        watch.warn(
            "the model ranks the held-out images no better than chance: every score will be 0.5, and every "
            "verdict uncertain"
        )
    for lack in calibration.lacks():
        watch.warn(f"{lack}; give more images, or other rates to aigdetect calibrate")
    return calibration


def write_model(
    start: Start,
    recipe: Recipe,
    split: Split,
    images: RunImages,
    judged: Epoch,
    run: Run,
) -> ModelCard:
    """Calibrate a trained network and write its model folder; nothing stays there that the run alone needed.

    Args:
        start: the network, trained by now.
        recipe: the settings.
        split: the images as they were found.
        images: of the run.
        judged: logits of :attr:`RunImages.judged`.
        run: the run; its first process writes.

    Returns:
        the card, as written.

    Raises:
        UsageError: if a file cannot be written.
    """
    calibration = calibrate(judged, images, by_kind=bool(start.adapter.kinds), watch=run.watch)
    groups = [images.judged[index].generator for index in judged.indices]
    rates = rates_at(calibration.thresholds(), judged.logits, judged.labels, groups)
    adapter = save(start.network.adapter_state())
    reads_tower = find_method(recipe.method).reads_tower
    card = ModelCard(
        name=run.folder.resolve().name,
        backbone=recipe.backbone if reads_tower else NO_BACKBONE,
        backbone_digest=start.digest if reads_tower else "",
        preprocess=Preprocess(start.network.size, *start.network.statistics, views=recipe.views),
        adapter=start.adapter,
        adapter_sha256=hashlib.sha256(adapter).hexdigest(),
        calibration=calibration,
        command=run.identity.command,
        recipe=recipe.defining(),
        data=_data_facts(start, split, images, run.identity),
        metrics={
            "validation" if recipe.folds is None else "out of fold": judged.metrics,
            "rates": {name: rate.as_dict() for name, rate in rates.items()},
        },
        program=f"aigdetect {aigdetect.__version__}",
        method=recipe.method,
        hyperparameters=recipe.hyperparameters,
    )
    if run.group.first:
        write_atomically(run.folder / ADAPTER_NAME, adapter)
        before = map(bytes.fromhex, start.initial.learnt() if start.initial else ())
        write_learnt(run.folder, [*before, *split.contents_of(split.training)])
        write_card(run.folder, card)
        history = read_history(run.folder / LOG_NAME)
        if len(history.step):
            draw_curves(history, run.folder / CURVES_NAME)
        Checkpoints(run.folder).remove()
        remove_tables(run.folder)
        shutil.rmtree(run.folder / MADE_NAME, ignore_errors=True)
    return card


def _data_facts(
    start: Start,
    split: Split,
    images: RunImages,
    identity: RunIdentity,
) -> dict[str, Any]:
    """What a card says of the images, and of what the run began with."""
    facts: dict[str, Any] = {"training": _counts(images.training), "validation": _counts(split.validation)}
    if split.selection:
        facts["selection"] = _counts(split.selection)
    if split.validated_on:
        facts["validation data"] = _validation_facts(split)
    facts["digest"] = identity.images
    if identity.decoders:
        facts["decoders"] = identity.decoders
    if start.begun_with:
        facts["begun with"] = start.begun_with
    if start.instrument:
        facts["instrument"] = {"name": start.instrument.name, "digest": start.instrument.digest}
    if start.initial:
        facts["from"] = start.initial.lineage()
    return facts


def _validation_facts(split: Split) -> dict[str, Any]:
    """What a card says of data for validation alone."""
    learnt = {(sample.label, sample.generator) for sample in split.training}
    both = {sample.generator for sample in split.validation if (sample.label, sample.generator) in learnt}
    return {
        "folders": [found.root for found in split.validated_on],
        "left out of training": len(split.shared_copies()),
        "trained on, too": sorted(both),
    }


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts = count_by_generator(samples)
    return {
        "real": {count.generator: count.real for count in counts if count.real},
        "generated": {count.generator: count.generated for count in counts if count.generated},
    }
