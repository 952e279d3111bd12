"""Token merging: the tokens of a block that are most alike become one, and later blocks have less to do.

Source: Bolya et al., Token Merging: Your ViT But Faster, 2023. As there, every second token may go into the
one of the others whose key is most like its own, between the attention and the MLP of a block. Unlike there,
a share of the tokens goes in each block rather than a number, so that a view of which only a part is shown is
thinned out alike, and all tokens count alike in later blocks, however many went into them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aigdetect.errors import UsageError


@dataclass(frozen=True)
class TokenMerging:
    """Where tokens are merged, and how many.

    Attributes:
        share: of its tokens that each block merges, at most a half; 0 for none.
        after: how many blocks come before the first that merges.

    Raises:
        UsageError: if a value is out of range.
    """

    share: float = 0.0
    after: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 0.5:
            raise UsageError(f"merged_share: {self.share} is not in 0..0.5")
        if self.after < 0:
            raise UsageError(f"merge_after: {self.after} is below 0")

    def count(self, index: int, tokens: int) -> int:
        """How many of so many tokens the block of an index merges; the class token is never one of them."""
        return min(int(self.share * tokens), (tokens - 1) // 2) if index >= self.after else 0


def merge_alike(tokens: Tensor, metric: Tensor, count: int) -> Tensor:
    """Let tokens go into those that are most like them.

    Args:
        tokens: ``(B, T, d)``, the class token first: it stays as it is.
        metric: ``(B, T, c)``, tokens are alike by the angle between these.
        count: how many go, less than half of them.

    Returns:
        ``(B, T - count, d)``: means of what came together, the class token first.
    """
    metric = metric / metric.norm(dim=-1, keepdim=True)
    alike = metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)
    best, target = alike.max(dim=-1)
    # the class token, which is the first, comes last
    order = torch.cat([best[:, 1:].argsort(dim=-1, descending=True) + 1, torch.zeros_like(target[:, :1])], 1)
    going, staying = order[:, :count], order[:, count:].sort(dim=-1).values
    target = target.gather(1, going)
    even, odd = tokens[:, ::2], tokens[:, 1::2]
    gone = even.gather(1, _wide(going, even))
    sums = odd.scatter_add(1, _wide(target, odd), gone)
    counts = odd.new_ones(odd.shape[:2]).scatter_add(1, target, odd.new_ones(target.shape))
    return torch.cat([even.gather(1, _wide(staying, even)), sums / counts[..., None]], dim=1)


def _wide(indices: Tensor, tokens: Tensor) -> Tensor:
    return indices[..., None].expand(-1, -1, tokens.shape[-1])
