"""What the frequency of a peak is consistent with; never what it proves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float]
"""``(fy, fx)`` in cycles per pixel, -0.5..0.5."""

NOTHING_KNOWN = "nothing known"

_JPEG_BLOCK = 8
_UPSAMPLING = (2, 4, 8, 16)
_HARMONICS = (1, 2, 3)


def explain(places: Sequence[Place], size: int, *, waves: Sequence[Place] = ()) -> tuple[str, ...]:
    """Name every known cause that each peak of a spectrum is consistent with.

    What repeats every n pixels has its energy at multiples of ``1 / n``: the blocks of JPEG (n = 8), the
    zeros that an upsampling layer inserts (n = its factor), a Bayer pattern (n = 2; Gallagher and Chen, Image
    authentication by detecting traces of demosaicing, 2008). Resampling by a ratio ``s`` repeats with the
    period of the phase between old and new pixels, at ``1 / s`` and its multiples modulo 1 (Gallagher,
    Detection of linear and cubic interpolation in JPEG compressed images, 2005), along both axes: a peak
    alone on one of them, or on one diagonal, is not taken for that. One frequency is left by several ratios,
    and all are named.

    Args:
        places: ``(fy, fx)`` of all peaks of one spectrum in cycles per pixel, highest first: resampling shows
            by the company that a peak keeps.
        size: bins on a side of the spectrum; a peak is placed to half a bin.
        waves: places of the peaks of the residual, if the spectrum is that of its strength: a wave is strong
            twice in each period.

    Returns:
        for each place ``"consistent with ..."``, or :data:`NOTHING_KNOWN`.
    """
    tolerance = 0.5 / size
    steps = _steps_both_ways(places, tolerance)
    doubled = 2 * _rows(waves)
    return tuple(_words(place, steps, doubled, tolerance) for place in places)


def _rows(places: Sequence[Place]) -> NDArray[np.float64]:
    """``(P, 2)``: a drawn pattern has peaks by the thousand, too many to be compared one by one."""
    return np.array(places, np.float64).reshape(-1, 2)


def _words(place: Place, steps: Sequence[float], doubled: NDArray[np.float64], tolerance: float) -> str:
    causes = []
    if _on_grid(place, _JPEG_BLOCK, tolerance):
        causes.append("the JPEG 8x8 grid")
    factors = [str(factor) for factor in _UPSAMPLING if _on_grid(place, factor, tolerance)]
    if factors:
        causes.append(f"upsampling by {_any_of(factors)}")
    if _on_grid(place, 2, tolerance):
        causes.append("demosaicing of a Bayer pattern")
    for step in steps:
        if all(abs(f) <= tolerance or _is_harmonic(f, step, tolerance) for f in place):
            ratios = sorted({1 / (1 + step), 1 / (1 - step), 1 / step})
            causes.append(f"resampling by {_any_of([f'{ratio:.3g}' for ratio in ratios])}")
            if not _on_grid((step, 0), _JPEG_BLOCK, tolerance):
                causes.append(f"a JPEG 8x8 grid resized by {1 / (_JPEG_BLOCK * step):.3g}")
            break  # it may be a multiple of a lower peak's, too, which adds nothing
    if _is_wave_among(doubled, place, 3 * tolerance):
        causes.append("twice the frequency of a peak of the residual itself")
    return f"consistent with {'; '.join(causes)}" if causes else NOTHING_KNOWN


def _is_wave_among(others: NDArray[np.float64], place: Place, tolerance: float) -> bool:
    """Whether a place, or its mirror image, is one of ``(P, 2)`` others; Nyquist has both signs."""
    apart = np.stack([place - others, place + others])
    return bool((np.abs(apart - np.rint(apart)) <= tolerance).all(axis=-1).any())


def _on_grid(place: Place, parts: int, tolerance: float) -> bool:
    """Whether both frequencies are multiples of ``1 / parts``."""
    return all(abs(f - round(f * parts) / parts) <= tolerance for f in place)


def _is_harmonic(frequency: float, step: float, tolerance: float) -> bool:
    """Whether a frequency is a low multiple of a step, folded into -0.5..0.5; the step is uncertain, too."""
    return any(
        abs(abs(frequency) - abs(order * step - round(order * step))) <= (1 + order) * tolerance
        for order in _HARMONICS
    )


def _steps_both_ways(places: Sequence[Place], tolerance: float) -> list[float]:
    """Frequencies at which both axes or both diagonals have a peak, but no multiples of a higher peak's."""
    peaks = _rows(places)

    def is_peak(fy: float, fx: float) -> bool:
        return bool((np.abs(peaks - (fy, fx)) <= 2 * tolerance).all(axis=-1).any())

    steps: list[float] = []
    for f in [max(abs(fy), abs(fx)) for fy, fx in places]:
        both = (is_peak(f, 0) and is_peak(0, f)) or (is_peak(f, f) and is_peak(f, -f))
        if both and not any(_is_harmonic(f, step, tolerance) for step in steps):
            steps.append(f)
    return steps


def _any_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
