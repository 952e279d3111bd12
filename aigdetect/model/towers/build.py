"""Build a backbone by name and fill it with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aigdetect.errors import WeightsError
from aigdetect.model.precision.kept import kept_beside
from aigdetect.model.towers.tower import ImageTower
from aigdetect.model.towers.vit import PlainVit
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.model.weights.backbones import BackboneSpec, parse_backbone
from aigdetect.model.weights.find_weights import Weights, find_weights, load_tower_state

# what OpenAI trained with, RGB, for pixels in 0..1
_OPENAI_STATISTICS = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}


def load_tower(
    name: str,
    *,
    file: Path | Weights | None = None,
    digest: str | None = None,
    offline: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[ImageTower, Weights]:
    """Find the weights of a backbone and build its image tower with them; the text tower is never built.

    Args:
        name: what :func:`aigdetect.model.weights.backbones.parse_backbone` takes.
        file: the weights, if they are not to be searched for, or what the search has found already.
        digest: digest of the weights that are wanted, should several be at hand.
        offline: look on this machine only.
        say: called with one line per step of the search.

    Returns:
        the tower, float32 on the CPU, and where its weights came from. Its parameters may lie in the file
        itself, mapped into memory and read as they are used.

    Raises:
        WeightsError: if the name is unknown, or the weights cannot be found or do not fit.
    """
    spec = parse_backbone(name)
    found = (
        file
        if isinstance(file, Weights)
        else find_weights(spec, file=file, digest=digest, offline=offline, say=say)
    )
    base, statistics = _build_without_values(spec)
    state = load_tower_state(found.path)
    own = base.state_dict()
    odd = sorted(own.keys() ^ state.keys()) or [key for key in own if own[key].shape != state[key].shape]
    if odd:
        raise WeightsError(
            f"{found.path}: does not hold the image tower {spec.name} ({len(odd)} tensors differ, the first "
            f"{odd[0]}); give the right file, or run aigdetect models pull {spec.name}"
        )
    # the tensors themselves, not copies: a second one of them all would take longer than the first score
    base.load_state_dict(state, assign=True)
    tower = wrap_tower(base, name=spec.name, **statistics)
    if found.origin != "file":
        tower.keep = kept_beside(found.path, found.digest)
    return tower, found


def _build_without_values(spec: BackboneSpec) -> tuple[nn.Module, dict[str, Any]]:
    if spec.shape is None:
        return build_base(spec)
    # random numbers that are replaced at once take longer than the whole of the rest
    with torch.device("meta"):
        return build_base(spec)


def build_base(spec: BackboneSpec) -> tuple[nn.Module, dict[str, Any]]:
    """Build an image tower, our own or a library's, with weights that mean nothing.

    Returns:
        the module, and ``mean`` and ``std`` of the normalisation that its weights expect.
    """
    if spec.shape is not None:
        return PlainVit(spec.shape), dict(_OPENAI_STATISTICS)
    return _build_timm(spec) if spec.library == "timm" else _build_open_clip(spec)


def _build_timm(spec: BackboneSpec) -> tuple[nn.Module, dict[str, Any]]:
    import timm

    base: Any = timm.create_model(spec.config_name, pretrained=False, num_classes=0)
    config: dict[str, Any] = base.pretrained_cfg
    return base, {"mean": tuple(config["mean"]), "std": tuple(config["std"])}


def _build_open_clip(spec: BackboneSpec) -> tuple[nn.Module, dict[str, Any]]:
    import open_clip
    from open_clip.model import _build_vision_tower

    config = open_clip.get_model_config(spec.config_name)
    # the public factory would build the text tower, too
    base = _build_vision_tower(
        config["embed_dim"], config["vision_cfg"], quick_gelu=config.get("quick_gelu", False)
    )
    weights = open_clip.get_pretrained_cfg(spec.config_name, spec.tag) or {}
    return base, {
        "mean": tuple(weights.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        "std": tuple(weights.get("std") or open_clip.OPENAI_DATASET_STD),
    }
