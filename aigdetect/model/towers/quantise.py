"""Put layers in 8-bit integers into the blocks of a CLIP tower, and turn the tokens between them.

:mod:`aigdetect.model.precision.int8` says what the layers do, :mod:`aigdetect.model.precision.basis` why
tokens are turned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.mole import LowRankMixture
from aigdetect.model.precision.basis import Reading, Writing, bare, read_turned, rewrite, turn
from aigdetect.model.precision.int8 import NormedInt8, TokenInt8, WholeLinear
from aigdetect.model.precision.kept import Keep, keep_nothing, tensor_digest
from aigdetect.model.towers.attention import SelfAttention
from aigdetect.model.towers.quickgelu import fold_before, fold_behind, is_quick_gelu
from aigdetect.model.towers.tower import Beside


def require_plain(block: nn.Module) -> None:
    """Check that a block is nothing but attention, two norms and an MLP.

    Args:
        block: of ours or of open_clip's, with or without bypasses.

    Raises:
        UsageError: if there is more to it, or an activation without a kernel.
    """
    mlp = getattr(block, "mlp", None)
    activation: Any = getattr(getattr(mlp, "base", mlp), "gelu", None)
    known = is_quick_gelu(activation) or (
        isinstance(activation, nn.GELU) and activation.approximate == "none"
    )
    odd = [] if known else [activation]
    for name, kind in (("attn", SelfAttention), ("ls_1", nn.Identity), ("ls_2", nn.Identity)):
        if not isinstance(part := getattr(block, name, None), kind):
            odd.append(part)
    if odd:
        raise UsageError(
            f"precision int8: not made for blocks with {type(odd[0]).__name__}; use bfloat16 or float32"
        )


def quantise_attention(block: Any, keep: Keep) -> None:
    """Read turned tokens, multiply in integers, write turned tokens; attention itself is in bfloat16.

    Args:
        block: changed in place, the bypasses of its attention, too.
        keep: keeps what is made of it.
    """
    attention = cast(SelfAttention, block.attn)
    read = partial(read_turned, norm=block.ln_1)
    block.ln_1 = bare(block.ln_1)
    into, out = cast(nn.Linear, attention.in_proj), cast(nn.Linear, attention.out_proj)
    attention.in_proj = NormedInt8(_kept("in_proj", keep, lambda: rewrite(into, read=read)), torch.bfloat16)
    attention.out_proj = TokenInt8(_kept("out_proj", keep, lambda: rewrite(out, write=turn)))
    reading, writing = _keep_reading("attention", keep, read), _keep_writing(keep)
    for name, bypass in attention.bypasses.items():
        leaves = name == "out"
        cast(LowRankMixture, bypass).rewrite(
            read=None if leaves else reading, write=writing if leaves else None
        )


def quantise_mlp(block: Any, mlp: Any, keep: Keep) -> None:
    """Read turned tokens, multiply in integers, write turned tokens.

    Args:
        block: changed in place, the bypass beside its MLP, too.
        mlp: its MLP alone, with QuickGELU folded or not.
        keep: keeps what is made of it.
    """
    read = partial(read_turned, norm=block.ln_2)
    block.ln_2 = bare(block.ln_2)
    quick = is_quick_gelu(mlp.gelu)
    activation = "swish" if quick or isinstance(mlp.gelu, nn.SiLU) else "gelu"

    def make_first() -> nn.Linear:
        if quick:
            fold_before(mlp.c_fc)
        return rewrite(mlp.c_fc, read=read)

    def make_second() -> nn.Linear:
        if quick:
            fold_behind(mlp.c_proj)
        return rewrite(mlp.c_proj, write=turn)

    # one layer after the other: a copy of either is among the largest things that a scan holds
    mlp.c_fc = NormedInt8(_kept("c_fc", keep, make_first), torch.float32, activation)
    mlp.gelu = nn.Identity()  # the product before it applies it
    mlp.c_proj = TokenInt8(_kept("c_proj", keep, make_second), follows=activation)
    if isinstance(block.mlp, Beside):
        cast(LowRankMixture, block.mlp.bypass).rewrite(
            read=_keep_reading("mlp", keep, read), write=_keep_writing(keep)
        )


def _kept(name: str, keep: Keep, make: Callable[[], nn.Linear]) -> nn.Linear | WholeLinear:
    """A layer, or what was kept of it."""
    if keep is keep_nothing:
        return make()
    return WholeLinear(*keep(name, lambda: WholeLinear.of(make()).tensors))


def _keep_reading(name: str, keep: Keep, read: Reading) -> Reading:
    """The same, kept for each matrix of a bypass, whose values are part of the name."""

    def reading(weight: Tensor) -> tuple[Tensor, Tensor]:
        matrix, offset = keep(f"{name}.{tensor_digest(weight)[:16]}", lambda: read(weight))
        return matrix, offset

    return reading


def _keep_writing(keep: Keep) -> Writing:
    """As :func:`_keep_reading`."""

    def writing(values: Tensor) -> Tensor:
        (written,) = keep(f"out.{tensor_digest(values)[:16]}", lambda: (turn(values),))
        return written

    return writing
