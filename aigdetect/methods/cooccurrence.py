"""How often two values stand side by side in each colour channel, read by a CNN.

Source: L. Nataraj, T. M. Mohammed, B. S. Manjunath, S. Chandrasekaran, A. Flenner, J. H. Bappy, A. K.
Roy-Chowdhury, Detecting GAN generated Fake Images using Co-occurrence Matrices, Electronic Imaging 2019,
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.method import PixelNetwork
from aigdetect.parsing import STRICT_KEYS


@dataclass(frozen=True)
class CoOccurrenceSettings:
    """Hyperparameters.

    Attributes:
        size: side of the crop in pixels.
        levels: values that are told apart in a channel, a power of 2; the paper's are all 256.
        hidden: channels of each of the two layers before the last.

    Raises:
        UsageError: if a value is out of range.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int = 256
    levels: int = 256
    hidden: int = 256

    def __post_init__(self) -> None:
        if self.size < 8 or self.hidden < 1:
            raise UsageError(f"size, hidden: {self.size}, {self.hidden} are below 8, 1")
        if self.levels not in (16, 32, 64, 128, 256):
            raise UsageError(f"levels: {self.levels} is not 16, 32, 64, 128 or 256")


def co_occurrences(pixels: Tensor, levels: int) -> Tensor:
    """Numbers of horizontal pairs of values, by channel.

    Args:
        pixels: ``(B, S, S, 3)`` uint8.
        levels: values that are told apart, a power of 2.

    Returns:
        ``(B, 3, levels, levels)`` int64; the left value of a pair is the row. They add up to ``S (S - 1)``.
    """
    values = pixels.permute(0, 3, 1, 2).long() // (256 // levels)
    pairs = (values[..., :-1] * levels + values[..., 1:]).flatten(2)
    counts = pairs.new_zeros(pairs.shape[0], 3, levels**2).scatter_add_(2, pairs, torch.ones_like(pairs))
    return counts.view(-1, 3, levels, levels)


class CoOccurrence(PixelNetwork):
    """The paper's CNN on co-occurrence matrices that are scaled to a mean of 1.

    The paper says neither which neighbours make a pair nor how matrices are scaled.
    """

    settings_type = CoOccurrenceSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "batch_size": 40,
        "epochs": 50,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0, "flip_probability": 0.0},
    }

    def __init__(self, settings: CoOccurrenceSettings) -> None:
        super().__init__(settings, width=settings.hidden)
        layers: list[nn.Module] = []
        channels = 3
        for width in (32, 64, 128):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 5, padding=2), nn.MaxPool2d(2)]
            channels = width
        layers += [
            nn.Flatten(),
            nn.Linear(channels * (settings.levels // 8) ** 2, settings.hidden),
            nn.ReLU(),
        ]
        layers += [nn.Linear(settings.hidden, settings.hidden), nn.ReLU()]
        self.body = nn.Sequential(*layers)

    def preprocess(self, pixels: Tensor) -> Tensor:
        """See :meth:`PixelNetwork.preprocess`: :func:`co_occurrences` with a mean of 1."""
        counts = co_occurrences(pixels, self.settings.levels).float()
        return counts * float(self.settings.levels**2 / (self.size * (self.size - 1)))
