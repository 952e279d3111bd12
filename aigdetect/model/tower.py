"""The frozen image tower as stem, blocks and pooling, and how bypasses are put beside its blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.errors import UsageError, WeightsError
from aigdetect.model.mole import LowRankMixture, MixtureConfig

AdaptedModule = Literal["mlp", "attention"]
ADAPTED_MODULES: tuple[AdaptedModule, ...] = ("mlp", "attention")
_QUICK_GELU = 1.702  # QuickGELU is x * sigmoid(1.702 x)


@dataclass(frozen=True)
class AdapterConfig:
    """Which parts of the tower get a bypass, and of which shape.

    Attributes:
        blocks: how many of the last blocks are adapted; 0 leaves the tower as it is (the linear probe of
            UnivFD), None adapts all.
        modules: what is adapted in each: ``"mlp"`` (one bypass beside the whole MLP), ``"attention"`` (one
            beside each of the query, key, value and output projections), or both.
        mixture: shape of every bypass.

    Raises:
        UsageError: if a value is out of range.
    """

    blocks: int | None = 3
    modules: tuple[AdaptedModule, ...] = ("mlp",)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)

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
        return cast(Tensor, self.base(x) + self.bypass(x))


class JointBypass(nn.Module):
    """Bypasses of one input whose outputs are concatenated, as a fused query-key-value layer needs."""

    def __init__(self, parts: list[LowRankMixture]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_width)`` to ``(..., sum of the parts' out_width)``."""
        return torch.cat([part(x) for part in self.parts], dim=-1)


