"""CLIP's image tower, plain: a vision transformer of nothing but torch, under open_clip's parameter names.

open_clip's own class is the same transformer, but importing it takes longer than scoring an image: with it
come torchvision, timm and the text towers.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from aigdetect.model.towers.quickgelu import QuickGELU
from aigdetect.model.weights.backbones import VitShape


class Block(nn.Module):
    """One residual block: self-attention, then a two-layer MLP, each after its own LayerNorm."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width)
        self.attn: nn.Module = nn.MultiheadAttention(shape.width, shape.heads, batch_first=True)
        self.ls_1 = nn.Identity()
        self.ln_2 = nn.LayerNorm(shape.width)
        self.mlp: nn.Module = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(shape.width, shape.hidden),
                gelu=QuickGELU(),
                c_proj=nn.Linear(shape.hidden, shape.width),
            )
        )
        self.ls_2 = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, d)`` to tokens ``(B, T, d)``."""
        normed = self.ln_1(tokens)
        tokens = tokens + self.ls_1(self.attn(normed, normed, normed, need_weights=False)[0])
        return tokens + self.ls_2(self.mlp(self.ln_2(tokens)))  # type: ignore[no-any-return]


class _Blocks(nn.Module):
    """What open_clip's names put between the tower and its blocks."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.width = shape.width
        self.resblocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))


class PlainVit(nn.Module):
    """CLIP's image tower with QuickGELU, class token and projection.

    Attributes:
        shape: its dimensions.

    Args:
        shape: its dimensions; parameters are left as torch initialises them.
    """

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.shape = shape
        width, patch = shape.width, shape.patch_size
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((shape.image_size // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = _Blocks(shape)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, shape.embed_dim))

    def stem(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, S, S)`` to the tokens ``(B, T, d)`` that enter the first block."""
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        # not len(): that would fix the batch of an exported program
        leading = self.class_embedding.expand(images.shape[0], 1, -1)
        return self.ln_pre(torch.cat([leading, patches], dim=1) + self.positional_embedding)  # type: ignore[no-any-return]

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, d)`` of the last block to the embedding ``(B, embed_dim)``."""
        return self.ln_post(tokens[:, 0]) @ self.proj  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, S, S)`` to embeddings ``(B, embed_dim)``."""
        tokens = self.stem(images)
        for block in self.transformer.resblocks:
            tokens = block(tokens)
        return self.embed(tokens)
