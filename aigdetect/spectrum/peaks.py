"""Which bins of a power spectrum stand out of their surroundings by more than chance allows.

The spectrum of a photograph is not flat, and edges draw ridges through its centre. A bin must therefore
stand out of its surroundings in a square and along four directions each, under the law in :mod:`chance`, and
the largest of the five probabilities counts (intersection-union test: Berger, Technometrics 24, 1982). The
rate of false alarms is controlled over all bins by Bonferroni's inequality, which holds however they depend
on each other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from aigdetect.errors import UsageError
from aigdetect.spectrum.chance import RatioLaw
from aigdetect.spectrum.explain import explain
from aigdetect.spectrum.fourier import Power, rounding

Trace = Literal["residual", "strength"]

FALSE_ALARM_RATE = 0.01
"""Share of spectra without any periodic trace in which :func:`find_peaks` may report something."""

_GUARD = 2  # bins next to a peak that it spills into: no part of its background
_REACH = 16  # how far the background reaches along a line
_SQUARE = 4  # how far it reaches all round
_APART = 4  # two peaks are at least so many bins apart on one axis, or one of them is the other's foot


@dataclass(frozen=True)
class Peak:
    """One periodic component of an image.

    Attributes:
        fy: vertical frequency in cycles per pixel, 0..0.5 (or below zero by at most half a bin);
            ``(-fy, -fx)`` is the same wave.
        fx: horizontal frequency in cycles per pixel, -0.5..0.5.
        period: pixels from crest to crest across the wave, ``1 / hypot(fy, fx)``.
        height_db: power over the local background in decibels.
        p_value: probability that noise raises any bin of the spectrum as high over its surroundings; where
            it is below the smallest normal number (2e-308), that number.
        explanation: what the frequency is consistent with, in words; ``nothing known`` if nothing is.
            Followed by ``(in the residual's strength)`` if it is this that has the period.
        trace: the spectrum that holds the peak: that of the ``residual`` or of its ``strength``.
    """

    fy: float
    fx: float
    period: float
    height_db: float
    p_value: float
    explanation: str
    trace: Trace = "residual"

    def as_dict(self) -> dict[str, float | str]:
        """The peak as plain data: all that is above, except for the trace, which the explanation names."""
        return {name: value for name, value in asdict(self).items() if name != "trace"}


def find_peaks(
    power: Power,
    *,
    averaged: int = 1,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    spectra: int = 1,
    trace: Trace = "residual",
    waves: Sequence[Peak] = (),
) -> tuple[Peak, ...]:
    """Bins that stand out of their surroundings, highest first.

    Args:
        power: ``(N, N)`` centred power spectrum of real tiles, N even and at least 64.
        averaged: how many independent periodograms it averages.
        false_alarm_rate: 0..1, share of spectra without a periodic trace in which any peak may be reported.
        spectra: how many spectra are searched for one verdict, to which rate and p-values then apply.
        trace: what the spectrum is of.
        waves: peaks of the residual, for those of its strength to be explained by.

    Returns:
        one peak for each wave, not one for each of its two symmetric bins. A peak is placed between bins
        by the parabola through its neighbours, to within half a bin.

    Raises:
        UsageError: the spectrum is of no such shape, or a number is out of its range.
    """
    size = len(power)
    if power.shape != (size, size) or size < 64 or size % 2:
        raise UsageError(f"peaks need a square spectrum of an even side from 64 on, not {power.shape}")
    if averaged < 1 or not 0 < false_alarm_rate < 1:
        raise UsageError(f"no peaks for {averaged} spectra at a false-alarm rate of {false_alarm_rate}")
    # rows of non-negative fy first: half of the plane is half of the work
    plane = np.roll(power, size // 2, axis=0)
    tested = _tested(size)
    highest = ndimage.maximum_filter(plane, 2 * _APART + 1, mode="wrap")[: len(tested)]
    bins = np.nonzero(tested & (plane[: len(tested)] == highest))
    expected, chance = _against_surroundings(plane, averaged, bins)
    p_values = np.maximum(chance * np.count_nonzero(tested) * spectra, sys.float_info.min)
    noise = expected * special.gammaincinv(averaged, 0.99) / averaged
    found = np.flatnonzero(p_values <= false_alarm_rate)
    found = found[np.argsort(-plane[bins][found] / expected[found], kind="stable")]
    places = [_place(plane, int(bins[0][i]), int(bins[1][i]), noise[i]) for i in found]
    return tuple(
        Peak(
            fy=fy,
            fx=fx,
            period=1 / float(np.hypot(fy, fx)),
            height_db=float(10 * np.log10(plane[bins][i] / expected[i])),
            p_value=float(p_values[i]),
            explanation=explanation + (" (in the residual's strength)" if trace == "strength" else ""),
            trace=trace,
        )
        for i, (fy, fx), explanation in zip(
            found, places, explain(places, size, waves=[(wave.fy, wave.fx) for wave in waves]), strict=True
        )
    )


def _against_surroundings(
    plane: Power, averaged: int, bins: tuple[NDArray[np.intp], ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expected power of bins, and the probability that noise raises each so far over all surroundings."""
    size = len(plane)
    half = plane[: size // 2 + 1]
    own_mirror = (bins[0] % (size // 2) == 0) & (bins[1] % (size // 2) == 0)
    least = rounding(plane)
    expected, chance = np.zeros(len(own_mirror)), np.zeros(len(own_mirror))
    for offsets, repeating in zip(_neighbourhoods(), _repeating(size), strict=True):
        rank = 3 * len(offsets) // 4  # as Rohling recommends
        cells = np.stack(_neighbours(plane.astype(np.float32), offsets))
        statistic = np.maximum(np.partition(cells, rank - 1, axis=0)[rank - 1], least)
        law = RatioLaw(averaged, len(offsets), rank).fitted((half / statistic)[_tested(size)])
        expected = np.maximum(expected, statistic[bins] * law.expectation)
        ratio = half[bins] / statistic[bins]
        chance = np.maximum(chance, _tail(law, ratio, repeating[bins], own_mirror))
    return expected, chance


def _tail(
    law: RatioLaw, ratio: NDArray[np.float64], repeating: NDArray[np.bool_], own_mirror: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The law's tail for each ratio, with half of the cells where some repeat others by symmetry."""
    tail = np.empty_like(ratio)
    for divisor, share in product((1, 2), (1.0, 0.5)):
        these = (repeating == (divisor == 2)) & (own_mirror == (share == 0.5))
        if not these.any():
            continue
        fitting = replace(law, cells=law.cells // divisor, rank=law.rank // divisor, bin_share=share)
        tail[these] = fitting.tail(ratio[these])
    return tail


def _place(plane: Power, row: int, column: int, noise: float) -> tuple[float, float]:
    """``(fy, fx)`` of the peak at a bin, moved by the neighbours as far as they rise over the noise."""
    size = len(plane)
    above, here, below = np.maximum(plane[[row - 1, row, (row + 1) % size], column] - noise, 0)
    left, _, right = np.maximum(plane[row, [column - 1, column, (column + 1) % size]] - noise, 0)
    fy = (row + _vertex(above, here, below)) / size
    fx = (column + _vertex(left, here, right)) / size - 0.5
    fx -= round(fx)  # a bin at -0.5 may lie beyond it
    if fy > 0.5:
        fy, fx = 1 - fy, -fx
    return fy + 0.0, (0.5 if fx == -0.5 else fx) + 0.0  # no minus zero


def _vertex(before: float, here: float, after: float) -> float:
    """Vertex of the parabola through three values at -1, 0 and 1: -0.5..0.5, as the middle is highest."""
    bend = 2 * here - before - after
    return float((after - before) / (2 * bend)) if bend > 0 else 0.0


def _neighbourhoods() -> tuple[tuple[tuple[int, int], ...], ...]:
    """The cells around a bin as ``(rows, columns)`` from it: a square, and lines in four directions."""
    steps = [step for step in range(-_REACH, _REACH + 1) if abs(step) > _GUARD]
    sides = range(-_SQUARE, _SQUARE + 1)
    square = tuple((y, x) for y, x in product(sides, sides) if max(abs(y), abs(x)) > _GUARD)
    lines = (tuple((y * step, x * step) for step in steps) for y, x in ((0, 1), (1, 0), (1, 1), (1, -1)))
    return (square, *lines)


def _neighbours(plane: NDArray[Any], offsets: tuple[tuple[int, int], ...]) -> list[NDArray[Any]]:
    """The plane as seen from each offset, rows of non-negative ``fy`` only; a spectrum has no edges."""
    size = len(plane)
    padded = np.pad(plane, _REACH, mode="wrap")
    return [
        padded[_REACH + y : _REACH + y + size // 2 + 1, _REACH + x : _REACH + x + size] for y, x in offsets
    ]


@lru_cache(maxsize=8)
def _repeating(size: int) -> tuple[NDArray[np.bool_], ...]:
    """For each neighbourhood the bins some of whose cells are each other's mirror image, and so equal."""
    rows, columns = np.indices((size, size), np.int32)
    itself, mirror = rows * size + columns, -rows % size * size + -columns % size
    wave = np.minimum(itself, mirror)
    return tuple(
        (np.diff(np.sort(np.stack(_neighbours(wave, offsets)), axis=0), axis=0) == 0).any(axis=0)
        for offsets in _neighbourhoods()
    )


@lru_cache(maxsize=8)
def _tested(size: int) -> NDArray[np.bool_]:
    """One bin of each symmetric pair, without those so near to zero frequency that nothing surrounds them."""
    tested = np.ones((size // 2 + 1, size), np.bool_)
    tested[[0, -1], 1 : size // 2] = False
    tested[: _SQUARE + 1, size // 2 - _SQUARE : size // 2 + _SQUARE + 1] = False
    return tested
