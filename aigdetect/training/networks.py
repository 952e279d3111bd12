"""The network that a recipe trains, as it is before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from aigdetect.errors import UsageError
from aigdetect.methods.instrument import Instrument
from aigdetect.methods.pretrained import find_pretrained
from aigdetect.methods.registry import build_network, find_method
from aigdetect.model.base import Network
from aigdetect.model.card import AdapterCard
from aigdetect.model.detector import adapter_config, head_sets
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.build import load_tower
from aigdetect.training.beginning import Beginning
from aigdetect.training.kind_head import kinds_told
from aigdetect.training.partition import Split
from aigdetect.training.recipe import Recipe
from aigdetect.training.session import Session


@dataclass(frozen=True)
class Built:
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


def adapter_of(recipe: Recipe, kinds: Sequence[str] = ()) -> AdapterCard:
    """The adapter's shape in a recipe; its settings have the names that they have in a card.

    Args:
        recipe: the settings.
        kinds: kinds of pictures that are told apart, see :func:`aigdetect.training.kind_head.kinds_told`.
    """
    names = {each.name for each in fields(AdapterCard)} - {"kinds"}
    return AdapterCard(**{name: getattr(recipe, name) for name in names}, kinds=tuple(kinds))


def on_a_tower(
    split: Split,
    recipe: Recipe,
    beginning: Beginning | None,
    session: Session,
    *,
    weights: Path | None,
    offline: bool,
    say: Callable[[str], None],
) -> Built:
    """A head, perhaps with experts, on a frozen image tower."""
    config = adapter_config(adapter_of(recipe))
    tower, found = load_tower(
        recipe.backbone,
        file=weights,
        digest=beginning.card.backbone_digest if beginning else None,
        offline=offline,
        say=say,
    )
    tower.cut(recipe.depth)
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
    return Built(network, adapter, found.digest, recipe.backbone, str(found.path))


def from_pixels(
    split: Split,
    recipe: Recipe,
    beginning: Beginning | None,
    session: Session,
    *,
    instrument: Instrument | None,
    weights: Path | None,
    offline: bool,
    say: Callable[[str], None],
) -> Built:
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
    return Built(network, adapter, digest, method.name, begun, begun)
