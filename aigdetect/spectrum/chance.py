"""How probable it is that noise alone raises a bin of a spectrum so far over its neighbours.

A bin of the periodogram of noise follows the exponential law about its expectation, and the mean of ``n``
independent ones the Gamma law of shape ``n`` (Brillinger, Time Series, 1981, section 5.2). The expectation is
not known, only a sample of it, the cells around the bin: the bin is divided by an order statistic of these,
which a few other peaks among them do not move, and the law of the ratio does not depend on the scale of the
noise (Rohling, Radar CFAR thresholding in clutter and multiple target situations, IEEE Trans. AES 19, 1983).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

_NODES = 256  # of the quadrature: within a millionth of what 4,096 give
_CHECKED = 0.01
"""Share of bins in the tail at which a law is compared with a spectrum; the grid of a JPEG takes less."""

_LEAST_SHAPE = 0.4
"""Only the feet of a strong wave, which fill the plane, ask for less, and must not hide it: of 48 images of
six kinds one needed less (0.36), the others 0.5 and more."""


@dataclass(frozen=True)
class RatioLaw:
    """The law of a bin over an order statistic of independent cells of the same expectation.

    Attributes:
        shape: of the cells' Gamma law: 1 for a periodogram, n for the mean of n.
        cells: how many there are.
        rank: which of them, in ascending order from 1.
        bin_share: shape of the bin's own law as a share of the cells': 1, or 1/2 for a bin that is its own
            mirror image and so has one degree of freedom where others have two.
    """

    shape: float
    cells: int
    rank: int
    bin_share: float = 1.0

    def tail(self, ratio: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Probability of a ratio at least so high; float64 of the ratio's shape."""
        # the order statistic is the Gamma quantile of a Beta variate; trapezes on a logarithmic axis, as the
        # integrand falls off at both ends
        low, high = np.log(special.gammaincinv(self.shape, [1e-12, 1 - 1e-12]))
        place = np.exp(np.linspace(low, high, _NODES))
        step = (high - low) / (_NODES - 1)
        below, above = special.gammainc(self.shape, place), special.gammaincc(self.shape, place)
        log_density = (
            (self.rank - 1) * np.log(below)
            + (self.cells - self.rank) * np.log(above)
            - special.betaln(self.rank, self.cells - self.rank + 1)
            + self.shape * np.log(place)
            - place
            - special.gammaln(self.shape)
        )
        weight = np.exp(log_density) * step
        scaled = self.bin_share * place * np.asarray(ratio, np.float64)[..., None]
        tail: NDArray[np.float64] = special.gammaincc(self.bin_share * self.shape, scaled) @ weight
        return tail

    @property
    def expectation(self) -> float:
        """Expectation of a cell over the median of the order statistic."""
        middle = special.betaincinv(self.rank, self.cells - self.rank + 1, 0.5)
        return float(self.shape / special.gammaincinv(self.shape, middle))

    def fitted(self, ratios: NDArray[np.float64]) -> RatioLaw:
        """The same law, or one of lower shape where a spectrum varies more than it allows.

        The shape becomes the one whose upper 1 % quantile is that of the ratios; peaks are too few to count.
        Heavier tails and an uneven background are thereby read off the spectrum itself.

        Args:
            ratios: of the bins of one spectrum, any shape.
        """
        quantile = float(np.quantile(ratios, 1 - _CHECKED))

        def excess(log_shape: float) -> float:
            return float(replace(self, shape=np.exp(log_shape)).tail(quantile)) - _CHECKED

        if excess(np.log(self.shape)) >= 0:
            return self
        if excess(np.log(_LEAST_SHAPE)) <= 0:
            return replace(self, shape=_LEAST_SHAPE)
        log_shape = optimize.brentq(excess, np.log(_LEAST_SHAPE), np.log(self.shape), xtol=1e-4)
        return replace(self, shape=float(np.exp(log_shape)))
