"""Spectra as pictures: a panel of one image, and the average spectra of many sets on one sheet.

Every spectrum is drawn in decibels over its own median, so that one scale of colours serves all; frequencies
are in cycles per pixel, zero in the middle, rows downwards as in the image.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import aigdetect
from aigdetect.errors import UsageError
from aigdetect.images.views import Pixels
from aigdetect.spectrum.analysis import Analysis
from aigdetect.spectrum.distance import over_median
from aigdetect.spectrum.fourier import Power, Profile
from aigdetect.spectrum.peaks import Peak
from aigdetect.spectrum.reference import GRID, Band, normalised
from aigdetect.spectrum.residual import residual_tiles
from aigdetect.spectrum.sets import Comparison, Method, SetSpectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_SETS = 64
"""A sheet of more sets than this cannot be read."""

CAVEAT = (
    "Periodic traces also come from ordinary processing: JPEG and other block coding, resizing, demosaicing, "
    "printing and scanning. They can be removed, and generators need not leave any. What a peak is "
    "consistent with is no proof of it, and no peak is no proof of a camera."
)

IMAGE_LIMITS = (-12.0, 30.0)
"""Of one image's spectrum in dB: fixed, so that pictures can be compared."""

_LISTED = 12  # peaks that a panel lists, as far as they need no more than
_LINES = 26
_SHOWN = 640  # pixels at most on a side of the image as a panel shows it
_CELL = 256  # pixels on a side of a spectrum on a sheet


def draw_panel(
    pixels: Pixels, analysis: Analysis, band: Band, *, title: str, reference: Profile | None = None
) -> Figure:
    """One image: pixels, residual, both spectra with their peaks, radial profile, list of peaks.

    Args:
        pixels: ``(H, W, 3)`` uint8, what was analysed.
        analysis: what came of it.
        band: of camera photographs, for the same residual and channel.
        title: printable text, such as the file's name.
        reference: profile of a reference of the user's own, drawn beside the band.
    """
    figure = _figure(16, 11.6)
    grid = figure.add_gridspec(2, 3, left=0.04, right=0.985, top=0.915, bottom=0.115, wspace=0.2, hspace=0.2)
    figure.text(0.04, 0.965, _shortened(title, 110), fontsize=15, weight="bold", parse_math=False)
    figure.text(0.04, 0.943, _facts_line(analysis), fontsize=10, color="0.3", parse_math=False)
    _draw_image(figure.add_subplot(grid[0, 0]), pixels, analysis)
    _draw_residual(figure.add_subplot(grid[0, 1]), pixels, analysis)
    _draw_profile(figure.add_subplot(grid[0, 2]), analysis, band, reference)
    spectra = (
        (analysis.power, "residual", "Spectrum of the residual"),
        (analysis.strength, "strength", "Spectrum of the residual's strength log(1 + |r|)"),
    )
    for column, (power, trace, name) in enumerate(spectra):
        axes = figure.add_subplot(grid[1, column])
        shown = _draw_spectrum(axes, over_median(power), IMAGE_LIMITS)
        axes.set_title(name, fontsize=11)
        numbered = [(n, peak) for n, peak in enumerate(analysis.peaks, start=1) if peak.trace == trace]
        _mark_peaks(axes, numbered)
        if column:
            axes.set_ylabel("")
            _scale(figure, shown, (0.655, 0.13, 0.007, 0.2), "dB over the median")
    _list_peaks(figure.add_subplot(grid[1, 2]), analysis)
    caption = textwrap.fill(
        f"Grey band: radial profiles of {band.photographs} JPEG photographs ({band.sources}), middle 50 % "
        f"and 90 %. {CAVEAT}",
        215,
    )
    figure.text(0.04, 0.02, caption, fontsize=9, color="0.3", va="bottom", parse_math=False)
    return figure


