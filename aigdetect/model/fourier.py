"""Random Fourier features: a linear layer over them is nearly a machine with a Gaussian kernel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Cosines of many random directions, whose inner products are nearly a Gaussian kernel of what comes in.

    The kernel of two inputs is ``exp(-|x - y|² / (4 F))``, each channel divided by its scale: where scales
    are standard deviations, two unrelated inputs have ``|x - y|²`` near ``2 F``, and a kernel near 0.6.

    The directions are the rows of three products of random signs and a Walsh-Hadamard transform, which costs
    no more than a few additions a number, and a few numbers to keep.

    Attributes:
        width: numbers that come out, the power of two from that of the channels on.
        scale: ``(S, F)``, what channels are divided by, for each kind of input; 1 until it is set.
        signs: ``(3, width)``, 1 or -1.
        phases: ``(width,)`` in 0..2π.

    Args:
        inputs: channels F that come in.
        sets: kinds of inputs S, whose channels have scales of their own.

    Source: A. Rahimi and B. Recht, Random features for large-scale kernel machines, 2007; F. Yu et al.,
    Orthogonal random features, 2016, section 5 (structured ones).
    """

    scale: Tensor
    signs: Tensor
    phases: Tensor

    def __init__(self, inputs: int, sets: int = 1) -> None:
        super().__init__()
        self.width = 1 << max(0, inputs - 1).bit_length()
        self.register_buffer("scale", torch.ones(sets, inputs))
        self.register_buffer("signs", 2.0 * torch.randint(0, 2, (3, self.width)) - 1)
        self.register_buffer("phases", 2 * torch.pi * torch.rand(self.width))

    def forward(self, x: Tensor, kinds: Tensor | None = None) -> Tensor:
        """Inputs to features.

        Args:
            x: ``(B, F)`` float32.
            kinds: ``(B,)`` int64, the kind of each; None: all are of the first.

        Returns:
            ``(B, width)`` float32.
        """
        inputs = x.shape[1]
        scale = self.scale[0] if kinds is None else self.scale[kinds]
        x = F.pad(x / scale, (0, self.width - inputs))
        for signs in self.signs:
            x = hadamard(x * signs)
        # directions are as long as Gaussian ones of this many channels, over the kernel's deviation sqrt(2 F)
        angles = x * math.sqrt(self.width / (2 * inputs)) + self.phases
        return torch.cos(angles) * math.sqrt(2 / self.width)


def hadamard(x: Tensor) -> Tensor:
    """The orthonormal Walsh-Hadamard transform of each row.

    Sums and differences only, so that a row comes out the same whatever its neighbours.

    Args:
        x: ``(B, n)``, n a power of two.
    """
    width = x.shape[1]
    for step in (1 << place for place in range(width.bit_length() - 1)):
        first, second = x.view(-1, width // (2 * step), 2, step).unbind(dim=2)
        x = torch.stack([first + second, first - second], dim=2).view(-1, width)
    return x / math.sqrt(width)
