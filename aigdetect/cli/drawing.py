"""Spectra on standard output: tables with a picture or a profile on a terminal, plain lines anywhere else."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aigdetect.cli.printing import put
from aigdetect.cli.rows import shorten
from aigdetect.spectrum.analysis import Analysis
from aigdetect.spectrum.peaks import Peak
from aigdetect.spectrum.reference import GRID, Band, camera_band, normalised
from aigdetect.spectrum.sets import Comparison, SetSpectrum
from aigdetect.text import printable

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MARKS = {1: ("^", "red"), 0: (" ", ""), -1: ("v", "blue")}
_ROWS = 8
_TABLE_ROWS = 20
_LABEL = 9  # cells left of the blocks


def show_image(console: Console, path: str, analysis: Analysis, panel: Callable[[], bytes]) -> None:
    """What was found in one image.

    Args:
        console: of results.
        path: of the image.
        analysis: what came of it.
        panel: draws it as a PNG file; called only where the terminal can show pictures.
    """
    if not console.is_terminal:
        _print_lines(path, analysis.peaks)
        return
    console.print(Text(printable(path), style="bold"))
    picture = _picture_class()
    if picture is not None:
        console.print(picture(Image.open(io.BytesIO(panel())), width=min(console.width, 160)))
    else:
        band = camera_band(analysis.residual, analysis.channel)
        print_profile(console, normalised(analysis.profile), band)
    console.print(_peak_table(analysis.peaks, console))


def show_sets(
    console: Console,
    sets: Sequence[SetSpectrum],
    names: Sequence[str],
    peaks: Sequence[Sequence[Peak]],
    comparisons: Sequence[Comparison],
) -> None:
    """What was found in sets: on a terminal one row each."""
    if not console.is_terminal:
        for place, one in enumerate(sets):
            if comparisons:
                compared = comparisons[place]
                _print_line(one.folder, f"{compared.distance_db:.2f} dB from the reference")
            _print_lines(one.folder, peaks[place])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("folder", no_wrap=True)
    for title in ("images", "tile", "peaks"):
        table.add_column(title, justify="right", no_wrap=True)
    if comparisons:
        table.add_column("distance dB", justify="right", no_wrap=True)
    table.add_column("highest peaks (period in pixels, dB)", overflow="fold")
    room = max(20, console.width // 3)
    for place, one in enumerate(sets):
        cells: list[str | Text] = [
            Text(shorten(printable(names[place]), room)),
            str(one.images_at(one.size)),
            str(one.size),
            str(len(peaks[place])),
        ]
        if comparisons:
            cells.append(f"{comparisons[place].distance_db:.1f} ({comparisons[place].by_chance_db:.1f})")
        cells.append("; ".join(f"{peak.period:.2f} {peak.height_db:+.0f}" for peak in peaks[place][:3]))
        table.add_row(*cells)
    console.print(table)
    if comparisons:
        console.print("in brackets: the distance that chance alone makes, at least")


def _peak_table(peaks: Sequence[Peak], console: Console) -> Table | str:
    if not peaks:
        return "no peak stands out"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("fy", "fx", "period", "dB", "p"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("explanation", overflow="fold")
    for peak in peaks[:_TABLE_ROWS]:
        table.add_row(*_cells(peak))
    if len(peaks) > _TABLE_ROWS:
        table.add_row("", "", "", "", "", f"and {len(peaks) - _TABLE_ROWS} more: --json")
    return table


def _print_lines(path: str, peaks: Sequence[Peak]) -> None:
    """One line per peak, with tabs between: path, fy, fx, period, dB, p, explanation."""
    for peak in peaks:
        _print_line(path, *_cells(peak))
    if not peaks:
        _print_line(path, "no peak stands out")


def _print_line(*cells: str) -> None:
    put("\t".join(map(printable, cells)) + "\n")


def _cells(peak: Peak) -> tuple[str, ...]:
    return (
        f"{round(peak.fy, 4) + 0.0:.4f}",  # never -0.0000
        f"{round(peak.fx, 4) + 0.0:+.4f}",
        f"{peak.period:.2f}",
        f"{peak.height_db:.1f}",
        f"{peak.p_value:.0e}",
        peak.explanation,
    )


def print_profile(console: Console, levels: NDArray[np.float64], band: Band) -> None:
    """A radial profile as columns of blocks, with marks below where it leaves the band of photographs.

    Args:
        console: where to print.
        levels: ``(63,)`` float64, what :func:`aigdetect.spectrum.reference.normalised` gives.
        band: for the same residual and channel.
    """
    columns = max(8, min(len(GRID), console.width - _LABEL))
    at = np.linspace(0, len(GRID) - 1, columns).round().astype(int)
    low, high = (
        float(min(levels.min(), band.levels[0].min())),
        float(max(levels.max(), band.levels[-1].max())),
    )
    eighths = np.rint((levels[at] - low) / (high - low) * 8 * _ROWS).astype(int)
    plain = not console.encoding.lower().startswith("utf")
    console.print("radial profile of the residual's power, over its mean")
    for row in reversed(range(_ROWS)):
        label = {0: f"{low:+.0f} dB", _ROWS - 1: f"{high:+.0f} dB"}.get(row, "")
        blocks = "".join(_block(int(eighth) - 8 * row, plain) for eighth in eighths)
        console.print(f"{label:>{_LABEL - 2}} {'|' if plain else '│'}{blocks}")
    marks = Text(" " * _LABEL)
    for where in band.outside(levels)[at]:
        marks.append(*_MARKS[int(where)])
    if marks.plain.strip():
        console.print(marks)
    console.print(f"{'':{_LABEL}}{GRID[0]:.2f}{'cycles per pixel':^{columns - 8}}{GRID[-1]:.2f}")
    if marks.plain.strip():
        console.print(f"{'':{_LABEL}}^ above, v below 90 % of {band.photographs} photographs")


def _block(eighths: int, plain: bool) -> str:
    if plain:
        return "#" if eighths >= 4 else " "
    return _EIGHTHS[min(max(eighths, 0), 8)]


def _picture_class() -> Any:
    """What draws pictures in this terminal, or None if it cannot show any.

    Importing the library asks the terminal on standard input and output; where either is none, it may not.
    """
    if os.environ.get("TERM") == "dumb" or not (
        _can_be_asked(sys.__stdin__) and _can_be_asked(sys.__stdout__)
    ):
        return None
    logging.getLogger("textual_image").setLevel(logging.CRITICAL)
    try:
        from textual_image import renderable
    except Exception:  # noqa: BLE001 - a terminal that answers nonsense is one that shows no pictures
        return None
    drawn_as = renderable.Image
    return drawn_as if drawn_as in {renderable.SixelImage, renderable.TGPImage} else None


def _can_be_asked(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that knows its size and that this process may take over.

    A process in the background is stopped when it does so.
    """
    if stream is None or not stream.isatty() or not os.get_terminal_size(stream.fileno()).columns:
        return False
    return not hasattr(os, "tcgetpgrp") or os.tcgetpgrp(stream.fileno()) == os.getpgrp()
