"""CLIP's towers behind the interface of :class:`aigdetect.model.towers.tower.ImageTower`."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.mole import LowRankMixture
from aigdetect.model.precision.basis import turn
from aigdetect.model.precision.kept import keep_under
from aigdetect.model.precision.linear import PackedLinear, linear_of
from aigdetect.model.precision.memory import give_back_freed_memory
from aigdetect.model.towers.attention import SelfAttention
from aigdetect.model.towers.merging import TokenMerging, merge_alike
from aigdetect.model.towers.quantise import quantise_attention, quantise_mlp, require_plain
from aigdetect.model.towers.quickgelu import fold_quick_gelu
from aigdetect.model.towers.tower import ImageTower
from aigdetect.model.towers.vit import PlainVit


class ClipTower(ImageTower):
    """A :class:`PlainVit`, or open_clip's ``VisionTransformer``, whose names are the same.

    Its attention is changed in place to :class:`SelfAttention`.
    """

    def __init__(self, base: nn.Module, **facts: Any) -> None:
        for block in cast(Any, base).transformer.resblocks:
            # open_clip's blocks with extras bring an attention of their own, which is left alone
            if isinstance(block.attn, nn.MultiheadAttention):
                block.attn = SelfAttention(block.attn)
        super().__init__(base, **facts)
        self._turn: nn.Module = nn.Identity()  # of the tokens between stem and embedding, there and back
        self._merging = TokenMerging()

    @property
    def blocks(self) -> nn.ModuleList:
        """Transformer blocks, in order."""
        return cast(Any, self.base).transformer.resblocks  # type: ignore[no-any-return]

    def fold(self, index: int) -> None:
        """See :meth:`ImageTower.fold`; QuickGELU becomes one fast function."""
        fold_quick_gelu(self.mlps[index])

    def set_precision(self, dtype: torch.dtype) -> None:
        """See :meth:`ImageTower.set_precision`; outside float32, layers are folded first."""
        if dtype != torch.float32:
            for index in range(len(self.blocks)):
                self.fold(index)
        super().set_precision(dtype)

    def quantise(self) -> None:
        """See :meth:`ImageTower.quantise`; between stem and embedding, tokens are turned."""
        for block in self.blocks:
            require_plain(block)
        for index, block in enumerate(cast(Any, self.blocks)):
            keep = keep_under(f"block{index}", self.keep)
            quantise_attention(block, keep)
            quantise_mlp(block, self.mlps[index], keep)
            give_back_freed_memory()
        (matrix,) = self.keep("turn", lambda: (turn(torch.eye(self.width)),))
        self._turn = PackedLinear(linear_of(nn.Parameter(matrix, requires_grad=False)), torch.float32)

    def stem(self, images: Tensor) -> Tensor:
        """See :meth:`ImageTower.stem`."""
        base = self.base
        tokens = base.stem(images) if isinstance(base, PlainVit) else cast(Any, base)._embeds(images)
        return cast(Tensor, self._turn(tokens))

    def turn_back(self, tokens: Tensor) -> Tensor:
        """See :meth:`ImageTower.turn_back`."""
        return cast(Tensor, self._turn(tokens))

    def embed(self, tokens: Tensor) -> Tensor:
        """See :meth:`ImageTower.embed`."""
        tokens = self.turn_back(tokens[:, :1] if self._reads_class_token else tokens)
        if isinstance(self.base, PlainVit):
            return self.base.embed(tokens)
        base = cast(Any, self.base)
        pooled, _ = base._pool(tokens)
        return cast(Tensor, pooled if base.proj is None else pooled @ base.proj)

    @property
    def has_class_token(self) -> bool:
        """See :attr:`ImageTower.has_class_token`: these towers always do."""
        return True

    def merge_tokens(self, merging: TokenMerging) -> None:
        """See :meth:`ImageTower.merge_tokens`."""
        if merging.share and not all(isinstance(each, SelfAttention) for each in self.attentions):
            super().merge_tokens(merging)
        self._merging = merging

    def run_blocks(self, tokens: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """See :meth:`ImageTower.run_blocks`; fewer tokens may come out than went in."""
        for index in range(*slice(start, stop).indices(len(self.blocks))):
            count = self._merging.count(index, tokens.shape[1])
            block = cast(Any, self.blocks[index])
            tokens = _run_merging(block, tokens, count) if count else block(tokens)
        return tokens

    def last_block(self, tokens: Tensor) -> Tensor:
        """See :meth:`ImageTower.last_block`: only the class token is wanted."""
        last = cast(Any, self.blocks[-1])
        if not self._reads_class_token or not isinstance(last.attn, SelfAttention):
            return super().last_block(tokens)
        normed = last.ln_1(tokens)
        leading = tokens[:, :1] + last.ls_1(last.attn(normed, normed, normed, leading=1)[0])
        return cast(Tensor, leading + last.ls_2(last.mlp(last.ln_2(leading))))

    @property
    def _reads_class_token(self) -> bool:
        base = cast(Any, self.base)
        return isinstance(base, PlainVit) or (base.attn_pool is None and base.pool_type == "tok")

    def adapt_attention(self, block: nn.Module, bypasses: dict[str, LowRankMixture]) -> None:
        """See :meth:`ImageTower.adapt_attention`."""
        attention = cast(Any, block).attn
        if not isinstance(attention, SelfAttention):
            raise UsageError(f"modules: attention of the kind {type(attention).__name__} cannot be adapted")
        attention.bypasses.update(bypasses)


def _run_merging(block: Any, tokens: Tensor, count: int) -> Tensor:
    """Tokens ``(B, T, d)`` through a block that merges some, ``(B, T - count, d)``."""
    mixed, keys = block.attn.with_keys(block.ln_1(tokens))
    tokens = merge_alike(tokens + block.ls_1(mixed), keys.float().mean(dim=1), count)
    return cast(Tensor, tokens + block.ls_2(block.mlp(block.ln_2(tokens))))
