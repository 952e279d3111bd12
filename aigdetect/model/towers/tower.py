"""The frozen image tower as stem, blocks and pooling, and how bypasses are put beside its blocks."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.mole import LowRankMixture, MixtureConfig, may_rest
from aigdetect.model.precision.kept import Keep, keep_nothing
from aigdetect.model.towers.merging import TokenMerging

AdaptedModule = Literal["mlp", "attention"]
ADAPTED_MODULES: tuple[AdaptedModule, ...] = ("mlp", "attention")


@dataclass(frozen=True)
class AdapterConfig:
    """Which parts of the tower get a bypass, and of which shape.

    Attributes:
        blocks: how many of the last blocks are adapted; 0 leaves the tower as it is (the linear probe of
            UnivFD), None adapts all.
        modules: what is adapted in each: ``"mlp"`` (one bypass beside the whole MLP), ``"attention"`` (one
            beside each of the query, key, value and output projections), or both.
        mixture: shape of every bypass.
        depth: how many of the tower's blocks are used, from the first on; None for all.
        merging: how the tower merges tokens.

    Raises:
        UsageError: if a value is out of range.
    """

    blocks: int | None = 3
    modules: tuple[AdaptedModule, ...] = ("mlp",)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    depth: int | None = None
    merging: TokenMerging = field(default_factory=TokenMerging)

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 0:
            raise UsageError(f"blocks: {self.blocks} is below 0")
        unknown = [module for module in self.modules if module not in ADAPTED_MODULES]
        if unknown or not self.modules:
            raise UsageError(f"modules: {list(self.modules)} is not a choice of {', '.join(ADAPTED_MODULES)}")

    def first_block(self, depth: int) -> int:
        """Index of the first adapted block in a tower of ``depth`` blocks; ``depth`` if none is adapted.

        Raises:
            UsageError: if the tower has fewer blocks than are to be adapted.
        """
        if self.blocks is None:
            return 0
        if self.blocks > depth:
            raise UsageError(f"blocks: {self.blocks} is more than the {depth} blocks of the tower")
        return depth - self.blocks


class Beside(nn.Module):
    """A layer with a bypass beside it: the sum of both outputs."""

    def __init__(self, base: nn.Module, bypass: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        """Sum of the layer and its bypass for ``x`` ``(..., width)``."""
        output: Tensor = self.base(x)
        return output if may_rest(self.bypass) else output + self.bypass(x)


class JointBypass(nn.Module):
    """Bypasses of one input whose outputs are concatenated, as a fused query-key-value layer needs."""

    def __init__(self, parts: list[LowRankMixture]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    @property
    def idle(self) -> bool:
        """Whether none of its parts adds anything."""
        return all(part.idle for part in self.parts)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_width)`` to ``(..., sum of the parts' out_width)``."""
        return torch.cat([part(x) for part in self.parts], dim=-1)


