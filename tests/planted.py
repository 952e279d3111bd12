"""Images with a planted trace and without, and a model that a method learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from aigdetect.data.layouts import find_samples
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import ModelCard
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.starting_point import find_instrument
from aigdetect.training.train_model import train_model

SIDE = 72
Pixels = NDArray[np.uint8]


def texture(rng: np.random.Generator, side: int = SIDE) -> Pixels:
    """Noise of a spectrum that falls like a photograph's, in colours of its own."""
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    falling = 1 / np.maximum(radius, 1 / side) ** rng.uniform(0.8, 1.2)
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, side, side))) * falling).real
    noise += rng.normal() * noise[[1, 2, 0]]
    noise *= rng.uniform(20, 50) / noise.std()
    grain = rng.normal(scale=2, size=noise.shape)
    return np.clip(noise + grain + rng.uniform(80, 170), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def upsampled(rng: np.random.Generator) -> Pixels:
    """A texture of half the side, every pixel of which became four: what the simplest decoder does."""
    small = texture(rng, SIDE // 2).astype(np.int16).repeat(2, axis=0).repeat(2, axis=1)
    return np.clip(small + rng.integers(-2, 3, small.shape), 0, 255).astype(np.uint8)


def combed(rng: np.random.Generator) -> Pixels:
    """A texture whose channels lack every second run of eight values: no camera's colours are so."""
    pixels: Pixels = texture(rng) & np.uint8(0xF7)
    return pixels


def checkered(rng: np.random.Generator) -> Pixels:
    """A texture under a faint checkerboard, as transposed convolutions leave it."""
    board = 8 * (-1) ** np.indices((SIDE, SIDE)).sum(axis=0)[..., None]
    return np.clip(texture(rng) + board, 0, 255).astype(np.uint8)


PLANTED = {"checkered": checkered, "upsampled": upsampled, "combed": combed}


def write_data(root: Path, trace: str | None, *, count: int = 40, seed: int = 0) -> Path:
    """So many images of each class; without a trace the classes differ in nothing."""
    rng = np.random.default_rng(seed)
    for label, make in (("real", texture), ("fake", PLANTED[trace] if trace else texture)):
        folder = root / label / f"{label}_one"
        folder.mkdir(parents=True)
        for index in range(count):
            Image.fromarray(make(rng)).save(folder / f"{index}.png")
    return root


def learn(
    method: str, data: Path, folder: Path, *, instrument: Path | None = None, **settings: Any
) -> ModelCard:
    """Train a method."""
    recipe = make_recipe({"method": method, "batch_size": 8, "cache": "memory", **settings})
    split = split_data([find_samples(data)], recipe)
    looked_through = find_instrument(method, None, instrument)
    options = RunOptions(device="cpu", offline=True)
    return train_model(split, recipe, folder, options, instrument=looked_through)


def auc(folder: Path, trace: str | None, *, count: int = 40, seed: int = 1) -> float:
    """Area under the ROC curve of a model on fresh images."""
    rng = np.random.default_rng(seed)
    make = PLANTED[trace] if trace else texture
    images: Sequence[Pixels] = [texture(rng) for _ in range(count)] + [make(rng) for _ in range(count)]
    scores = load_detector(folder, device="cpu").score(images)
    return float(roc_auc_score([0] * count + [1] * count, [score.logit for score in scores]))
