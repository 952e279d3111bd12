"""Pairs of tiny autoencoders with random weights, and one whose weights mean something."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH = 4


def block(number: int, before: int, after: int, *, pool: bool = False) -> dict[str, tuple[int, ...]]:
    """Tensors of a block by name, with their shapes."""
    shapes: dict[str, tuple[int, ...]] = {f"{number}.conv.0.weight": (after, before, 3, 3)}
    shapes |= {f"{number}.conv.{place}.weight": (after, after, 3, 3) for place in (2, 4)}
    shapes |= {f"{number}.conv.{place}.bias": (after,) for place in (0, 2, 4)}
    if before != after:
        shapes[f"{number}.skip.weight"] = (after, before, 1, 1)
    if pool:
        shapes |= {
            f"{number}.pool.0.weight": (16, before, 1, 1),
            f"{number}.pool.3.weight": (before, 16, 1, 1),
        }
        shapes |= {f"{number}.pool.1.weight": (16,), f"{number}.pool.1.bias": (16,)}
    return shapes


def conv(number: int, before: int, after: int, *, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Tensors of a convolution."""
    shapes: dict[str, tuple[int, ...]] = {f"{number}.weight": (after, before, 3, 3)}
    return shapes | ({f"{number}.bias": (after,)} if bias else {})


def encoder(latent: int = 3, *, pool: bool = False) -> dict[str, tuple[int, ...]]:
    """Tensors of an encoder that reduces by 8."""
    shapes = conv(0, 3, WIDTH) | block(1, WIDTH, WIDTH)
    for first in (2, 4, 6):
        shapes |= conv(first, WIDTH, WIDTH, bias=False)
        shapes |= block(first + 1, WIDTH, WIDTH, pool=pool and first == 6)
    return shapes | conv(8, WIDTH, latent)


def decoder(latent: int = 3, *, pool: bool = False) -> dict[str, tuple[int, ...]]:
    """Tensors of its decoder."""
    # 0 limits the latent, 2 is a ReLU, and 4, 7 and 10 double the resolution
    shapes = conv(1, latent, WIDTH)
    for first in (3, 6, 9):
        shapes |= block(first, WIDTH, WIDTH, pool=pool and first == 3)
        shapes |= conv(first + 2, WIDTH, WIDTH, bias=False)
    return shapes | block(12, WIDTH, WIDTH) | conv(13, WIDTH, 3)


def write_pair(
    folder: Path, name: str, *, seed: int, pool: bool = True, **shapes: dict[str, tuple[int, ...]]
) -> None:
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    for part, chosen in (("encoder", encoder(pool=pool)), ("decoder", decoder(pool=pool))):
        state = {
            key: torch.randn(shape, generator=generator).mul(0.3).half()
            for key, shape in shapes.get(part, chosen).items()
        }
        save_file(state, folder / f"{name}_{part}.safetensors")


def write_averaging_pair(folder: Path, name: str) -> None:
    """A pair that gives back the mean of each cell of 2x2 pixels in all of its pixels, and nothing else."""
    same = torch.eye(3)[..., None, None] * torch.nn.functional.pad(torch.ones(1, 1), (1, 1, 1, 1))
    mean = torch.eye(3)[..., None, None] * torch.tensor([[0, 0, 0], [0, 0.25, 0.25], [0, 0.25, 0.25]])
    none = torch.zeros(3)
    # small latents are hardly bent
    encoder = {"0.weight": same, "0.bias": none, "1.weight": mean, "2.weight": 0.05 * same, "2.bias": none}
    decoder = {"1.weight": 20 * same, "1.bias": none, "3.weight": same, "5.weight": same, "5.bias": none}
    folder.mkdir(exist_ok=True)
    for part, state in (("encoder", encoder), ("decoder", decoder)):
        held = {key: tensor.clone().contiguous() for key, tensor in state.items()}
        save_file(held, folder / f"{name}_{part}.safetensors")