class ImageTower(nn.Module, ABC):
    """A frozen vision transformer, cut where training and caching need it.

    Attributes:
        base: the library's own module, which holds all frozen parameters.
        width: channels of a token.
        embed_dim: channels of the embedding.
        image_size: side of the square input in pixels.
        mean: channel means of the normalisation, RGB, for pixels in 0..1.
        std: channel standard deviations, likewise.
        attentions: attention of every block, in order, without bypasses beside it.
        mlps: MLP of every block, likewise.
        keep: keeps what :meth:`quantise` makes of the weights, which says what these are.
    """

    keep: Keep = staticmethod(keep_nothing)

    def __init__(
        self,
        base: nn.Module,
        *,
        width: int,
        embed_dim: int,
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.base = base.eval().requires_grad_(False)
        self.width = width
        self.embed_dim = embed_dim
        self.image_size = image_size
        self.mean = mean
        self.std = std
        # taken before any bypass is put in: these, and only these, are ever cast or packed
        self.attentions: tuple[nn.Module, ...] = tuple(cast(Any, block).attn for block in self.blocks)
        self.mlps: tuple[nn.Module, ...] = tuple(cast(Any, block).mlp for block in self.blocks)
        # weakly: packed layers take their place, and so large a memory must not wait for the last of them
        self._matrices = [
            weakref.ref(parameter)
            for layer in (*self.attentions, *self.mlps)
            for parameter in layer.parameters()
        ]
        for layer in (*self.attentions, *self.mlps):
            layer.register_forward_pre_hook(_cast_inputs)

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """Transformer blocks, in order."""

    @abstractmethod
    def stem(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, S, S)`` to the tokens ``(B, T, d)`` that enter the first block."""

    @abstractmethod
    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, d)`` of the last block to the embedding ``(B, embed_dim)``, not normalised."""

    @abstractmethod
    def adapt_attention(self, block: nn.Module, bypasses: dict[str, LowRankMixture]) -> None:
        """Put bypasses beside the ``query``, ``key``, ``value`` and ``out`` projections of one block."""

    def run_blocks(self, tokens: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Tokens ``(B, T, d)`` through the blocks ``start`` to ``stop`` (exclusive; None for all)."""
        for block in cast("Iterator[nn.Module]", islice(self.blocks, start, stop)):
            tokens = block(tokens)
        return tokens

    def cut(self, depth: int | None) -> None:
        """Remove the blocks behind the first ``depth``, which leaves these as they are; None keeps all.

        Raises:
            UsageError: if there are fewer, or none would be left.
        """
        if depth is None:
            return
        if not 1 <= depth <= len(self.blocks):
            raise UsageError(f"depth: {depth} is not in 1..{len(self.blocks)}, the blocks of the tower")
        del self.blocks[depth:]
        self.attentions, self.mlps = self.attentions[:depth], self.mlps[:depth]

    def merge_tokens(self, merging: TokenMerging) -> None:
        """Merge tokens inside the blocks from now on.

        Raises:
            UsageError: if this tower cannot.
        """
        if merging.share:
            raise UsageError(
                f"merged_share: made for CLIP's own towers, not for {type(self.base).__name__}; leave it out"
            )

    @property
    @abstractmethod
    def has_class_token(self) -> bool:
        """Whether the first token stands for the image."""

    def class_token(self, tokens: Tensor) -> Tensor:
        """Of tokens ``(B, T, d)`` the class token ``(B, d)``; their mean if the tower has none."""
        return tokens[:, 0] if self.has_class_token else tokens.mean(dim=1)

    def turn_back(self, tokens: Tensor) -> Tensor:
        """Tokens ``(..., d)`` between blocks, or class tokens, in the channels that the weights came with.

        They are in other ones only after :meth:`quantise`.
        """
        return tokens

    def last_block(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, d)`` through the last block, as far as the embedding and the class token need it.

        Returns:
            ``(B, T, d)``, or fewer tokens where a tower knows of a shorter way.
        """
        return self.run_blocks(tokens, len(self.blocks) - 1)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, S, S)`` to embeddings ``(B, embed_dim)``."""
        return self.embed(self.run_blocks(self.stem(images)))

    def set_precision(self, dtype: torch.dtype) -> None:
        """Multiply in ``dtype`` inside the attention and the MLP of every block.

        Tokens between the blocks, norms, stem, bypasses beside MLPs and routers stay in float32: a residual
        stream in bfloat16 moves tokens to other experts, and then logits by far more than its rounding.
        """
        for reference in self._matrices:
            if (parameter := reference()) is not None:
                parameter.data = parameter.data.to(dtype)

    def fold(self, index: int) -> None:
        """Change the layers of a block to quicker ones that calculate the same up to rounding.

        A second time is no harm. A tower that knows of none stays as it is.

        Args:
            index: which block.
        """

    def quantise(self) -> None:
        """Multiply in 8-bit integers inside the attention and the MLP of every block; for scoring only.

        Raises:
            UsageError: if this tower cannot.
        """
        raise UsageError(
            f"precision int8: made for CLIP's own towers, not for {type(self.base).__name__}; "
            "use bfloat16 or float32"
        )

    def train(self, mode: bool = True) -> ImageTower:
        """Switch bypasses to training; the frozen tower stays in evaluation (no dropout)."""
        super().train(mode)
        self.base.eval()
        return self


def _cast_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs of a layer in the precision of its weights; what was one tensor stays one."""
    first = next(layer.parameters(), None)
    if first is None:  # packed layers take any precision
        return inputs
    dtype = first.dtype
    cast_ = {id(item): item.to(dtype) for item in inputs if isinstance(item, Tensor)}
    return tuple(cast_.get(id(item), item) for item in inputs)


def adapt(tower: ImageTower, config: AdapterConfig) -> nn.ModuleDict:
    """Put fresh bypasses beside the blocks that ``config`` names.

    Args:
        tower: changed in place: its blocks now run the bypasses, too.
        config: which blocks and modules, and the shape of the bypasses.

    Returns:
        the bypasses by place, ``"block9_mlp"`` or ``"block9_attention_query"``: all that is trainable.

    Raises:
        UsageError: if the tower has fewer blocks, or attention that cannot be adapted.
    """
    bypasses = nn.ModuleDict()
    width = tower.width
    depth = len(tower.blocks)

    def bypass(place: str) -> LowRankMixture:
        module = LowRankMixture(in_width=width, out_width=width, config=config.mixture)
        bypasses[place] = module
        return module

    for index in range(config.first_block(depth), depth):
        block = cast(Any, tower.blocks[index])
        if "attention" in config.modules:
            names = ("query", "key", "value", "out")
            tower.adapt_attention(block, {name: bypass(f"block{index}_attention_{name}") for name in names})
        if "mlp" in config.modules:
            block.mlp = Beside(block.mlp, bypass(f"block{index}_mlp"))
    return bypasses
