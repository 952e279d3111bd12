"""What a run starts from: a network as it is made for a recipe, or a trained model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.methods.instrument import Instrument, instrument_in
from aigdetect.methods.pretrained import find_pretrained
from aigdetect.methods.registry import build_network, find_method, read_instrument
from aigdetect.model.base import Network
from aigdetect.model.card import AdapterCard, ModelCard, find_model_folder, read_card
from aigdetect.model.detector import adapter_config, head_sets, read_adapter
from aigdetect.model.learnt import read_learnt
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.build import load_tower
from aigdetect.parsing import plain
from aigdetect.training.callbacks import Watch
from aigdetect.training.checkpoint import RunIdentity, digest_images
from aigdetect.training.distributed import Group
from aigdetect.training.head_fit import kinds_told
from aigdetect.training.partition import Split
from aigdetect.training.recipe import Recipe, RunOptions
from aigdetect.training.reconstructions import digest_decoders

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialModel:
    """A trained model to go on from.

    Attributes:
        folder: of the model.
        card: its card.
    """

    folder: Path
    card: ModelCard

    def settings(self) -> dict[str, Any]:
        """What a recipe must have in common with it: method, views and shape; and which model it is."""
        if not self.card.has_backbone:
            return {
                "method": self.card.method,
                "hyperparameters": dict(self.card.hyperparameters),
                "views": self.card.preprocess.views,
                "initial": self.card.adapter_sha256,
            }
        shape = {each.name: getattr(self.card.adapter, each.name) for each in fields(AdapterCard)}
        del shape["kinds"]
        views = self.card.preprocess.views
        return {
            "method": self.card.method,
            "backbone": self.card.backbone,
            "views": views,
            **shape,
            "initial": self.card.adapter_sha256,
        }

    def require_fit(self, recipe: Recipe) -> None:
        """Refuse a recipe for another model.

        Raises:
            UsageError: naming the first setting that differs, or that would throw away what was learnt.
        """
        for name, value in self.settings().items():
            if plain(getattr(recipe, name)) != plain(value):
                raise UsageError(
                    f"{name}: {plain(getattr(recipe, name))} is not the {plain(value)} of {self.card.name}, "
                    "which the run begins with"
                )
        if recipe.head_penalty is not None:
            raise UsageError(
                f"head_penalty: a head that is fitted anew throws away that of {self.card.name}, which the "
                "run begins with; leave it out"
            )

    def adapter(self) -> Mapping[str, Tensor]:
        """Its weights, by name.

        Raises:
            ModelError: if they are missing or damaged.
        """
        return read_adapter(self.folder, self.card)

    def instrument(self) -> Instrument | None:
        """What it looks through, as its folder holds it; None if it looks through nothing.

        Raises:
            ModelError: if its weights are missing or damaged.
        """
        told = self.card.data.get("instrument")
        return told and Instrument(told["name"], told["digest"], instrument_in(self.adapter()))

    def learnt(self) -> frozenset[str]:
        """SHA-256 of the images that it has learnt from, as far as it says so."""
        return read_learnt(self.folder)

    def lineage(self) -> dict[str, str]:
        """What a card says of it."""
        return {"model": self.card.name, "adapter": self.card.adapter_sha256, "command": self.card.command}


def find_instrument(method: str, initial: InitialModel | None, place: Path | None) -> Instrument | None:
    """What a run is to look through: what was given, or, where it begins with a model, what that has.

    Args:
        method: name of the method.
        initial: the model that the run begins with, if it does.
        place: the file or folder that was given, if one was.

    Raises:
        UsageError: if the method needs one and none was given, what was given is none, or is not needed.
        ModelError: if the model that the run begins with is damaged.
    """
    if initial is None:
        return read_instrument(find_method(method), place)
    if place is not None:
        raise UsageError(f"instrument: {initial.card.name}, which the run begins with, decides on it")
    return initial.instrument()


def find_initial_model(name_or_folder: str) -> InitialModel:
    """A shipped model by name, or any by its folder.

    Raises:
        UsageError: if there is none.
        ModelError: if its card cannot be read.
    """
    folder = find_model_folder(name_or_folder)
    return InitialModel(folder, read_card(folder))


@dataclass(frozen=True)
class Start:
    """A network that is to be trained, float32 and on the CPU until it is moved.

    Attributes:
        network: the network.
        adapter: shape of its adapter and head, as a card says it.
        digest: of the weights that it was given; empty if it was given none.
        name: of what they are of.
        place: where they came from.
        begun_with: the same in words that a card keeps.
        initial: the trained model that the run goes on from; None: it begins anew.
        instrument: what the method looks through, if it does.
    """

    network: Network
    adapter: AdapterCard
    digest: str
    name: str
    place: str
    begun_with: str = ""
    initial: InitialModel | None = None
    instrument: Instrument | None = None

    def move_to(self, device: torch.device, precision: str) -> None:
        """Make the network ready to train on a device, its frozen part in a precision."""
        counts = {True: 0, False: 0}
        for parameter in self.network.parameters():
            counts[parameter.requires_grad] += parameter.numel()
        _log.info(
            "%s from %s, on %s in %s, %d threads; %d parameters train, %d stay frozen",
            *(self.name, self.place, device, precision, torch.get_num_threads(), counts[True], counts[False]),
        )
        self.network.prepare(precision, device, train=True)
        self.network.to(device)

    def weights(self) -> Mapping[str, Tensor] | None:
        """Those of the model that the run goes on from, by name; None if it begins anew.

        Raises:
            ModelError: if they are missing or damaged.
        """
        return self.initial.adapter() if self.initial else None

    def doubts(self, split: Split) -> list[str]:
        """What makes the model that the run goes on from, or the figures that come of it, doubtful."""
        if self.initial is None:
            return []
        doubts, card = [], self.initial.card
        if card.has_backbone and self.digest != card.backbone_digest:
            doubts.append(
                f"{card.name} was trained on other weights of {card.backbone} than those found here"
            )
        held_out, learnt = [*split.validation, *split.selection], self.initial.learnt()
        if known := sum(content.hex() in learnt for content in split.contents_of(held_out)):
            doubts.append(
                f"{card.name} has learnt {known} of the {len(held_out)} images held out: thresholds and "
                "figures come out too good"
            )
        return doubts


def adapter_of(recipe: Recipe, kinds: Sequence[str] = ()) -> AdapterCard:
    """The adapter's shape in a recipe; its settings have the names that they have in a card.

    Args:
        recipe: the settings.
        kinds: kinds of pictures that are told apart, see :func:`aigdetect.training.head_fit.kinds_told`.
    """
    names = {each.name for each in fields(AdapterCard)} - {"kinds"}
    return AdapterCard(**{name: getattr(recipe, name) for name in names}, kinds=tuple(kinds))


def find_start(
    split: Split,
    recipe: Recipe,
    options: RunOptions,
    initial: InitialModel | None,
    instrument: Instrument | None,
    group: Group,
    watch: Watch,
) -> Start:
    """The network that a recipe trains, as it is before the first step.

    Args:
        split: the images; what kinds of pictures they are may be learnt, too.
        recipe: the settings.
        options: say where weights are.
        initial: the model that the run begins with, if it does.
        instrument: what the method looks through, if it does.
        group: the processes.
        watch: told of the search for weights.

    Raises:
        UsageError: if the recipe does not suit the method, the tower or the model that the run begins with.
        WeightsError: if weights cannot be found.
    """
    if initial is not None:
        initial.require_fit(recipe)
    elif recipe.initial is not None:
        raise UsageError("initial: the recipe begins with a trained model; name it with --from")
    if find_method(recipe.method).reads_tower:
        start = _on_a_tower(split, recipe, options, initial, watch)
    else:
        start = _from_pixels(recipe, options, initial, instrument, group, watch)
    return replace(start, initial=initial, instrument=instrument)


def identify(split: Split, recipe: Recipe, start: Start, options: RunOptions) -> RunIdentity:
    """What a run trains on, and how."""
    return RunIdentity(
        recipe=recipe.defining(),
        backbone=start.digest,
        images=digest_images(split.training, split.validation, split.selection, contents=split.contents),
        command=options.command,
        decoders=digest_decoders(recipe.aligned),
        instrument=start.instrument.digest if start.instrument else "",
    )


def _on_a_tower(
    split: Split, recipe: Recipe, options: RunOptions, initial: InitialModel | None, watch: Watch
) -> Start:
    """A head, perhaps with experts, on a frozen image tower."""
    config = adapter_config(adapter_of(recipe))
    tower, found = load_tower(
        recipe.backbone,
        file=options.weights,
        digest=initial.card.backbone_digest if initial else None,
        offline=options.offline,
        say=watch.say,
    )
    depth = recipe.depth or len(tower.blocks)
    # kinds are told by class tokens that the head reads and training leaves alone, and learnt with the head
    can_tell = recipe.head_penalty is not None and recipe.head_blocks > depth - config.first_block(depth)
    kinds_known = initial.card.adapter.kinds if initial else ()
    adapter = adapter_of(recipe, kinds_told(split.training) if can_tell else kinds_known)
    torch.manual_seed(recipe.seed)
    network = MoleNetwork(
        tower,
        config,
        head_blocks=recipe.head_blocks,
        head_sets=head_sets(adapter, recipe.views),
        head_kernel=recipe.head_kernel,
        kinds=adapter.kinds,
    )
    return Start(network, adapter, found.digest, recipe.backbone, str(found.path))


def _from_pixels(
    recipe: Recipe,
    options: RunOptions,
    initial: InitialModel | None,
    instrument: Instrument | None,
    group: Group,
    watch: Watch,
) -> Start:
    """A network that is trained as a whole, and all of which will lie in the model folder."""
    method = find_method(recipe.method)
    torch.manual_seed(recipe.seed)
    network = build_network(method, recipe.hyperparameters, instrument.state if instrument else None)
    if recipe.head_penalty is not None and not network.fits_head:
        raise UsageError(f"head_penalty: {method.name} has no head of its own to fit; leave it out")
    if network.normalises_batches and not group.alone:
        raise UsageError(f"{method.name}: learns from batches as a whole; train it in one process")
    digest, begun = "", "random weights"
    if network.pretrained is not None and initial is None:
        found = find_pretrained(
            network.pretrained, file=options.weights, offline=options.offline, say=watch.say
        )
        if found is None:
            watch.warn(
                f"{method.name}: no weights of {network.pretrained} are at hand, with which its paper "
                "begins: it begins with random ones; give them with --weights"
            )
        else:
            network.begin_with(found.state)
            digest, begun = found.digest, f"{network.pretrained} (SHA-256 {found.digest})"
    elif options.weights is not None:
        watch.say(f"{method.name}: reads no weights of others; {options.weights} is not used")
    # no block is adapted, and there is no tower to adapt
    adapter = AdapterCard(blocks=0, modules=(), shared_rank=0, expert_ranks=(), alpha=None, head_blocks=0)
    return Start(network, adapter, digest, method.name, begun, begun)
