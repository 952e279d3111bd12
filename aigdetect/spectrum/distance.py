"""How far two average spectra are from each other, and how far chance alone would put them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from aigdetect.errors import UsageError
from aigdetect.spectrum.fourier import Power, rounding

_DECIBELS = 10 / np.log(10)


def decibels(power: NDArray[np.float64], reference: float = 1.0) -> NDArray[np.float64]:
    """Power in decibels over a reference power; bins without any power come out as the lowest of the others.

    Args:
        power: any shape, not negative, and not zero everywhere.
        reference: positive power that is 0 dB.
    """
    floor = float(power[power > 0].min())
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, floor) / reference)
    return levels


def over_median(power: Power) -> Power:
    """Power in decibels over its own median, or over :func:`fourier.rounding` where that is higher.

    What repeats exactly, as a drawn pattern does, leaves nothing in most bins.

    Args:
        power: ``(N, N)``, not negative; zero everywhere it comes out as 0 dB.
    """
    level, least = float(np.median(power)), rounding(power)
    if not least:
        return np.zeros_like(power)
    return decibels(power, level) if level >= least else decibels(np.maximum(power, least), least)


def difference(first: Power, second: Power) -> NDArray[np.float64]:
    """First spectrum over the second, each by :func:`over_median`: form is compared, not level.

    Args:
        first: ``(N, N)`` centred power spectrum.
        second: likewise.

    Returns:
        ``(N, N)`` float64; zero at the centre, where a high-pass residual holds nothing of interest.

    Raises:
        UsageError: they differ in size.
    """
    if first.shape != second.shape:
        raise UsageError(f"spectra of different sizes have no difference: {first.shape} and {second.shape}")
    levels = over_median(first) - over_median(second)
    middle = len(levels) // 2
    levels[middle, middle] = 0
    return levels


def log_spectral_distance(first: Power, second: Power) -> float:
    """Root mean square of the difference of two spectra in decibels, whatever their levels.

    The log spectral distance of Gray and Markel (Distance measures for speech processing, IEEE Trans. ASSP
    24, 1976), in two dimensions and with the mean difference, which is a gain, taken out.

    Args:
        first: ``(N, N)`` centred power spectrum.
        second: likewise.

    Raises:
        UsageError: they differ in size.
    """
    levels = difference(first, second)
    outside = np.ones(levels.shape, bool)
    outside[len(levels) // 2, len(levels) // 2] = False
    return float(np.std(levels[outside]))


def distance_by_chance(first: int, second: int) -> float:
    """The distance to be expected of averages of so many periodograms each, if nothing told them apart.

    The logarithm of a mean of ``n`` independent exponential variables has the variance ``trigamma(n)``.
    Images that differ in contrast raise it: this is the least that chance makes.

    Args:
        first: independent periodograms in the one average, 1 or more.
        second: in the other.
    """
    return float(_DECIBELS * np.sqrt(special.polygamma(1, first) + special.polygamma(1, second)))
