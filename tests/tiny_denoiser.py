"""A small denoiser that learns within a second or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from planted import texture
from safetensors.torch import save_file
from torch import nn

NOISE = 30 / 255


def write_denoiser(file: Path, *, steps: int = 120, width: int = 12) -> None:
    """A DnCNN of three convolutions that finds Gaussian noise in textures; KAIR has such names."""
    rng = np.random.default_rng(7)
    images = torch.from_numpy(np.stack([texture(rng) for _ in range(16)])).permute(0, 3, 1, 2).float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channels = ((3, width), (width, width), (width, 3))
        first, second, last = (nn.Conv2d(before, after, 3, padding=1) for before, after in channels)
        network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        for step in range(steps):
            clean = images[torch.arange(4 * step, 4 * step + 4) % len(images), :, :32, :32]
            noise = NOISE * torch.randn_like(clean)
            loss = (network(clean + noise) - noise).square().mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    file.parent.mkdir(exist_ok=True)
    save_file({f"model.{name}": tensor for name, tensor in network.state_dict().items()}, file)
