"""The band in which the radial profiles of camera photographs lie, made once and shipped with the program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import UsageError
from aigdetect.spectrum.fourier import Profile
from aigdetect.spectrum.residual import Channel

GRID = np.arange(2, 65) / 128
"""Frequencies of a band in cycles per pixel, float64 ``(63,)``; below, a high-pass residual holds nothing."""

PERCENTILES = (5, 25, 50, 75, 95)

_FILE = "camera_band.json"


@dataclass(frozen=True, eq=False)
class Band:
    """Percentiles of the normalised radial profiles of photographs.

    Attributes:
        frequency: :data:`GRID`.
        levels: ``(5, 63)`` float64, dB over the mean of each profile: the 5th, 25th, 50th, 75th and 95th
            percentile at each frequency.
        photographs: how many there were.
        sources: what they were, in words.
    """

    frequency: NDArray[np.float64]
    levels: NDArray[np.float64]
    photographs: int
    sources: str

    def outside(self, levels: NDArray[np.float64]) -> NDArray[np.int8]:
        """Where a normalised profile leaves the middle 90 %: 1 above, -1 below, else 0; ``(63,)``."""
        above, below = levels > self.levels[-1], levels < self.levels[0]
        where: NDArray[np.int8] = above.astype(np.int8) - below.astype(np.int8)
        return where


def normalised(profile: Profile) -> NDArray[np.float64]:
    """A profile on :data:`GRID` in decibels over its own mean there: form without level.

    Args:
        profile: of tiles of 64 pixels or more, with some power in every ring.

    Returns:
        ``(63,)`` float64; the mean of the powers behind it is 0 dB.
    """
    power = np.interp(GRID, profile.frequency, profile.power)
    power = np.maximum(power, np.finfo(np.float64).tiny)
    levels: NDArray[np.float64] = 10 * np.log10(power / power.mean())
    return levels


def make_band(profiles: Sequence[NDArray[np.float64]], sources: str) -> Band:
    """The band of some normalised profiles.

    Args:
        profiles: what :func:`normalised` gives, one per photograph.
        sources: what the photographs are, in words.

    Raises:
        UsageError: there are fewer than twenty: they have no 5th percentile.
    """
    if len(profiles) < 20:
        raise UsageError(f"a band needs 20 photographs at least, not {len(profiles)}")
    levels = np.percentile(np.stack(profiles), PERCENTILES, axis=0)
    return Band(GRID, levels, len(profiles), sources)


@cache
def camera_band(residual: str, channel: Channel) -> Band:
    """The shipped band of camera photographs.

    Args:
        residual: one of :data:`aigdetect.spectrum.residual.RESIDUALS`.
        channel: ``luminance`` or ``rgb``.
    """
    text = resources.files("aigdetect.spectrum").joinpath(_FILE).read_text(encoding="utf-8")
    return bands_from_json(text)[residual, channel]


def bands_as_json(bands: Mapping[tuple[str, Channel], Band]) -> str:
    """Bands by residual and channel as text, rounded to hundredths of a decibel."""
    content: dict[str, Any] = {
        "what": "percentiles of the normalised radial power profiles of photographs, in dB",
        "percentiles": PERCENTILES,
        "frequency": GRID.round(7).tolist(),
        "bands": [
            {
                "residual": residual,
                "channel": channel,
                "photographs": band.photographs,
                "sources": band.sources,
                "levels": band.levels.round(2).tolist(),
            }
            for (residual, channel), band in bands.items()
        ],
    }
    # one row of numbers a line
    return json.dumps(content, indent=1).replace(",\n     ", ", ").replace(",\n  0", ", 0") + "\n"


def bands_from_json(text: str) -> dict[tuple[str, Channel], Band]:
    """The way back from :func:`bands_as_json`."""
    return {
        (band["residual"], band["channel"]): Band(
            GRID, np.asarray(band["levels"], np.float64), int(band["photographs"]), str(band["sources"])
        )
        for band in json.loads(text)["bands"]
    }
