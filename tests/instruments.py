"""What some methods look through, each as small as it can be."""

from __future__ import annotations

from pathlib import Path

from tiny_denoiser import write_denoiser
from tiny_discriminator import write_discriminator
from tiny_pairs import write_averaging_pair


def write_instruments(root: Path, *, size: int = 32) -> dict[str, Path]:
    """Write them; by method, what ``train --instrument`` takes for views of this size."""
    root.mkdir(exist_ok=True)
    write_averaging_pair(root / "pair", "mean")
    write_denoiser(root / "denoiser.safetensors")
    write_discriminator(root / "discriminator.safetensors", size)
    return {
        **dict.fromkeys(("aeroblade", "dire"), root / "pair"),
        "lnp": root / "denoiser.safetensors",
        "lgrad": root / "discriminator.safetensors",
    }
