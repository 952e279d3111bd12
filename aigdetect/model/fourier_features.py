"""Random Fourier features: a linear layer over them is nearly a machine with a Gaussian kernel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: at least so many directions: with half of them, chance takes back some of what the kernel gains
DIRECTIONS = 16384


class FourierFeatures(nn.Module):
    """Cosines along many random directions: their inner products are nearly a Gaussian kernel.

    The kernel of two inputs is ``exp(-|x - y|² / (2 C))``, each channel divided by its scale: where scales
    are standard deviations, two unrelated inputs have ``|x - y|²`` near ``2 C``, and a kernel near 0.37.

    The directions are the rows of products of three diagonals of random signs and three Walsh-Hadamard
    transforms, which take little time, and little to keep. They are the same in every model.

    Attributes:
        width: numbers that come out.
        scale: ``(S, C)``, what channels are divided by, for each kind of input; 1 until it is set.
        signs: ``(3, B, n)``, 1 or -1, of ``B`` transforms of ``n`` numbers, the power of two from C on.
        phases: ``(width,)`` in 0..2π.
        first, second: factors of the transform, see :func:`hadamard`; no part of what is kept.

    Args:
        inputs: channels C that come in.
        sets: kinds of inputs S, whose channels have scales of their own.
        directions: at least so many.

    Source: A. Rahimi and B. Recht, Random features for large-scale kernel machines, 2007; F. Yu et al.,
    Orthogonal random features, 2016, section 5 (structured ones).
    """

    scale: Tensor
    signs: Tensor
    phases: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, inputs: int, sets: int = 1, directions: int = DIRECTIONS) -> None:
        super().__init__()
        size = 1 << max(0, inputs - 1).bit_length()
        count = math.ceil(directions / size)
        self.width = count * size
        generator = torch.Generator().manual_seed(0)
        signs = 2.0 * torch.randint(0, 2, (3, count, size), generator=generator) - 1
        self.register_buffer("scale", torch.ones(sets, inputs))
        self.register_buffer("signs", signs)
        self.register_buffer("phases", 2 * torch.pi * torch.rand(self.width, generator=generator))
        for name, factor in zip(("first", "second"), hadamard_factors(size), strict=True):
            self.register_buffer(name, factor, persistent=False)

    def forward(self, x: Tensor, kinds: Tensor | None = None) -> Tensor:
        """Inputs to features.

        Args:
            x: ``(N, C)`` float32.
            kinds: ``(N,)`` int64, the kind of each; None: all are of the first.

        Returns:
            ``(N, width)`` float32.
        """
        inputs, size = x.shape[1], self.signs.shape[-1]
        scale = self.scale[0] if kinds is None else self.scale[kinds]
        # directions are as long as Gaussian ones of this many channels, over the kernel's deviation sqrt(C)
        x = F.pad(x / scale * math.sqrt(size / inputs), (0, size - inputs))[:, None]
        for signs in self.signs:
            x = hadamard(x * signs, self.first, self.second)
        return torch.cos(x.flatten(1) + self.phases) * math.sqrt(2 / self.width)


def hadamard(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The orthonormal Walsh-Hadamard transform (Sylvester's order) along the last dimension.

    Each row is multiplied by itself, so that it comes out the same whatever its neighbours.

    Args:
        x: ``(..., n)`` float32, n a power of two.
        first: ``(a, a)``, of :func:`hadamard_factors`.
        second: ``(n / a, n / a)``, likewise.
    """
    rows = x.reshape(-1, len(first), len(second))
    rows = torch.bmm(rows, second.expand(rows.shape[0], -1, -1))
    rows = torch.bmm(first.expand(rows.shape[0], -1, -1), rows)
    return rows.reshape(x.shape)


def hadamard_factors(size: int) -> tuple[Tensor, Tensor]:
    """Two small matrices whose Kronecker product transforms so many numbers, a power of two."""
    power = size.bit_length() - 1
    return _matrix(power // 2), _matrix(power - power // 2)


def _matrix(power: int) -> Tensor:
    """The matrix of the transform of ``1 << power`` numbers."""
    matrix = torch.ones(1, 1)
    for _ in range(power):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)]) / math.sqrt(2)
    return matrix
