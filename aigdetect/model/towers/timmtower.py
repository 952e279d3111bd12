"""timm's vision transformers behind the interface of :class:`aigdetect.model.towers.tower.ImageTower`."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.mole import LowRankMixture
from aigdetect.model.towers.tower import Beside, ImageTower, JointBypass


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
