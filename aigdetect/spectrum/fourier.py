"""Centred, orthonormal Fourier spectra of square tiles, their averages and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from aigdetect.errors import UsageError

Power = NDArray[np.float64]
Window = Literal["hann"]
Mode = Literal["power", "coherent"]


def frequencies(size: int) -> NDArray[np.float64]:
    """Cycles per pixel of the ``size`` centred bins of an axis, ascending, with zero at ``size // 2``."""
    centred: NDArray[np.float64] = scipy.fft.fftshift(scipy.fft.fftfreq(size))
    return centred


def spectrum(tile: NDArray[Any], window: Window | None = None) -> NDArray[np.complex128]:
    """Centred orthonormal 2-D Fourier transform of a tile.

    Args:
        tile: ``(N, N)``, real.
        window: ``hann`` tapers the tile's edges, whose mismatch otherwise draws a cross through the centre;
            scaled so that the power of white noise stays what it is.

    Returns:
        ``(N, N)`` complex128, zero frequency at ``[N // 2, N // 2]``; without a window, its squared
        magnitudes add up to those of the tile (Parseval).
    """
    tapered = np.asarray(tile, np.float64) * _taper(len(tile), window)
    transformed: NDArray[np.complex128] = scipy.fft.fftshift(scipy.fft.fft2(tapered, norm="ortho"))
    return transformed


def power(tile: NDArray[Any], window: Window | None = None) -> Power:
    """Squared magnitude of :func:`spectrum`: ``(N, N)`` float64, in squared units of the tile.

    Args:
        tile: ``(N, N)``, or ``(N, N, C)`` for the mean over channels.
        window: as there.
    """
    return Average(len(tile), window=window).plus(tile).power()