class SelfAttention(nn.Module):
    """torch's self-attention from the same frozen parameters, with room for bypasses beside its projections.

    ``nn.MultiheadAttention`` hands its weights to a fused function, so that no bypass can be put inside it,
    and in bfloat16 on a CPU it trains several times slower. Called as open_clip's blocks call it.

    Attributes:
        bypasses: bypasses beside the query, key, value and output projections; empty for none.
    """

    def __init__(self, base: nn.MultiheadAttention) -> None:
        super().__init__()
        self.base = base
        self.bypasses = nn.ModuleDict()

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """Attention of some tokens to all.

        Args:
            query: ``(B, Q, d)``, the tokens that look.
            key: ``(B, T, d)``, the tokens that are looked at.
            value: the same tensor as ``key``.
            need_weights: must be false.
            attn_mask: added to the attention logits, ``(Q, T)``.

        Returns:
            ``(B, Q, d)``, and None in the place of the weights.

        Raises:
            ValueError: if key and value differ, or weights are wanted.
        """
        if value is not key or need_weights:
            raise ValueError("only self-attention without weights is computed here")
        weights = torch.chunk(self.base.in_proj_weight, 3)
        biases = torch.chunk(self.base.in_proj_bias, 3)
        q = self._project(query, weights[0], biases[0], "query")
        k = self._project(key, weights[1], biases[1], "key")
        v = self._project(key, weights[2], biases[2], "value")
        mixed = _attend(q, k, v, attn_mask).transpose(1, 2).flatten(2)
        output: Tensor = self.base.out_proj(mixed)
        return (output + self.bypasses["out"](mixed) if self.bypasses else output), None

    def _project(self, x: Tensor, weight: Tensor, bias: Tensor, name: str) -> Tensor:
        """``(B, T, d)`` through one projection and its bypass to ``(B, heads, T, d / heads)``."""
        projected = F.linear(x, weight, bias)
        if self.bypasses:
            projected = projected + self.bypasses[name](x)
        batch, tokens, width = projected.shape
        heads = self.base.num_heads
        return projected.view(batch, tokens, heads, width // heads).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of ``(B, heads, Q, c)`` to ``(B, heads, T, c)``."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or mask is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # torch's fused kernel is slower than its batched products for so few tokens, and no more exact
    q_, k_, v_ = (x.flatten(0, 1) for x in (q, k, v))
    logits = torch.baddbmm(q_.new_empty(()), q_, k_.transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5)
    return torch.bmm(logits.softmax(-1), v_).view(q.shape)


class ImageTower(nn.Module, ABC):
    """A frozen vision transformer, cut where training and caching need it.

    Attributes:
        base: the library's own module, which holds all frozen parameters.
        width: channels of a token.
        embed_dim: channels of the embedding.
        image_size: side of the square input in pixels.
        mean: channel means of the normalisation, RGB, for pixels in 0..1.
        std: channel standard deviations, likewise.
    """

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
        # taken before any bypass is put in: these, and only these, are ever cast
        self._matrices = [
            parameter
            for block in self.blocks
            for layer in (cast(Any, block).attn, cast(Any, block).mlp)
            for parameter in layer.parameters()
        ]
        self._cast_on_entry()

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

    @property
    @abstractmethod
    def has_class_token(self) -> bool:
        """Whether the first token stands for the image."""

    def class_token(self, tokens: Tensor) -> Tensor:
        """Of tokens ``(B, T, d)`` the class token ``(B, d)``; their mean if the tower has none."""
        return tokens[:, 0] if self.has_class_token else tokens.mean(dim=1)

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
        for parameter in self._matrices:
            parameter.data = parameter.data.to(dtype)

    def _cast_on_entry(self) -> None:
        """Let attention and MLP of every block take tokens of any precision."""
        for block in self.blocks:
            cast(Any, block).attn.register_forward_pre_hook(_cast_inputs)
            cast(Any, block).mlp.register_forward_pre_hook(_cast_inputs)

    def train(self, mode: bool = True) -> ImageTower:
        """Switch bypasses to training; the frozen tower stays in evaluation (no dropout)."""
        super().train(mode)
        self.base.eval()
        return self


def _cast_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs of a layer in the precision of its weights; what was one tensor stays one."""
    dtype = next(layer.parameters()).dtype
    cast_ = {id(item): item.to(dtype) for item in inputs if isinstance(item, Tensor)}
    return tuple(cast_.get(id(item), item) for item in inputs)


class ClipTower(ImageTower):
    """An open_clip ``VisionTransformer``; its attention is changed in place to :class:`SelfAttention`."""

    def __init__(self, base: nn.Module, **facts: Any) -> None:
        for block in cast(Any, base).transformer.resblocks:
            # open_clip's blocks with extras bring an attention of their own, which is left alone
            if isinstance(block.attn, nn.MultiheadAttention):
                block.attn = SelfAttention(block.attn)
        super().__init__(base, **facts)
        self._mlps = [cast(Any, block).mlp for block in self.blocks]  # without the bypasses still to come

    @property
    def blocks(self) -> nn.ModuleList:
        """Transformer blocks, in order."""
        return cast(Any, self.base).transformer.resblocks  # type: ignore[no-any-return]

    def set_precision(self, dtype: torch.dtype) -> None:
        """See :meth:`ImageTower.set_precision`; outside float32, QuickGELU is folded into one fast function.

        ``x * sigmoid(1.702 x)`` is ``silu(1.702 x) / 1.702``, and both factors fit into the matrices beside
        it: one pass over the widest activations of the tower in the place of three.
        """
        if dtype != torch.float32:
            for mlp in self._mlps:
                fold_quick_gelu(mlp)
        super().set_precision(dtype)

    def stem(self, images: Tensor) -> Tensor:
        """See :meth:`ImageTower.stem`."""
        return cast(Tensor, cast(Any, self.base)._embeds(images))

    def embed(self, tokens: Tensor) -> Tensor:
        """See :meth:`ImageTower.embed`."""
        base = cast(Any, self.base)
        pooled, _ = base._pool(tokens)
        return cast(Tensor, pooled if base.proj is None else pooled @ base.proj)

    @property
    def has_class_token(self) -> bool:
        """See :attr:`ImageTower.has_class_token`: open_clip's own towers always do."""
        return True

    def last_block(self, tokens: Tensor) -> Tensor:
        """See :meth:`ImageTower.last_block`: only the class token is wanted."""
        base, last = cast(Any, self.base), cast(Any, self.blocks[-1])
        if base.attn_pool is not None or base.pool_type != "tok" or not isinstance(last.attn, SelfAttention):
            return super().last_block(tokens)
        normed = last.ln_1(tokens)
        leading = tokens[:, :1] + last.ls_1(last.attn(normed[:, :1], normed, normed)[0])
        return cast(Tensor, leading + last.ls_2(last.mlp(last.ln_2(leading))))

    def adapt_attention(self, block: nn.Module, bypasses: dict[str, LowRankMixture]) -> None:
        """See :meth:`ImageTower.adapt_attention`."""
        attention = cast(Any, block).attn
        if not isinstance(attention, SelfAttention):
            raise UsageError(f"modules: attention of the kind {type(attention).__name__} cannot be adapted")
        attention.bypasses.update(bypasses)


class _SiLU(nn.Module):
    """SiLU, in place where no gradient needs its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x, inplace=not torch.is_grad_enabled())


def fold_quick_gelu(mlp: Any) -> None:
    """Turn QuickGELU between the two layers of an open_clip MLP into SiLU; nothing happens with another."""
    from open_clip.transformer import QuickGELU

    if not isinstance(mlp.gelu, QuickGELU):
        return
    with torch.no_grad():
        mlp.c_fc.weight.mul_(_QUICK_GELU)
        mlp.c_fc.bias.mul_(_QUICK_GELU)
        mlp.c_proj.weight.div_(_QUICK_GELU)
    mlp.gelu = _SiLU()


class TimmTower(ImageTower):
    """A timm ``VisionTransformer``, alone or as the trunk of an open_clip tower."""

    @property
    def _trunk(self) -> Any:
        return getattr(self.base, "trunk", self.base)

    @property
    def blocks(self) -> nn.ModuleList:
        """Transformer blocks, in order."""
        # timm keeps its blocks in a Sequential, which an open slice of modules serves just as well
        return cast(nn.ModuleList, self._trunk.blocks)

    def stem(self, images: Tensor) -> Tensor:
        """See :meth:`ImageTower.stem`."""
        trunk = self._trunk
        return cast(Tensor, trunk.norm_pre(trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(images)))))

    def embed(self, tokens: Tensor) -> Tensor:
        """See :meth:`ImageTower.embed`."""
        trunk = self._trunk
        if not hasattr(self.base, "trunk"):
            return cast(Tensor, trunk.forward_head(trunk.norm(tokens), pre_logits=True))
        return cast(Tensor, cast(Any, self.base).head(trunk.forward_head(trunk.norm(tokens))))

    @property
    def has_class_token(self) -> bool:
        """See :attr:`ImageTower.has_class_token`."""
        return bool(self._trunk.has_class_token)

    def adapt_attention(self, block: nn.Module, bypasses: dict[str, LowRankMixture]) -> None:
        """See :meth:`ImageTower.adapt_attention`."""
        attention = cast(Any, block).attn
        if not (isinstance(attention.qkv, nn.Linear) and isinstance(attention.proj, nn.Linear)):
            raise UsageError(f"modules: attention of the kind {type(attention).__name__} cannot be adapted")
        joint = JointBypass([bypasses[name] for name in ("query", "key", "value")])
        attention.qkv = Beside(attention.qkv, joint)
        attention.proj = Beside(attention.proj, bypasses["out"])


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


def wrap_tower(base: nn.Module, *, mean: tuple[float, ...], std: tuple[float, ...], name: str) -> ImageTower:
    """Wrap a library's vision transformer.

    Args:
        base: open_clip ``VisionTransformer`` or ``TimmModel``, or timm ``VisionTransformer``.
        mean: channel means that belong to its weights.
        std: channel standard deviations, likewise.
        name: how to call it in an error.

    Raises:
        WeightsError: if it is not a vision transformer of square input.
    """
    import timm.models.vision_transformer as timm_vit
    from open_clip.transformer import VisionTransformer

    module = cast(Any, base)
    three = {"mean": (mean[0], mean[1], mean[2]), "std": (std[0], std[1], std[2])}
    if isinstance(base, VisionTransformer):
        if module.attn_pool is not None:
            raise WeightsError(
                f"{name}: towers with attentional pooling are not supported; choose a plain ViT"
            )
        size = _square(module.image_size, name)
        return ClipTower(
            base, width=module.transformer.width, embed_dim=module.output_dim, image_size=size, **three
        )
    trunk = getattr(module, "trunk", module)
    if not isinstance(trunk, timm_vit.VisionTransformer):
        raise WeightsError(f"{name}: not a vision transformer ({type(trunk).__name__}); choose a ViT")
    size = _square(trunk.patch_embed.img_size, name)
    tower = TimmTower(base, width=trunk.embed_dim, embed_dim=trunk.num_features, image_size=size, **three)
    if trunk is not base:
        with torch.inference_mode():
            tower.embed_dim = tower(torch.zeros(1, 3, size, size)).shape[-1]
    return tower


def _square(size: int | tuple[int, int], name: str) -> int:
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise WeightsError(f"{name}: its input of {width}x{height} pixels is not square")
    return height
