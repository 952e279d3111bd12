"""Logarithms of DCT coefficients, read by a logistic regression or by a small CNN.

Source: J. Frank, T. Eisenhofer, L. Schönherr, A. Fischer, D. Kolossa, T. Holz, Leveraging Frequency Analysis
for Deep Fake Image Recognition, ICML 2020, sections 3 and 5; its published code where the paper is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.fft import dct
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.methods.method import FeatureNetwork, MethodNetwork
from aigdetect.parsing import STRICT_KEYS

# of Pillow's conversion to grey, in 65536ths
_GREY = (19595, 38470, 7471)


@dataclass(frozen=True)
class FreqDctSettings:
    """Hyperparameters.

    Attributes:
        size: side of the crop in pixels.
        colour: transform the three channels, not their grey.
        epsilon: added to a coefficient's absolute value before the logarithm.

    Raises:
        UsageError: if a value is out of range.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int = 128
    colour: bool = False
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        if self.size < 8:
            raise UsageError(f"size: {self.size} is below 8")
        if not 0 < self.epsilon < 1:
            raise UsageError(f"epsilon: {self.epsilon} is not between 0 and 1")


def log_dct(views: Tensor, basis: Tensor, *, colour: bool, epsilon: float) -> Tensor:
    """Logarithms of the absolute values of the coefficients of the orthonormal DCT-II.

    Args:
        views: ``(B, S, S, 3)`` uint8.
        basis: ``(S, S)`` float32, see :func:`dct_basis`.
        colour: of each channel; else of Pillow's grey.
        epsilon: added before the logarithm.

    Returns:
        ``(B, C, S, S)`` float32, C being 3 or 1.
    """
    channels = views.permute(0, 3, 1, 2)
    if not colour:
        weights = torch.tensor(_GREY, dtype=torch.int32, device=views.device).view(1, 3, 1, 1)
        channels = ((channels.int() * weights).sum(dim=1, keepdim=True) + (1 << 15)) >> 16
    coefficients = basis @ channels.float() @ basis.T
    return (coefficients.abs() + epsilon).log()


def dct_basis(size: int) -> Tensor:
    """Matrix ``(size, size)`` float32 of the orthonormal DCT-II; its rows are the frequencies."""
    return torch.from_numpy(dct(torch.eye(size, dtype=torch.float64).numpy(), axis=0, norm="ortho")).float()


class FreqDct(FeatureNetwork):
    """The regression, section 5.1: L2-penalised, on standardised features; nothing else is trained.

    The paper regresses with each of several penalties and keeps the best; here the recipe says the one
    (``head_penalty``, as strong as the 0.01 of the published code).
    """

    settings_type = FreqDctSettings
    recipe: ClassVar[dict[str, Any]] = {
        "head_penalty": 0.02,
        "epochs": 0,
        "copies": 2,
        "plain_copy": True,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0, "flip_probability": 0.0},
    }
    basis: Tensor

    def __init__(self, settings: FreqDctSettings) -> None:
        super().__init__(settings, width=(3 if settings.colour else 1) * settings.size**2)
        self.register_buffer("basis", dct_basis(settings.size), persistent=False)

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: :func:`log_dct`, flattened ``(B, F)``."""
        settings = self.settings
        return log_dct(views, self.basis, colour=settings.colour, epsilon=settings.epsilon).flatten(1)


class FreqDctCnn(MethodNetwork):
    """The CNN, section 5.2: four convolutions on coefficients that are standardised one by one.

    The paper takes the means and variances of the whole training set; here they are the running ones of batch
    normalisation.
    """

    fits_head = False
    settings_type = FreqDctSettings
    recipe: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "epochs": 50,
        "augmentation": {"blur_probability": 0.0, "jpeg_probability": 0.0, "flip_probability": 0.0},
    }
    basis: Tensor

    def __init__(self, settings: FreqDctSettings) -> None:
        channels, side = 3 if settings.colour else 1, settings.size
        super().__init__(settings, width=32 * (side // 4) ** 2)
        self.register_buffer("basis", dct_basis(side), persistent=False)
        self.standard = nn.BatchNorm1d(channels * side**2, affine=False)
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, 3, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten()),
        )

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: :func:`log_dct` ``(B, C, S, S)``."""
        return log_dct(views, self.basis, colour=self.settings.colour, epsilon=self.settings.epsilon)

    def read(self, trunk: Tensor) -> Tensor:
        """See :meth:`Network.read`."""
        standard: Tensor = self.standard(trunk.flatten(1))
        return self.body(standard.view_as(trunk))  # type: ignore[no-any-return]
