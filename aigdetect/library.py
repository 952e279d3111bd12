"""What the commands ``train`` and ``eval`` do, as functions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from aigdetect.data.layouts import find_samples
from aigdetect.errors import UsageError
from aigdetect.evaluation.bias import audit_bias
from aigdetect.evaluation.from_plan import evaluate as measure
from aigdetect.evaluation.from_plan import open_store, score_missing
from aigdetect.evaluation.plan import Request, make_plan
from aigdetect.evaluation.results import Evaluation
from aigdetect.locks import LOCK_NAME
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import ModelCard
from aigdetect.scanning.engines import default_workers
from aigdetect.training.callbacks import NOBODY, Watch
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import Recipe, RunOptions, make_recipe
from aigdetect.training.starting_point import find_initial_model, find_instrument
from aigdetect.training.train_model import train_model

AnyPath = str | os.PathLike[str]


def train(
    recipe: Recipe | Mapping[str, Any],
    data: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    validation_data: AnyPath | Sequence[AnyPath] = (),
    beginning: str | None = None,
    instrument: AnyPath | None = None,
    resume: bool = False,
    device: str = "auto",
    weights: Path | None = None,
    offline: bool = False,
    workers: int | None = None,
    watch: Watch | None = None,
) -> ModelCard:
    """Train a detector, and write its model folder.

    Args:
        recipe: settings by the names of :class:`aigdetect.training.recipe.Recipe`; those not given are its
            defaults, which are the paper's.
        data: folders or archives of images in any of the field's layouts, or lists of
            ``path,label[,generator]``.
        out: model folder; one that holds anything is used with ``resume`` alone.
        validation_data: likewise, of images to validate on; if there are none, a part of ``data`` is held
            out.
        beginning: a trained model to go on from, by name or folder; None begins anew.
        instrument: file or folder of the network of others that a method looks through, if it does; a model
            to go on from has its own.
        resume: go on where a run into ``out`` was stopped.
        device: ``"auto"``, or any name that torch knows.
        weights: file with the backbone's weights; None searches for them.
        offline: look for weights on this machine only.
        workers: threads that decode; None for a number that suits the machine.
        watch: is told of stages, steps, epochs, warnings and images that cannot be read.

    Returns:
        the card of the model, as written.

    Raises:
        UsageError: if a setting or the folder cannot be used.
        DataError: if there is no image of a class, or too many cannot be read.
        ModelError: if the model to go on from is damaged.
        WeightsError: if the weights of the backbone cannot be found.
    """
    folder = Path(out)
    left = [path for path in folder.iterdir() if path.name != LOCK_NAME] if folder.is_dir() else []
    if left and not resume:
        raise UsageError(f"{folder}: is in use; choose another folder, or resume the run in it")
    initial = find_initial_model(beginning) if beginning is not None else None
    settings = recipe.as_dict() if isinstance(recipe, Recipe) else recipe
    chosen = make_recipe(initial.settings() if initial else {}, settings)
    if initial:
        initial.require_fit(chosen)
    looked_through = find_instrument(chosen.method, initial, None if instrument is None else Path(instrument))
    threads = workers or default_workers()
    return train_model(
        split_data(
            [find_samples(root) for root in _several(data)],
            chosen,
            workers=threads,
            validation_data=[find_samples(root) for root in _several(validation_data)],
        ),
        chosen,
        folder,
        RunOptions(device=device, weights=weights, offline=offline, workers=threads, resume=resume),
        initial=initial,
        instrument=looked_through,
        watch=watch or NOBODY,
    )


def evaluate(
    data: AnyPath | Sequence[AnyPath],
    models: str | Sequence[str],
    *,
    protocol: str = "ours",
    split: str | None = None,
    robustness: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    weights: Path | None = None,
    offline: bool = False,
    workers: int | None = None,
) -> Evaluation:
    """Measure trained models on labelled images.

    Args:
        data: folders or archives of images in any of the field's layouts, or lists of
            ``path,label[,generator]``.
        models: shipped models by name, or model folders.
        protocol: ``"ours"``, ``"univfd"``, ``"genimage"`` or ``"dif"``.
        split: ``"train"``, ``"val"`` or ``"test"``; None for the protocol's.
        robustness: operations after which is measured, too, such as ``"blur,jpeg:65"``, or ``"all"``.
        resamples: of the bootstrap behind intervals.
        seed: of all chance.
        device: as for :func:`aigdetect.load_detector`, like the rest.
        precision: see there.
        batch_size: see there.
        weights: see there.
        offline: see there.
        workers: threads that read and decode; None for a number that suits the machine.

    Returns:
        all that was measured, generator by generator, and what each model says of each image; images without
        a score have the reason in its place.

    Raises:
        UsageError: if an argument cannot be used.
        DataError: if there is no image, or none has a score.
        ModelError: if a model is damaged.
        WeightsError: if the weights of a backbone cannot be found.
    """
    plan = make_plan(
        Request(
            data=tuple(Path(root) for root in _several(data)),
            models=(models,) if isinstance(models, str) else tuple(models),
            protocol=protocol,
            split=split,
            robustness=robustness,
            resamples=resamples,
            seed=seed,
        )
    )
    threads = workers or default_workers()
    stores = []
    for model in plan.models:
        store = open_store(model, plan.protocol, None)
        load = partial(
            load_detector,
            model.folder,
            device=device,
            precision=precision,
            batch_size=batch_size,
            weights=weights,
            offline=offline,
        )
        with closing(score_missing(store, plan, load=load, workers=threads)) as scored:
            for _ in scored:
                pass
        stores.append(store)
    audits = [audit_bias(plan.benchmark.samples, parity=None, seed=seed, workers=threads)]
    return measure(plan, stores, audits)


def _several(data: AnyPath | Sequence[AnyPath]) -> list[AnyPath]:
    return [data] if isinstance(data, (str, os.PathLike)) else list(data)
