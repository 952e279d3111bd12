"""A small discriminator of the shape of ProGAN's and StyleGAN's, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTHS = {4: 12, 8: 10, 16: 8, 32: 6, 64: 4}


def tensors(size: int, *, blur: bool = True, fused: int = 16) -> dict[str, torch.Tensor]:
    """Tensors by the names that genforce gives them; layers from a side of ``fused`` on halve at once."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    state = {"lod": torch.zeros(())}
    sides = [side for side in sorted(WIDTHS, reverse=True) if side <= size]
    for block, side in enumerate(sides):
        width, layer = WIDTHS[side], f"layer{2 * block}"
        state[f"input{block}.conv.weight"] = drawn(width, 3, 1, 1)
        state[f"input{block}.wscale.bias"] = 0.3 * drawn(width)
        state[f"{layer}.conv.weight"] = drawn(width, width + (side == 4), 3, 3)
        state[f"{layer}.wscale.bias"] = 0.3 * drawn(width)
        if side > 4:
            after, down = WIDTHS[side // 2], f"layer{2 * block + 1}"
            if side >= fused:
                state[f"{down}.weight"] = drawn(3, 3, width, after)
            else:
                state[f"{down}.conv.weight"] = drawn(after, width, 3, 3)
            state[f"{down}.wscale.bias"] = 0.3 * drawn(after)
            if blur:
                state[f"{down}.preact.kernel"] = torch.ones(width, 1, 3, 3)
    for number, (before, after) in enumerate(((16 * WIDTHS[4], 14), (14, 1)), start=2 * len(sides) - 1):
        state[f"layer{number}.fc.weight"] = drawn(after, before)
        state[f"layer{number}.wscale.bias"] = 0.3 * drawn(after)
    return state


def write_discriminator(file: Path, size: int, *, blur: bool = True) -> None:
    file.parent.mkdir(exist_ok=True)
    save_file(tensors(size, blur=blur), file)
