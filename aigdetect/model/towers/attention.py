"""Self-attention from torch's frozen parameters, with room for bypasses beside its projections."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.model.mole import may_rest
from aigdetect.model.precision.linear import linear_of


class SelfAttention(nn.Module):
    """What ``nn.MultiheadAttention`` calculates, as two linear layers with attention between them.

    ``nn.MultiheadAttention`` hands its weights to a fused function, so that no bypass can be put inside it,
    and in bfloat16 on a CPU it trains several times slower. Called as open_clip's blocks call it.

    Attributes:
        in_proj: query, key and value in one layer, ``d -> 3 d``.
        out_proj: ``d -> d``.
        heads: number of heads.
        bypasses: bypasses beside the query, key, value and output projections; empty for none.

    Args:
        base: gives its parameters, which are shared, not copied.
    """

    def __init__(self, base: nn.MultiheadAttention) -> None:
        super().__init__()
        self.in_proj: nn.Module = linear_of(base.in_proj_weight, base.in_proj_bias)
        self.out_proj: nn.Module = base.out_proj
        self.heads = base.num_heads
        self.bypasses = nn.ModuleDict()

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        leading: int | None = None,
    ) -> tuple[Tensor, None]:
        """Attention of all tokens, or of the leading ones, to all.

        Args:
            query: ``(B, T, d)``.
            key: the same tensor.
            value: the same tensor.
            need_weights: must be false.
            attn_mask: added to the attention logits, ``(T, T)``.
            leading: how many tokens look; None for all.

        Returns:
            ``(B, T, d)`` or ``(B, leading, d)``, and None in the place of the weights.

        Raises:
            ValueError: if the three differ, or weights are wanted.
        """
        if not query is key is value or need_weights:
            raise ValueError("only self-attention without weights is computed here")
        return self.with_keys(query, attn_mask, leading)[0], None

    def with_keys(
        self, x: Tensor, mask: Tensor | None = None, leading: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, and beside it the keys of all tokens ``(B, heads, T, d / heads)``."""
        q, k, v = self._project(x)
        mixed = attend(q[:, :, :leading], k, v, mask).transpose(1, 2).flatten(2)
        output: Tensor = self.out_proj(mixed)
        return (output if self._alone() else output + self.bypasses["out"](mixed)), k

    def _alone(self) -> bool:
        """Whether no bypass needs to run."""
        return not self.bypasses or may_rest(*self.bypasses.values())

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of ``(B, T, d)``, each ``(B, heads, T, d / heads)``."""
        projected = self.in_proj(x)
        if not self._alone():
            added = torch.cat([self.bypasses[name](x) for name in ("query", "key", "value")], dim=-1)
            projected = projected + added.to(projected.dtype)
        batch, tokens, width = x.shape
        by_head = projected.view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = by_head.permute(2, 0, 3, 1, 4).unbind()
        return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention.

    Args:
        q: ``(B, heads, Q, c)``.
        k: ``(B, heads, T, c)``.
        v: likewise.
        mask: added to the logits, ``(Q, T)``.

    Returns:
        ``(B, heads, Q, c)``.
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or mask is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # torch's fused kernel is slower than its batched products for so few tokens, and no more exact
    q_, k_, v_ = (x.flatten(0, 1) for x in (q, k.contiguous(), v))  # the kernel's own copy of k is slow
    logits = torch.baddbmm(q_.new_empty(()), q_, k_.transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5)
    return torch.bmm(logits.softmax(-1), v_).view(q.shape)
