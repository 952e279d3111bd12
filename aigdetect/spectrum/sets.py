"""Average spectra of sets of images, each a folder: what they are, how they compare, what stands out of them.

Images of a set differ in size, and nothing is ever resized. Every image is therefore averaged at each power
of two that it can give a tile of, and a set is shown at the largest that nearly all of its images reach. This
also lets sets of different sizes be compared: at the size that both have.
"""

# paths stay strings as given, as in images/find.py
# ruff: noqa: PTH120

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import UsageError
from aigdetect.spectrum.distance import difference, distance_by_chance, log_spectral_distance
from aigdetect.spectrum.fourier import Average, Mode, Power, Window
from aigdetect.spectrum.peaks import Peak, find_peaks
from aigdetect.spectrum.residual import Channel, Tiling

NEARLY_ALL = 0.9
"""Share of a set's images that must be large enough for the size at which the set is shown."""


@dataclass(frozen=True)
class Method:
    """How a spectrum is made.

    Attributes:
        residual: one of :data:`aigdetect.spectrum.residual.RESIDUALS`.
        channel: ``luminance`` or ``rgb``.
        tile: largest side of a tile in pixels.
        tiles: ``center`` or ``average``, see :func:`aigdetect.spectrum.residual.residual_tiles`.
        window: ``hann`` or None.
        average: ``power`` or ``coherent``, see :class:`aigdetect.spectrum.fourier.Average`.
    """

    residual: str = "median"
    channel: Channel = "luminance"
    tile: int = 512
    tiles: Tiling = "center"
    window: Window | None = None
    average: Mode = "power"


def method_facts(method: Method) -> dict[str, str]:
    """How spectra were made, as pairs of text for the metadata of a file."""
    return {
        "Averaging": method.average,
        "Residual": method.residual,
        "Channel": method.channel,
        "Tile": str(method.tile),
        "Tiles": method.tiles,
        "Window": method.window or "none",
    }


@dataclass(frozen=True)
class Failure:
    """A file that could not be taken in: its path as found, and one line that says why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class SetSpectrum:
    """The average spectrum of the images of one folder.

    Attributes:
        folder: path, as found.
        failed: files that could not be taken in.
        averages: by tile size: 64, 128 and so on.
        reached: by tile size, how many images give no larger tile than this.
    """

    folder: str
    failed: int = 0
    averages: dict[int, Average] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images that were averaged at some size."""
        return sum(self.reached.values())

    @property
    def size(self) -> int:
        """The largest tile size that nearly all images reach."""
        return max(size for size in self.averages if self.images_at(size) >= NEARLY_ALL * self.images)

    @property
    def mixed(self) -> bool:
        """Whether the images' own tile sizes differ."""
        return len(self.reached) > 1

    def images_at(self, size: int) -> int:
        """How many images the average at this tile size holds."""
        return sum(count for largest, count in self.reached.items() if largest >= size)

    def power(self, size: int | None = None) -> Power:
        """Average power spectrum, ``(size, size)`` centred; without a size at :attr:`size`."""
        return self.averages[size or self.size].power()

    def with_image(self, parts: Sequence[Average]) -> SetSpectrum:
        """The set with one more image, given by its averages at all its sizes."""
        averages = dict(self.averages)
        for part in parts:
            averages[part.size] = averages[part.size].merged(part) if part.size in averages else part
        largest = max(part.size for part in parts)
        reached = {**self.reached, largest: self.reached.get(largest, 0) + 1}
        return replace(self, averages=averages, reached=reached)


@dataclass(frozen=True, eq=False)
class Comparison:
    """How a set differs from a reference.

    Attributes:
        size: tile size at which they were compared.
        difference: ``(size, size)`` float64, dB, see :func:`aigdetect.spectrum.distance.difference`.
        distance_db: see :func:`aigdetect.spectrum.distance.log_spectral_distance`.
        by_chance_db: see :func:`aigdetect.spectrum.distance.distance_by_chance`.
    """

    size: int
    difference: NDArray[np.float64]
    distance_db: float
    by_chance_db: float


def compare(one: SetSpectrum, reference: SetSpectrum) -> Comparison:
    """A set against a reference, at the largest size at which both are shown or could be.

    Raises:
        UsageError: one of them holds nothing at that size.
    """
    size = min(one.size, reference.size)
    for each in (one, reference):
        if not np.any(each.averages[size].total):
            raise UsageError(
                f"{each.folder}: cannot be compared at {size} pixels, where its residual is zero everywhere; "
                "compare it with larger images"
            )
    first, second = one.averages[size], reference.averages[size]
    return Comparison(
        size=size,
        difference=difference(first.power(), second.power()),
        distance_db=log_spectral_distance(first.power(), second.power()),
        by_chance_db=distance_by_chance(first.independent, second.independent),
    )


def set_peaks(one: SetSpectrum, false_alarm_rate: float) -> tuple[Peak, ...]:
    """What stands out of a set's average spectrum, see :func:`aigdetect.spectrum.peaks.find_peaks`."""
    average = one.averages[one.size]
    return find_peaks(average.power(), averaged=average.independent, false_alarm_rate=false_alarm_rate)


def short_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Names of folders without what they all begin with; the last part of a single one."""
    absolute = [os.path.realpath(folder) for folder in folders]
    start = os.path.commonpath(absolute)
    if start in absolute:
        start = os.path.dirname(start)
    return tuple(os.path.relpath(folder, start) for folder in absolute)
