"""All that a spectrum says of one image: from its pixels to numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import ImageError
from aigdetect.images.views import Pixels
from aigdetect.spectrum.fourier import Average, Mode, Power, Profile, Window, autocorrelation, radial_profile
from aigdetect.spectrum.peaks import FALSE_ALARM_RATE, Peak, find_peaks
from aigdetect.spectrum.residual import Channel, Tiling, residual_tiles, strength, tile_size


@dataclass(frozen=True, eq=False)
class Analysis:
    """The spectra of one image, and what was found in them.

    Attributes:
        width: of the image, in pixels.
        height: of the image, in pixels.
        residual: name of the residual, see :data:`residual.RESIDUALS`.
        channel: ``luminance`` or ``rgb`` (mean power of the three).
        size: side of the tiles in pixels.
        tiles: how many tiles were averaged.
        window: ``hann`` or None.
        false_alarm_rate: that the peaks were held to.
        power: ``(size, size)`` float64, centred power spectrum of the residual in squared grey levels.
        strength: ``(size, size)`` float64, centred power spectrum of the residual's strength, see
            :func:`residual.strength`.
        profile: power of the residual by radius.
        autocorrelation: of the residual, ``(size, size)`` float64, centred, 1 at lag zero.
        peaks: of both spectra, highest first.
    """

    width: int
    height: int
    residual: str
    channel: Channel
    size: int
    tiles: int
    window: Window | None
    false_alarm_rate: float
    power: Power
    strength: Power
    profile: Profile
    autocorrelation: NDArray[np.float64]
    peaks: tuple[Peak, ...]

    def as_dict(self) -> dict[str, Any]:
        """What a machine may read, ready for JSON; the two-dimensional arrays stay out."""
        return {
            "width": self.width,
            "height": self.height,
            "residual": self.residual,
            "channel": self.channel,
            "size": self.size,
            "tiles": self.tiles,
            "window": self.window,
            "false_alarm_rate": self.false_alarm_rate,
            "profile": {
                "frequency": self.profile.frequency.tolist(),
                "power": self.profile.power.tolist(),
            },
            "peaks": [peak.as_dict() for peak in self.peaks],
        }


def analyse(
    pixels: Pixels,
    *,
    residual: str = "median",
    channel: Channel = "luminance",
    tile: int = 512,
    tiles: Tiling = "center",
    window: Window | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> Analysis:
    """The spectra of an image's high-pass residual and of its strength, and the peaks that stand out of them.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, 0..255.
        residual: one of :data:`residual.RESIDUALS`.
        channel: ``luminance``, or ``rgb`` for each channel by itself. The three count as one tile, as they do
            not vary independently of each other.
        tile: side of the tiles in pixels, a power of two; a smaller image takes the largest that fits it.
        tiles: ``center`` for one tile, ``average`` for all that fit side by side.
        window: as in :func:`fourier.spectrum`.
        false_alarm_rate: 0..1, share of images without any periodic trace for which a peak may be reported.

    Raises:
        ImageError: the image is under 64 pixels on a side, or its residual is zero everywhere.
        UsageError: no such residual or tile size, or a rate out of its range.
    """
    height, width = pixels.shape[:2]
    size = tile_size(height, width, tile)
    plain, strong = Average(size, window=window), Average(size, window=window)
    for part in residual_tiles(pixels, size, kind=residual, channel=channel, tiles=tiles):
        plain, strong = plain.plus(part), strong.plus(strength(part))
    power = _present(plain).power()
    rate = false_alarm_rate
    waves = find_peaks(power, averaged=plain.independent, false_alarm_rate=rate, spectra=2)
    pulses = find_peaks(
        strong.power(),
        averaged=strong.independent,
        false_alarm_rate=rate,
        spectra=2,
        trace="strength",
        waves=waves,
    )
    return Analysis(
        width=width,
        height=height,
        residual=residual,
        channel=channel,
        size=size,
        tiles=plain.count,
        window=window,
        false_alarm_rate=false_alarm_rate,
        power=power,
        strength=strong.power(),
        profile=radial_profile(power),
        autocorrelation=autocorrelation(power),
        peaks=tuple(sorted(waves + pulses, key=lambda peak: -peak.height_db)),
    )


def average_tiles(
    pixels: Pixels,
    *,
    residual: str = "median",
    channel: Channel = "luminance",
    tile: int = 512,
    tiles: Tiling = "center",
    window: Window | None = None,
    mode: Mode = "power",
) -> Average:
    """The average spectrum of one image's residual, to be merged with those of other images.

    Args:
        pixels: as for :func:`analyse`, like the rest.
        residual: see there.
        channel: see there.
        tile: see there.
        tiles: see there.
        window: see there.
        mode: as in :class:`fourier.Average`.

    Raises:
        ImageError: see there.
        UsageError: no such residual or tile size.
    """
    height, width = pixels.shape[:2]
    average = Average(tile_size(height, width, tile), mode, window)
    for part in residual_tiles(pixels, average.size, kind=residual, channel=channel, tiles=tiles):
        average = average.plus(part)
    return _present(average)


def _present(average: Average) -> Average:
    """The average itself, if there is anything in it."""
    if not np.any(average.total):
        raise ImageError("nothing to see in a spectrum: the residual is zero everywhere")
    return average
