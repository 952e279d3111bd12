"""A model folder of any method becomes a network, or a detector."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from aigdetect.errors import ModelError, UsageError
from aigdetect.methods.instrument import instrument_in
from aigdetect.methods.registry import Method, build_network, choose_precision_of, find_method
from aigdetect.model.base import Network
from aigdetect.model.calibration import Thresholds
from aigdetect.model.card import CARD_NAME, DEFAULT_MODEL, ModelCard, find_model_folder, read_card
from aigdetect.model.detector import (
    BATCH_SIZES,
    Detector,
    adapter_config,
    choose_device,
    head_sets,
    read_adapter,
)
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.build import load_tower
from aigdetect.model.weights.find_weights import Weights

_log = logging.getLogger(__name__)


def load_detector(
    name_or_folder: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    fpr: float | None = None,
    weights: Path | Weights | None = None,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Detector:
    """Load a trained model.

    Args:
        name_or_folder: a shipped model by name, or a model folder.
        device: ``"auto"`` takes CUDA, then MPS, then the CPU; or any name that torch knows.
        precision: ``"float32"``, ``"bfloat16"``, ``"int8"``, or ``"auto"``: bfloat16 where the hardware
            multiplies in it, else float32.
        batch_size: images handed over at once, on a GPU views per pass, too; None for the device's default.
        fpr: share of held-out real images that the verdict ``ai`` may flag; None for the card's (0.01).
        weights: file with the backbone's weights, or what the search has found; None searches for them.
        offline: look for weights on this machine only.
        say: called with one line per step of the search for weights.
        warn: called with one line per warning; None raises Python warnings.

    Raises:
        UsageError: if an argument cannot be used.
        ModelError: if the model folder is damaged.
        WeightsError: if the weights of the backbone cannot be found.
    """
    if warn is None:

        def warn(text: str) -> None:
            warnings.warn(text, stacklevel=2)

    folder = find_model_folder(os.fspath(name_or_folder))
    card = read_card(folder)
    thresholds = _thresholds(card, fpr, warn)
    chosen_device = choose_device(device)
    chosen_precision = choose_precision_of(_method_of(card), precision, chosen_device)
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"batch size: {batch_size} is below 1")
    network, found = load_network(
        folder, card, weights=weights, offline=offline, say=say or (lambda _: None), warn=warn
    )
    detector = Detector(
        network,
        card,
        device=chosen_device,
        precision=chosen_precision,
        batch_size=batch_size or BATCH_SIZES.get(chosen_device.type, BATCH_SIZES["cpu"]),
        thresholds=thresholds,
        half_rates=card.calibration.half_rates(fpr=fpr),
        kind_thresholds=card.calibration.kind_thresholds(card.adapter.kinds, fpr=fpr),
        weights_digest=found.digest if found else None,
    )
    _log.info(
        "%s (adapter %s) on %s, on %s in %s, %d images at once, %d threads; ai above a logit of %.2f, "
        "real below %.2f",
        *(card.name, card.adapter_sha256[:12], found.path if found else folder),
        *(chosen_device, chosen_precision),
        *(detector.batch_size, torch.get_num_threads(), thresholds.ai, thresholds.real),
    )
    return detector


def load_network(
    folder: Path,
    card: ModelCard,
    *,
    weights: Path | Weights | None,
    offline: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> tuple[Network, Weights | None]:
    """The network of a model folder, float32 on the CPU, to score with, and where its backbone came from.

    A method without a backbone has all of its weights in the folder, and the second is None.

    Args:
        folder: of the model.
        card: its card.
        weights: as for :func:`load_detector`, like the rest.
        offline: see there.
        say: see there.
        warn: see there.

    Raises:
        ModelError: if the adapter is damaged, the card asks for more than its backbone has, or is that of no
            method that the program knows.
        WeightsError: if the weights of the backbone cannot be found.
    """
    if not card.has_backbone:
        state = read_adapter(folder, card)
        whole = _without_backbone(card, instrument_in(state))
        whole.load_adapter_state(state)
        return whole.eval(), None
    tower, found = load_tower(
        card.backbone, file=weights, digest=card.backbone_digest, offline=offline, say=say
    )
    if found.digest != card.backbone_digest:
        warn(
            f"{card.name} was trained on other weights of {card.backbone} (digest "
            f"{card.backbone_digest[:12]}) than {found.path} (digest {found.digest[:12]}): its logits may "
            f"differ by about half a per cent; aigdetect models pull {card.name} fetches the right ones"
        )
    try:
        network = MoleNetwork(
            tower,
            adapter_config(card.adapter),
            head_blocks=card.adapter.head_blocks,
            head_sets=head_sets(card.adapter, card.preprocess.views),
            head_kernel=card.adapter.head_kernel,
            kinds=card.adapter.kinds,
        )
    except UsageError as error:
        raise ModelError(f"{folder / CARD_NAME}: {error}; restore the model folder") from error
    network.load_adapter_state(read_adapter(folder, card))
    network.settle()
    return network.eval(), found


def _method_of(card: ModelCard) -> Method:
    try:
        return find_method(card.method)
    except UsageError as error:
        raise ModelError(f"{card.name}: {error}; use the aigdetect that wrote it") from error


def _without_backbone(card: ModelCard, instrument: Mapping[str, torch.Tensor]) -> Network:
    try:
        return build_network(_method_of(card), card.hyperparameters, instrument)
    except UsageError as error:
        raise ModelError(f"{card.name}: {error}; restore the model folder") from error


def _thresholds(card: ModelCard, fpr: float | None, warn: Callable[[str], None]) -> Thresholds:
    if fpr is None:
        fpr = card.calibration.fpr
    if not 0 <= fpr < 1:
        raise UsageError(f"fpr: {fpr} is not in 0..1")
    for lack in card.calibration.lacks(fpr=fpr):
        warn(f"{card.name}: {lack}")
    return card.calibration.thresholds(fpr=fpr)