def draw_sheet(
    sets: Sequence[SetSpectrum],
    names: Sequence[str],
    method: Method,
    *,
    reference: str = "",
    comparisons: Sequence[Comparison] = (),
) -> Figure:
    """The average spectra of sets side by side on one scale, and below each its difference to a reference.

    Spectra of more than 256 pixels are drawn at half or a quarter of their size, each point as the highest of
    the bins behind it: averaging would hide single bins.

    Args:
        sets: one or more.
        names: of the sets, printable.
        method: how the spectra were made.
        reference: name of the reference, printable, if there is one.
        comparisons: of each set with it.

    Raises:
        UsageError: there are more than :data:`MAX_SETS`.
    """
    if len(sets) > MAX_SETS:
        raise UsageError(f"{len(sets)} folders do not fit on a sheet, {MAX_SETS} do; join some with --depth")
    levels = [coarse(over_median(one.power())) for one in sets]
    limits = _common_limits(levels)
    differences = [_coarse_signed(one.difference) for one in comparisons]
    bound = _common_bound(differences)
    columns = min(6, len(sets))
    rows = math.ceil(len(sets) / columns) * (2 if comparisons else 1)
    width, height = max(8.0, columns * 2.95 + 1.9), rows * 3.2 + 2.3  # inches
    figure = _figure(width, height)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.6 / width,
        right=1 - 1.3 / width,
        top=1 - 1.35 / height,
        bottom=0.95 / height,
        wspace=0.12,
        hspace=0.3,
    )
    for place, (one, name) in enumerate(zip(sets, names, strict=True)):
        row, column = divmod(place, columns)
        axes = figure.add_subplot(grid[row * (2 if comparisons else 1), column])
        shown = _draw_spectrum(axes, levels[place], limits, small=True)
        axes.set_title(f"{_shortened(name, 34)}\n{_set_line(one)}", fontsize=9, parse_math=False)
        if comparisons:
            below = figure.add_subplot(grid[row * 2 + 1, column])
            changed = _draw_spectrum(below, differences[place], (-bound, bound), colours="RdBu_r", small=True)
            below.set_title(_comparison_line(comparisons[place]), fontsize=9)
    at = (1 - 1.1 / width, 1 - 3.85 / height, 0.2 / width, 2.5 / height)
    _scale(figure, shown, at, "dB over each spectrum's median")
    if comparisons:
        at = (1 - 1.1 / width, 1 - 7.05 / height, 0.2 / width, 2.5 / height)
        _scale(figure, changed, at, f"dB over {_shortened(reference, 30)}")
    heading = f"Average spectra of residuals (aigdetect {aigdetect.__version__})"
    figure.text(0.6 / width, 1 - 0.42 / height, heading, fontsize=15, weight="bold")
    figure.text(0.6 / width, 1 - 0.68 / height, method_line(method), fontsize=10, color="0.3")
    caption = textwrap.fill(
        "Axes: cycles per pixel, -0.5 to 0.5, zero in the middle. Number of images and tile size above each; "
        f"images were never resized. {CAVEAT}",
        int(width * 11.5),
    )
    figure.text(0.6 / width, 0.12 / height, caption, fontsize=9, color="0.3", va="bottom")
    return figure


def method_line(method: Method) -> str:
    """How spectra were made, in one line."""
    kind = {"power": "mean of the power", "coherent": "power of the mean (coherent)"}[method.average]
    return (
        f"{kind}; {method.residual} residual; {method.channel}; "
        f"{'centre tile' if method.tiles == 'center' else 'all tiles'} of at most {method.tile} pixels; "
        f"window: {method.window or 'none'}"
    )


def as_png(figure: Figure, facts: Mapping[str, str], *, dots_per_inch: int = 100) -> bytes:
    """A figure as a PNG file whose text chunks say how it was made.

    Args:
        figure: what to draw.
        facts: keyword to printable text; the program and its version are added.
        dots_per_inch: resolution.
    """
    data = io.BytesIO()
    metadata = {**facts, "Software": f"aigdetect {aigdetect.__version__}"}
    with warnings.catch_warnings():
        # a file's name may be in a script that the font has no glyphs for: a box is drawn, and that is enough
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(data, format="png", dpi=dots_per_inch, metadata=metadata)
    return data.getvalue()


