"""Products of principal components: a layer over them tells what is no sum of what comes in."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: of so many principal components the products are taken
COMPONENTS = 256
_PRODUCT = math.sqrt(0.5)  # factor of a product of two components
_PASSES = 3  # of the subspace iteration


class Coordinates(NamedTuple):
    """Inputs made alike: what their features are made of, which are many more numbers.

    Attributes:
        unit: ``(N, C)`` float32, each of length 1.
        along: ``(N, R)`` float32, their principal components.
    """

    unit: Tensor
    along: Tensor

    def features(self) -> Tensor:
        """The features, ``(N, C + R²)``."""
        products = self.along[:, :, None] * self.along[:, None] * _PRODUCT
        return torch.cat([self.unit, products.flatten(1)], dim=1)

    def add_inner_products(self, to: Tensor, share: float) -> None:
        """Add a share of the inner products of all features to ``(N, N)``, in its place."""
        to.addmm_(self.unit, self.unit.T, alpha=share)
        to.add_((self.along @ self.along.T).square_(), alpha=_PRODUCT**2 * share)

    def sum_of_features(self, weights: Tensor) -> Tensor:
        """The sum of the features, each times its weight of ``(N,)``; ``(C + R²,)``."""
        products = self.along.T @ (weights[:, None] * self.along) * _PRODUCT
        return torch.cat([self.unit.T @ weights, products.flatten()])


class QuadraticFeatures(nn.Module):
    """What comes in, and the products of its first principal components, two at a time.

    Each channel is centred and divided by its scale, and the whole divided by its length. Of two inputs made
    alike, ``s`` is the inner product, and ``t`` the part of it that lies in the principal components; that of
    their features is ``s + t² / 2``. Where all components are taken, these are the terms of first and second
    order of a Gaussian kernel between inputs of one length.

    Attributes:
        width: numbers that come out.
        centre, scale: ``(S, C)``, of the channels, for each kind of input.
        components: ``(S, R, C)`` float16, orthonormal; 0 until they are set.

    Args:
        inputs: channels C that come in.
        sets: kinds of inputs S.
        components: R, of no use above C.
    """

    centre: Tensor
    scale: Tensor
    components: Tensor

    def __init__(self, inputs: int, sets: int = 1, components: int = COMPONENTS) -> None:
        super().__init__()
        count = min(components, inputs)
        self.width = inputs + count * count
        self.register_buffer("centre", torch.zeros(sets, inputs))
        self.register_buffer("scale", torch.ones(sets, inputs))
        self.register_buffer("components", torch.zeros(sets, count, inputs, dtype=torch.float16))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Take centre, scale and components from inputs; the same inputs give the same ones.

        Args:
            rows: ``(N, S, C)`` float32.
        """
        self.centre.copy_(rows.mean(dim=0))
        self.scale.copy_(rows.std(dim=0, correction=0) + 1e-6)
        self.components.zero_()
        count = min(self.components.shape[1], len(rows))
        tried = min(2 * count, len(rows), rows.shape[2])
        devices = [rows.device] if rows.device.type == "cuda" else []
        for number, components in enumerate(self.components):
            with torch.random.fork_rng(devices):
                torch.manual_seed(0)
                found = torch.svd_lowrank(self._unit(rows[:, number], number), tried, niter=_PASSES)[2]
            components[:count] = found.T[:count]

    def coordinates(self, x: Tensor, kind: int) -> Coordinates:
        """Inputs of one kind, made alike.

        Args:
            x: ``(N, C)`` float32.
            kind: number of the kind.
        """
        unit = self._unit(x, kind)
        return Coordinates(unit, unit @ self.components[kind].float().T)

    def forward(self, x: Tensor, kinds: Tensor | None = None) -> Tensor:
        """Inputs to features.

        Args:
            x: ``(N, C)`` float32.
            kinds: ``(N,)`` int64, the kind of each; None: all are of the first.

        Returns:
            ``(N, C + R²)`` float32.
        """
        if kinds is None:
            kinds = torch.zeros_like(x[:, 0], dtype=torch.int64)
        unit = self._unit(x, kinds)
        # of every kind, row by row: each then comes out the same whatever its neighbours
        components = self.components.float().flatten(0, 1).T.expand(x.shape[0], -1, -1)
        along = torch.bmm(unit[:, None], components).view(-1, *self.components.shape[:2])
        own = along.gather(1, kinds[:, None, None].expand(-1, 1, along.shape[2])).squeeze(1)
        return Coordinates(unit, own).features()

    def _unit(self, x: Tensor, kind: int | Tensor) -> Tensor:
        return F.normalize((x - self.centre[kind]) / self.scale[kind])
