"""Nearest neighbours among frozen embeddings, UnivFD's second baseline: nothing is trained.

Source: U. Ojha, Y. Li, Y. J. Lee, Towards Universal Fake Image Detectors that Generalize Across Generative
Models, CVPR 2023, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: images whose similarities are held at a time
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class NearestBanks:
    """Embeddings of known images of both classes.

    Attributes:
        real: of real images, ``(n, d)`` float32, of unit length.
        generated: of generated images, ``(m, d)`` likewise.
    """

    real: Floats
    generated: Floats

    def logits(self, embeddings: Floats, *, neighbours: int = 1) -> Floats:
        """How much nearer images lie to generated ones than to real ones.

        The cosine similarity to the nearest generated image minus that to the nearest real one, so that above
        0 is what a vote of the single nearest neighbour calls generated. With more ``neighbours``, the means
        over the nearest ones of each class.

        Args:
            embeddings: ``(B, d)``, any length.
            neighbours: how many of each class count.

        Returns:
            ``(B,)`` float32, -2..2.

        Raises:
            ValueError: if a bank has fewer images than ``neighbours``, or an embedding has no direction.
        """
        fewest = min(len(self.real), len(self.generated))
        if not 1 <= neighbours <= fewest:
            raise ValueError(f"neighbours: {neighbours} is not in 1..{fewest}, the smaller bank")
        unit = normalised(embeddings)
        parts = [unit[first : first + _ROWS] for first in range(0, len(unit), _ROWS)]
        return np.concatenate(
            [
                _nearness(part, self.generated, neighbours) - _nearness(part, self.real, neighbours)
                for part in parts
            ]
            or [np.zeros(0, dtype=np.float32)]
        )


def fill_banks(embeddings: Floats, labels: NDArray[np.int64]) -> NearestBanks:
    """Banks of known images.

    Args:
        embeddings: ``(n, d)``, any length.
        labels: ``(n,)``, 1 for generated, 0 for real.

    Raises:
        ValueError: if one class is absent, or an embedding has no direction.
    """
    unit = normalised(embeddings)
    banks = NearestBanks(real=unit[labels == 0], generated=unit[labels == 1])
    if not len(banks.real) or not len(banks.generated):
        raise ValueError("nearest neighbours need images of both classes")
    return banks


def normalised(embeddings: Floats) -> Floats:
    """Rows ``(n, d)`` at unit length, float32.

    Raises:
        ValueError: if a row is zero or not finite.
    """
    rows = np.asarray(embeddings, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    odd = ~(np.isfinite(lengths) & (lengths > 0)).ravel()
    if odd.any():
        raise ValueError(f"embedding {int(odd.argmax())} has no direction (zero, or not finite)")
    unit: Floats = rows / lengths
    return unit


def _nearness(queries: Floats, bank: Floats, neighbours: int) -> Floats:
    """Mean similarity of each query to its nearest images of a bank, ``(B,)``."""
    similarities = queries @ bank.T
    nearest = np.partition(similarities, -neighbours, axis=1)[:, -neighbours:]
    means: Floats = nearest.mean(axis=1)
    return means
