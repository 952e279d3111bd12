"""From data and a recipe to a model folder."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

import aigdetect
from aigdetect.data.contents import Copy, keep_distinct, read_contents
from aigdetect.data.dataset import Reading
from aigdetect.data.kinds import kind_of
from aigdetect.data.layouts import DataSet, Sample, count_by_generator, require_both_classes
from aigdetect.data.split import split_by_generator
from aigdetect.errors import DataError, UsageError
from aigdetect.files import write_atomically
from aigdetect.locks import alone_in
from aigdetect.methods.instrument import Instrument
from aigdetect.methods.pretrained import find_pretrained
from aigdetect.methods.registry import build_network, choose_precision_of, find_method
from aigdetect.model.base import Network
from aigdetect.model.build import load_tower
from aigdetect.model.calibration_fit import fit_calibration, rates_at
from aigdetect.model.card import ADAPTER_NAME, NO_BACKBONE, AdapterCard, ModelCard, Preprocess, write_card
from aigdetect.model.detector import adapter_config, choose_device, head_sets
from aigdetect.model.learnt import write_learnt
from aigdetect.model.network import MoleNetwork
from aigdetect.training.aligned import Aligned, digest_decoders, list_aligned, make_aligned, parents_of
from aigdetect.training.beginning import Beginning
from aigdetect.training.checkpoint import Checkpoints, RunIdentity, digest_images
from aigdetect.training.curves import draw_curves
from aigdetect.training.draw import draw_samples, draw_scored
from aigdetect.training.folds import Fold, leave_out, make_folds
from aigdetect.training.kinds import kinds_told
from aigdetect.training.log import LOG_NAME, read_history
from aigdetect.training.recipe import Recipe
from aigdetect.training.session import Session
from aigdetect.training.store import remove_tables

CURVES_NAME = "curves.png"
#: folder of images that were made here, while a run goes on
ALIGNED_NAME = ".aligned"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Images to learn from and images held out; no two of them are one image.

    Attributes:
        training: images to learn from.
        validation: images held out, by which the model is calibrated.
        selection: further images held out, by which an epoch is chosen; none if the recipe chooses none.
        copies: images left out because their content is there already.
        contradictions: images left out because their content is there as real and as generated.
        contents: SHA-256 of the images by path, empty for what cannot be read.
        validated_on: what was found where validation has data of its own; else empty.
    """

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    selection: tuple[Sample, ...] = ()
    copies: tuple[Copy, ...] = ()
    contradictions: tuple[Sample, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    validated_on: tuple[DataSet, ...] = field(default=(), repr=False)

    def shared_copies(self) -> list[Copy]:
        """The copies that are left out because validation has data of its own, and the image is in it."""
        own = {id(sample) for found in self.validated_on for sample in found.samples}
        return [copy for copy in self.copies if id(copy.original) in own and id(copy.sample) not in own]

    def contents_of(self, samples: Sequence[Sample]) -> list[bytes]:
        """SHA-256 of each sample; empty for what cannot be read."""
        return [self.contents.get(sample.path, b"") for sample in samples]


def split_data(
    data: Sequence[DataSet], recipe: Recipe, *, workers: int = 2, validation_data: Sequence[DataSet] = ()
) -> Split:
    """Divide data sets into training and validation.

    A data set that names splits of its own keeps them; of any other, the recipe's share of every generator is
    held out. With folds nothing is: all images are for training. Of images with the same content one is
    taken: one that a data set holds out itself stays held out. Where the recipe chooses an epoch, further
    images are held out for that.

    Where validation has data of its own, that is all that is held out, besides the groups that the recipe
    names: every other image is for training, but those of a split ``val``, which are left out, and those
    whose content is among the data for validation.

    Args:
        data: what was found.
        recipe: the settings.
        workers: threads that read files.
        validation_data: what was found of data for validation alone: its split ``val`` or else ``test``
            where it names splits, else all of it.

    Raises:
        DataError: if only one class is there, or too many images are in both.
        UsageError: if more images are asked for than there are, or a group that there is not is held out, or
            folds leave nothing to validate on.
    """
    if validation_data and recipe.folds is not None:
        raise UsageError(
            "folds: with them the model is calibrated on the images that it learns from; leave them out, or "
            "the data for validation"
        )
    chosen = [found.pick("train") for found in data]
    require_both_classes(*chosen)
    own_data = [_to_validate_on(found) for found in validation_data]
    _require_both_to_validate_on(own_data)
    held_out = [found.pick("val").samples if "val" in found.splits else () for found in data]
    if own_data:
        held_out = [() for _ in data]
    groups = [*(found.samples for found in own_data), *held_out, *(part.samples for part in chosen)]
    contents = read_contents((sample for group in groups for sample in group), workers=workers)
    distinct = keep_distinct(groups, contents)
    own, rest_of_all = distinct.groups[: len(own_data)], distinct.groups[len(own_data) :]
    held_out, to_learn = list(rest_of_all[: len(data)]), rest_of_all[len(data) :]
    whole = _hold_out([sample for part in to_learn for sample in part], recipe.hold_out)
    selection: list[Sample] = []
    training: list[Sample] = []
    validation = [sample for part in own for sample in part]
    for found, kept, part in zip(data, held_out, to_learn, strict=True):
        rest = [sample for sample in part if sample.generator not in recipe.hold_out]
        if recipe.selects:
            rest, chosen_by = leave_out(rest, share=recipe.validation, seed=recipe.seed)
            selection += chosen_by
        if recipe.folds is not None:
            training += [*rest, *kept]
        elif own_data or "val" in found.splits:
            training += rest
            validation += kept
        else:
            divided = [sample for sample in rest if sample.label not in whole]
            learnt, kept_back = split_by_generator(divided, fraction=recipe.validation, seed=recipe.seed)
            training += [*learnt, *(sample for sample in rest if sample.label in whole)]
            validation += kept_back
        validation += (sample for sample in part if sample.generator in recipe.hold_out)
    if {sample.label for sample in training} != {0, 1}:
        raise DataError(
            "no image of one class is left to train on: all are held out, or given both as real and as "
            "generated"
        )
    return Split(
        tuple(draw_samples(training, recipe)),
        tuple(validation),
        tuple(selection),
        distinct.copies,
        distinct.contradictions,
        contents,
        tuple(own_data),
    )


def _to_validate_on(found: DataSet) -> DataSet:
    """The part of data for validation that is for that."""
    return next((found.pick(split) for split in ("val", "test") if split in found.splits), found)


def _require_both_to_validate_on(data: Sequence[DataSet]) -> None:
    """Refuse data for validation of one class.

    Raises:
        DataError: if there is some, but none of one class.
    """
    labels = {sample.label for found in data for sample in found.samples}
    if data and labels != {0, 1}:
        roots = ", ".join(repr(found.root) for found in data)
        there = "generated" if labels == {1} else "real"
        raise DataError(f"only {there} images found in {roots}: validation needs both classes")


def _hold_out(samples: Sequence[Sample], groups: Sequence[str]) -> set[int]:
    """The classes of which generators or sources are held out whole.

    Raises:
        UsageError: if there is no image of one of these names.
    """
    names = {sample.generator for sample in samples}
    for group in groups:
        if group not in names:
            known = ", ".join(sorted(names))
            raise UsageError(f"hold_out: no image to train on is of {group!r}; there are {known}")
    return {sample.label for sample in samples if sample.generator in groups}


def adapter_of(recipe: Recipe, kinds: Sequence[str] = ()) -> AdapterCard:
    """The adapter's shape in a recipe; its settings have the names that they have in a card.

    Args:
        recipe: the settings.
        kinds: kinds of pictures that are told apart, see :func:`aigdetect.training.kinds.kinds_told`.
    """
    names = {each.name for each in fields(AdapterCard)} - {"kinds"}
    return AdapterCard(**{name: getattr(recipe, name) for name in names}, kinds=tuple(kinds))


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
    build = _on_a_tower if method.reads_tower else partial(_from_pixels, instrument=instrument)
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
            data={
                "training": _counts(training),
                "validation": _counts(split.validation),
                **({"selection": _counts(split.selection)} if split.selection else {}),
                **({"validation data": _told(split)} if split.validated_on else {}),
                "digest": run.images,
                **({"decoders": run.decoders} if run.decoders else {}),
                **({} if method.reads_tower else {"begun with": built.begun_with}),
                **(
                    {"instrument": {"name": instrument.name, "digest": instrument.digest}}
                    if instrument
                    else {}
                ),
                **({"from": beginning.lineage()} if beginning else {}),
            },
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


def _told(split: Split) -> dict[str, Any]:
    """What a card says of data for validation alone."""
    learnt = {(sample.label, sample.generator) for sample in split.training}
    both = {sample.generator for sample in split.validation if (sample.label, sample.generator) in learnt}
    return {
        "folders": [found.root for found in split.validated_on],
        "left out of training": len(split.shared_copies()),
        "trained on, too": sorted(both),
    }


@dataclass(frozen=True)
class _Built:
    """A network that is to be trained, float32 on the CPU.

    Attributes:
        network: the network.
        adapter: shape of its adapter and head, as a card says it.
        digest: of the weights that it was given; empty if it was given none.
        what: name of what they are of.
        place: where they came from.
        begun_with: the same in words that a card keeps.
    """

    network: Network
    adapter: AdapterCard
    digest: str
    what: str
    place: str
    begun_with: str = ""


def _on_a_tower(
    split: Split,
    recipe: Recipe,
    beginning: Beginning | None,
    session: Session,
    *,
    weights: Path | None,
    offline: bool,
    say: Callable[[str], None],
) -> _Built:
    """A head, perhaps with experts, on a frozen image tower."""
    config = adapter_config(adapter_of(recipe))
    tower, found = load_tower(
        recipe.backbone,
        file=weights,
        digest=beginning.card.backbone_digest if beginning else None,
        offline=offline,
        say=say,
    )
    depth = len(tower.blocks)
    # kinds are told by class tokens that the head reads and training leaves alone, and learnt with the head
    can_tell = recipe.head_penalty is not None and recipe.head_blocks > depth - config.first_block(depth)
    kinds_known = beginning.card.adapter.kinds if beginning else ()
    adapter = adapter_of(recipe, kinds_told(split.training) if can_tell else kinds_known)
    torch.manual_seed(recipe.seed)
    network = MoleNetwork(
        tower,
        config,
        head_blocks=recipe.head_blocks,
        head_sets=head_sets(adapter, recipe.views),
        kinds=adapter.kinds,
    )
    return _Built(network, adapter, found.digest, recipe.backbone, str(found.path))


def _from_pixels(
    split: Split,
    recipe: Recipe,
    beginning: Beginning | None,
    session: Session,
    *,
    instrument: Instrument | None,
    weights: Path | None,
    offline: bool,
    say: Callable[[str], None],
) -> _Built:
    """A network that is trained as a whole, and all of which will lie in the model folder."""
    method = find_method(recipe.method)
    torch.manual_seed(recipe.seed)
    network = build_network(method, recipe.hyperparameters, instrument.state if instrument else None)
    if recipe.head_penalty is not None and not network.fits_head:
        raise UsageError(f"head_penalty: {method.name} has no head of its own to fit; leave it out")
    if network.normalises_batches and not session.group.alone:
        raise UsageError(f"{method.name}: learns from batches as a whole; train it in one process")
    digest, begun = "", "random weights"
    if network.pretrained is not None and beginning is None:
        found = find_pretrained(network.pretrained, file=weights, offline=offline, say=say)
        if found is None:
            session.watch.warn(
                f"{method.name}: no weights of {network.pretrained} are at hand, with which its paper "
                "begins: it begins with random ones; give them with --weights"
            )
        else:
            network.begin_with(found.state)
            digest, begun = found.digest, f"{network.pretrained} (SHA-256 {found.digest})"
    elif weights is not None:
        say(f"{method.name}: reads no weights of others; {weights} is not used")
    # no block is adapted, and there is no tower to adapt
    adapter = AdapterCard(blocks=0, modules=(), shared_rank=0, expert_ranks=(), alpha=None, head_blocks=0)
    return _Built(network, adapter, digest, method.name, begun, begun)


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