# -- parts of a panel --------------------------------------------------------------------------------------


def _draw_image(axes: Axes, pixels: Pixels, analysis: Analysis) -> None:
    from matplotlib.patches import Rectangle

    height, width = pixels.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_SHOWN, _SHOWN))
    axes.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
    across, down = (width // analysis.size, height // analysis.size) if analysis.tiles > 1 else (1, 1)
    spread = (across * analysis.size, down * analysis.size)
    corner = ((width - spread[0]) // 2, (height - spread[1]) // 2)
    axes.add_patch(Rectangle(corner, *spread, fill=False, edgecolor="red", linewidth=1.2))
    axes.set_title(f"Image, {width} x {height} pixels; what was analysed", fontsize=11)
    axes.tick_params(labelsize=8)


def _draw_residual(axes: Axes, pixels: Pixels, analysis: Analysis) -> None:
    tile = next(residual_tiles(pixels, analysis.size, kind=analysis.residual, channel=analysis.channel))
    if tile.ndim == 3:
        tile = tile.mean(axis=-1)
    # a few strong edges would leave everything else grey
    bound = max(float(np.percentile(np.abs(tile), 99)), 0.5)
    axes.imshow(tile, cmap="gray", vmin=-bound, vmax=bound, interpolation="nearest")
    axes.set_title(f"Residual ({analysis.residual}), ±{bound:.1f} grey levels", fontsize=11)
    axes.tick_params(labelsize=8)


def _draw_profile(axes: Axes, analysis: Analysis, band: Band, reference: Profile | None) -> None:
    low, lower, middle, upper, high = band.levels
    axes.fill_between(GRID, low, high, color="0.88", label="photographs, 90 %")
    axes.fill_between(GRID, lower, upper, color="0.75", label="photographs, 50 %")
    axes.plot(GRID, middle, color="0.5", linewidth=1, label="photographs, median")
    if reference is not None:
        axes.plot(GRID, normalised(reference), color="tab:blue", linewidth=1.2, label="reference")
    axes.plot(GRID, normalised(analysis.profile), color="tab:red", linewidth=1.4, label="this image")
    axes.set(xlim=(0, 0.5), xlabel="cycles per pixel", ylabel="dB over the mean")
    axes.set_title("Radial profile of the residual's power", fontsize=11)
    axes.legend(fontsize=8, loc="best")
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=8)


def _draw_spectrum(
    axes: Axes,
    levels: NDArray[np.float64],
    limits: tuple[float, float],
    *,
    colours: str = "inferno",
    small: bool = False,
) -> Any:
    half = 0.5 / len(levels)  # bins are drawn about their frequency
    shown = axes.imshow(
        levels,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(-0.5 - half, 0.5 - half, 0.5 - half, -0.5 - half),
        interpolation="nearest",
    )
    ticks = (-0.5, 0, 0.5) if small else (-0.5, -0.375, -0.25, -0.125, 0, 0.125, 0.25, 0.375, 0.5)
    axes.set(xticks=ticks, yticks=ticks, xlim=(-0.5 - half, 0.5 - half), ylim=(0.5 - half, -0.5 - half))
    axes.tick_params(labelsize=7, length=2)
    if small:
        axes.set(xticklabels=[], yticklabels=[])
    else:
        axes.set_xlabel("fx, cycles per pixel", fontsize=9)
        axes.set_ylabel("fy, cycles per pixel", fontsize=9)
    return shown


def _mark_peaks(axes: Axes, numbered: Sequence[tuple[int, Peak]]) -> None:
    for number, peak in numbered:
        for sign in (1, -1):
            axes.plot(
                sign * peak.fx,
                sign * peak.fy,
                "o",
                markersize=10,
                markerfacecolor="none",
                markeredgecolor="cyan",
                markeredgewidth=1,
                clip_on=False,
            )
        if number <= _LISTED:
            axes.annotate(
                str(number),
                (peak.fx, peak.fy),
                xytext=(6, 6),
                textcoords="offset points",
                color="cyan",
                fontsize=9,
                annotation_clip=False,
            )


def _list_peaks(axes: Axes, analysis: Analysis) -> None:
    axes.axis("off")
    axes.set_title(f"Peaks at a false-alarm rate of {analysis.false_alarm_rate:.3g}", fontsize=11, loc="left")
    text = "\n".join(_peak_lines(analysis.peaks)) or "none"
    axes.text(
        0, 0.98, text, family="monospace", fontsize=8.5, va="top", transform=axes.transAxes, parse_math=False
    )


def _peak_lines(peaks: Sequence[Peak]) -> list[str]:
    """A table of as many peaks as fit; an explanation stands below the last of those it holds for."""
    lines = [f"{'':2} {'fy':>7} {'fx':>7} {'period':>7} {'dB':>5} {'p':>6}"] if peaks else []
    for number, peak in enumerate(peaks, start=1):
        if number > _LISTED or len(lines) > _LINES:
            return [*lines, f"and {len(peaks) - number + 1} more"]
        lines.append(
            f"{number:2} {round(peak.fy, 4) + 0.0:7.4f} {round(peak.fx, 4) + 0.0:+7.4f} "  # never -0.0000
            f"{peak.period:7.2f} {peak.height_db:5.1f} "
            f"{peak.p_value:6.0e}"
        )
        if number == len(peaks) or number == _LISTED or peaks[number].explanation != peak.explanation:
            lines += textwrap.wrap(peak.explanation, 58, initial_indent="   ", subsequent_indent="   ")
    return lines


def _facts_line(analysis: Analysis) -> str:
    tiles = "centre tile" if analysis.tiles == 1 else f"mean power of {analysis.tiles} tiles"
    return (
        f"{analysis.residual} residual; {analysis.channel}; {tiles} of {analysis.size} pixels; "
        f"window: {analysis.window or 'none'}; aigdetect {aigdetect.__version__}"
    )


# -- parts of a sheet --------------------------------------------------------------------------------------


def _set_line(one: SetSpectrum) -> str:
    used = one.images_at(one.size)
    images = f"{used} of {one.images} images" if used < one.images else f"{used} images"
    return f"{images}, {one.size} px{', mixed sizes' if one.mixed else ''}"


def _comparison_line(compared: Comparison) -> str:
    return (
        f"difference: {compared.distance_db:.1f} dB RMS\n({compared.by_chance_db:.1f} dB by chance at least)"
    )


def coarse(levels: Power, points: int = _CELL) -> Power:
    """Highest level of the bins behind each point, at ``points`` a side at most; both are powers of two."""
    factor = max(1, len(levels) // points)
    side = len(levels) // factor
    highest: Power = levels.reshape(side, factor, side, factor).max(axis=(1, 3))
    return highest


def _coarse_signed(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level that is furthest from zero, likewise."""
    highest, lowest = coarse(levels), -coarse(-levels)
    return np.where(highest >= -lowest, highest, lowest)


def _common_limits(levels: Sequence[Power]) -> tuple[float, float]:
    """One scale for all: what lies outside is a few bins of each."""
    low = min(float(np.percentile(one, 0.5)) for one in levels)
    high = max(float(np.percentile(one, 99.8)) for one in levels)
    return math.floor(low), max(math.ceil(high), math.floor(low) + 1)


def _common_bound(differences: Sequence[NDArray[np.float64]]) -> float:
    return max((float(np.percentile(np.abs(one), 99.5)) for one in differences), default=1.0) or 1.0


def _scale(figure: Figure, shown: Any, place: tuple[float, float, float, float], label: str) -> None:
    """The scale of colours: left, bottom, width and height as shares of the figure."""
    axes = figure.add_axes(place)
    figure.colorbar(shown, cax=axes)
    axes.set_ylabel(label, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=8)


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, drawn without a screen and without matplotlib's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _shortened(text: str, length: int) -> str:
    """Text cut in the middle; its end tells more and keeps more."""
    if len(text) <= length:
        return text
    head = length // 3
    return f"{text[:head]}…{text[head + 1 - length :]}"
