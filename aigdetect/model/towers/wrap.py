"""Which :class:`aigdetect.model.towers.tower.ImageTower` a vision transformer goes into."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from aigdetect.errors import WeightsError
from aigdetect.model.towers.cliptower import ClipTower
from aigdetect.model.towers.timmtower import TimmTower
from aigdetect.model.towers.tower import ImageTower
from aigdetect.model.towers.vit import PlainVit


def wrap_tower(base: nn.Module, *, mean: tuple[float, ...], std: tuple[float, ...], name: str) -> ImageTower:
    """Wrap a vision transformer.

    Args:
        base: ours, open_clip ``VisionTransformer`` or ``TimmModel``, or timm ``VisionTransformer``.
        mean: channel means that belong to its weights.
        std: channel standard deviations, likewise.
        name: how to call it in an error.

    Raises:
        WeightsError: if it is not a vision transformer of square input.
    """
    three = {"mean": (mean[0], mean[1], mean[2]), "std": (std[0], std[1], std[2])}
    if isinstance(base, PlainVit):
        shape = base.shape
        return ClipTower(
            base, width=shape.width, embed_dim=shape.embed_dim, image_size=shape.image_size, **three
        )
    return _wrap_foreign(base, name, three)


def _wrap_foreign(base: nn.Module, name: str, statistics: dict[str, Any]) -> ImageTower:
    import timm.models.vision_transformer as timm_vit
    from open_clip.transformer import VisionTransformer

    module = cast(Any, base)
    if isinstance(base, VisionTransformer):
        if module.attn_pool is not None:
            raise WeightsError(
                f"{name}: towers with attentional pooling are not supported; choose a plain ViT"
            )
        size = _square(module.image_size, name)
        return ClipTower(
            base, width=module.transformer.width, embed_dim=module.output_dim, image_size=size, **statistics
        )
    trunk = getattr(module, "trunk", module)
    if not isinstance(trunk, timm_vit.VisionTransformer):
        raise WeightsError(f"{name}: not a vision transformer ({type(trunk).__name__}); choose a ViT")
    size = _square(trunk.patch_embed.img_size, name)
    tower = TimmTower(
        base, width=trunk.embed_dim, embed_dim=trunk.num_features, image_size=size, **statistics
    )
    if trunk is not base:
        with torch.inference_mode():
            tower.embed_dim = tower(torch.zeros(1, 3, size, size)).shape[-1]
    return tower


def _square(size: int | tuple[int, int], name: str) -> int:
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise WeightsError(f"{name}: its input of {width}x{height} pixels is not square")
    return height
