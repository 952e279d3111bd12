"""Precisions that a tower may calculate in: their names, which machine has them, how a tower gets them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from aigdetect.errors import UsageError
from aigdetect.model.precision.int8 import can_multiply
from aigdetect.model.precision.linear import PackedLinear, can_pack
from aigdetect.model.precision.memory import give_back_freed_memory
from aigdetect.model.towers.tower import ImageTower

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
INT8 = "int8"
PRECISIONS = (*_DTYPES, INT8)


def precisions_of(device: torch.device) -> tuple[str, ...]:
    """Names of the precisions that a device calculates in, quickly or slowly."""
    whole = device.type == "cpu" and can_pack() and can_multiply()
    return PRECISIONS if whole else tuple(_DTYPES)


def choose_precision(name: str, device: torch.device) -> str:
    """Precision by name; ``"auto"`` takes bfloat16 on GPUs and CPUs that multiply in it, else float32.

    Raises:
        UsageError: if the name is unknown, or this machine cannot calculate so.
    """
    if name in PRECISIONS:
        if name not in precisions_of(device):
            place = "this processor multiplies no int8" if device.type == "cpu" else f"not on {device.type}"
            raise UsageError(f"precision {name}: {place}; use auto, float32 or bfloat16")
        return name
    if name != "auto":
        raise UsageError(f"precision {name!r}: unknown; use auto, {', '.join(PRECISIONS)}")
    if device.type == "cuda":  # older cards only emulate bfloat16, and slowly
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_multiplies_bfloat16() else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    # private names of torch, absent on some platforms: without them the safe answer is no
    checks = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(check is not None and check() for check in checks)


def prepare_tower(
    tower: ImageTower, precision: str, device: torch.device, *, trained_from: int | None = None
) -> None:
    """Make a frozen tower ready to calculate; on a CPU its matrices are packed.

    As with :meth:`ImageTower.set_precision`, only the frozen layers inside attention and MLP are touched:
    tokens between blocks, norms, bypasses and head stay in float32.

    Args:
        tower: changed in place; it cannot be turned back or moved to another device afterwards.
        precision: what :func:`choose_precision` gave.
        device: where it will run.
        trained_from: index of the first adapted block of a tower whose bypasses are to be trained; gradients
            go through this block and later ones, and through no other. None for a tower that only scores.

    Raises:
        UsageError: if this tower does not calculate so, or not while it trains.
    """
    if precision == INT8:
        if trained_from is not None:
            raise UsageError("precision int8: for scoring only; train in bfloat16 or float32")
        tower.quantise()
    elif device.type == "cpu" and can_pack(_DTYPES[precision]):
        # block by block: what one leaves behind, the next one uses again
        for index, layers in enumerate(zip(tower.attentions, tower.mlps, strict=True)):
            tower.fold(index)
            gradient = trained_from is not None and index >= trained_from
            for layer in layers:
                _replace(layer, partial(PackedLinear, dtype=_DTYPES[precision], gradient=gradient))
        give_back_freed_memory()
    else:
        tower.set_precision(_DTYPES[precision])


def _replace(module: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Put something else into the place of every linear layer inside a module, but not of its bypasses."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, make(child))
        elif name != "bypasses":
            _replace(child, make)
