"""Tiny towers for tests: open_clip's and timm's own classes, and ours; a few thousand random weights."""

from __future__ import annotations

import torch
from open_clip.transformer import QuickGELU, VisionTransformer

from aigdetect.model.towers.tower import ImageTower
from aigdetect.model.towers.vit import PlainVit
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.model.weights.backbones import VitShape

MEAN = (0.48, 0.46, 0.41)
STD = (0.27, 0.26, 0.28)


def clip_base(*, layers: int = 4, width: int = 32, size: int = 32, seed: int = 0) -> VisionTransformer:
    torch.manual_seed(seed)
    base = VisionTransformer(
        image_size=size,
        patch_size=8,
        width=width,
        layers=layers,
        heads=4,
        mlp_ratio=2.0,
        output_dim=16,
        act_layer=QuickGELU,
    )
    return base.eval()


def plain_base(*, layers: int = 4, width: int = 32, size: int = 32, seed: int = 0) -> PlainVit:
    """Ours, with the shape and the weights of :func:`clip_base`."""
    shape = VitShape(size, patch_size=8, width=width, layers=layers, heads=4, hidden=2 * width, embed_dim=16)
    base = PlainVit(shape)
    base.load_state_dict(clip_base(layers=layers, width=width, size=size, seed=seed).state_dict())
    return base.eval()


def plain_tower(**shape: int) -> ImageTower:
    return wrap_tower(plain_base(**shape), mean=MEAN, std=STD, name="tiny")


def clip_tower(**shape: int) -> ImageTower:
    return wrap_tower(clip_base(**shape), mean=MEAN, std=STD, name="tiny")


def timm_tower(seed: int = 0) -> ImageTower:
    import timm

    torch.manual_seed(seed)
    base = timm.create_model("test_vit", pretrained=False, num_classes=0)
    return wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="test_vit")
