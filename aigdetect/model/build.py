"""Build a backbone by name and fill it with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from aigdetect.errors import WeightsError
from aigdetect.model.backbones import BackboneSpec, parse_backbone
from aigdetect.model.tower import ImageTower, wrap_tower
from aigdetect.model.weights import Weights, find_weights, load_tower_state


def load_tower(
    name: str,
    *,
    file: Path | None = None,
    digest: str | None = None,
    offline: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[ImageTower, Weights]:
    """Find the weights of a backbone and build its image tower with them; the text tower is never built.

    Args:
        name: what :func:`aigdetect.model.backbones.parse_backbone` takes.
        file: the weights, if they are not to be searched for.
        digest: digest of the weights that are wanted, should several be at hand.
        offline: look on this machine only.
        say: called with one line per step of the search.

    Returns:
        the tower, float32 on the CPU, and where its weights came from.

    Raises:
        WeightsError: if the name is unknown, or the weights cannot be found or do not fit.
    """
    spec = parse_backbone(name)
    found = find_weights(spec, file=file, digest=digest, offline=offline, say=say)
    base, statistics = build_base(spec)
    state = load_tower_state(found.path)
    own = base.state_dict()
    odd = sorted(own.keys() ^ state.keys()) or [key for key in own if own[key].shape != state[key].shape]
    if odd:
        raise WeightsError(
            f"{found.path}: does not hold the image tower {spec.name} ({len(odd)} tensors differ, the first "
            f"{odd[0]}); give the right file, or run aigdetect models pull {spec.name}"
        )
    base.load_state_dict(state)
    return wrap_tower(base, name=spec.name, **statistics), found


def build_base(spec: BackboneSpec) -> tuple[nn.Module, dict[str, Any]]:
    """Build a library's image tower with random weights.

    Returns:
        the module, and ``mean`` and ``std`` of the normalisation that its weights expect.
    """
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