@dataclass(frozen=True, eq=False)
class Average:
    """The average spectrum of any number of tiles in constant memory.

    ``power`` averages squared magnitudes and shows every periodic trace; ``coherent`` averages the complex
    coefficients, which is the spectrum of the mean tile, and shows only what has the same phase in all tiles.
    The two are different figures and say so by ``mode``.

    Attributes:
        size: side of the tiles in pixels.
        mode: ``power`` or ``coherent``.
        window: as in :func:`spectrum`.
        count: tiles so far.
        total: sum over the tiles of each channel on the half plane of non-negative ``fx``, uncentred,
            ``(C, N, N // 2 + 1)``: float64 powers, or complex128 coefficients; None while there are no tiles.
    """

    size: int
    mode: Mode = "power"
    window: Window | None = None
    count: int = 0
    total: NDArray[Any] | None = None

    def plus(self, tile: NDArray[Any]) -> Average:
        """The average with one more tile: ``(N, N)``, or ``(N, N, C)`` with the channels one by one."""
        channels = tile[None] if tile.ndim == 2 else np.moveaxis(tile, -1, 0)
        half = scipy.fft.rfft2(channels * _taper(self.size, self.window), norm="ortho")
        return self._with(half if self.mode == "coherent" else _square(half), 1)

    def merged(self, other: Average) -> Average:
        """The average over the tiles of both.

        Raises:
            UsageError: they differ in size, mode or window.
        """
        if (self.size, self.mode, self.window) != (other.size, other.mode, other.window):
            raise UsageError(
                f"averages of different kind cannot be merged: {self._kind()} and {other._kind()}"
            )
        return self if other.total is None else self._with(other.total, other.count)

    @property
    def independent(self) -> int:
        """How many independent periodograms a bin of :meth:`power` averages, for :func:`peaks.find_peaks`.

        One in coherent mode: the mean of complex normal coefficients is again one of them.
        """
        return self.count if self.mode == "power" else 1

    def power(self) -> Power:
        """Averaged power spectrum, ``(N, N)`` float64, centred; the mean over channels if there are many.

        Raises:
            UsageError: there is nothing to average yet.
        """
        if self.total is None:
            raise UsageError("an average of no tiles has no spectrum")
        mean = self.total / self.count
        return _whole(np.mean(mean if self.mode == "power" else _square(mean), axis=0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for ``numpy.savez``; :meth:`from_arrays` is the way back."""
        settings = {"size": self.size, "mode": self.mode, "window": self.window or "", "count": self.count}
        total = np.empty(0, self._dtype) if self.total is None else self.total
        return {name: np.asarray(value) for name, value in settings.items()} | {"total": total}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Average:
        """The average that :meth:`arrays` was called on, bit for bit.

        Raises:
            UsageError: the arrays are not those of an average.
        """
        try:
            total, size = arrays["total"], int(arrays["size"])
            mode, window = str(arrays["mode"]), str(arrays["window"]) or None
            average = cls(size, mode, window, int(arrays["count"]), total if total.size else None)  # type: ignore[arg-type]
            sound = (
                mode in {"power", "coherent"}
                and window in {None, "hann"}
                and total.dtype == average._dtype
                and (total.shape[1:] == (size, size // 2 + 1) if average.count > 0 else not total.size)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not the arrays of an average spectrum: {error}") from None
        if not sound:
            raise UsageError("not the arrays of an average spectrum: they do not fit each other")
        return average

    @property
    def _dtype(self) -> type[np.number[Any]]:
        return np.complex128 if self.mode == "coherent" else np.float64

    def _with(self, total: NDArray[Any], count: int) -> Average:
        return replace(
            self,
            total=total.astype(self._dtype) if self.total is None else self.total + total,
            count=self.count + count,
        )

    def _kind(self) -> str:
        return f"{self.mode}, {self.size} pixels, window {self.window or 'none'}"


@dataclass(frozen=True, eq=False)
class Profile:
    """Power by radius: the azimuthal average of a spectrum.

    Attributes:
        frequency: ``(N // 2 + 1,)`` float64, radius of each ring in cycles per pixel, 0..0.5.
        power: ``(N // 2 + 1,)`` float64, mean power of the bins of each ring.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]


def radial_profile(power: Power) -> Profile:
    """Mean power over rings one bin wide; the corners beyond 0.5 cycles per pixel belong to no ring.

    Args:
        power: ``(N, N)``, centred.
    """
    size = len(power)
    axis = np.arange(size) - size // 2
    ring = np.rint(np.hypot(axis[:, None], axis)).astype(np.intp)
    inside = ring <= size // 2
    count = np.bincount(ring[inside])
    return Profile(
        frequency=np.arange(len(count)) / size,
        power=np.bincount(ring[inside], weights=power[inside]) / count,
    )


def autocorrelation(power: Power) -> NDArray[np.float64]:
    """Circular autocorrelation of what has this power spectrum (Wiener and Khinchin).

    Args:
        power: ``(N, N)``, centred, not all zero.

    Returns:
        ``(N, N)`` float64, -1..1, zero lag at ``[N // 2, N // 2]`` with the value 1; one pixel a lag.
    """
    lags = scipy.fft.fft2(scipy.fft.ifftshift(power)).real
    centred: NDArray[np.float64] = scipy.fft.fftshift(lags / lags[0, 0])
    return centred


def rounding(power: Power) -> float:
    """What the rounding of the transform alone may leave in a bin of a spectrum."""
    return float(np.finfo(np.float32).eps ** 2 * power.sum())


def _taper(size: int, window: Window | None) -> Any:
    if window is None:
        return np.float32(1)
    line = np.sin(np.pi * np.arange(size) / size) ** 2  # periodic Hann
    line *= np.sqrt(size / np.sum(line**2))
    return (line[:, None] * line).astype(np.float32)


def _square(coefficients: NDArray[Any]) -> NDArray[Any]:
    squared: NDArray[Any] = coefficients.real**2 + coefficients.imag**2
    return squared


def _whole(half: NDArray[np.float64]) -> Power:
    """The centred plane from the half that a real tile's symmetric spectrum is known by."""
    size = len(half)
    mirrored = np.roll(half[::-1, ::-1], 1, axis=0)[:, 1 - size % 2 : size // 2]
    whole: Power = scipy.fft.fftshift(np.concatenate([half, mirrored], axis=1))
    return whole
