"""Heat maps of scored images: one PNG for each content, and a small picture for the page."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aigdetect.files import write_atomically, writing
from aigdetect.images.read import why_failed
from aigdetect.model.calibration import Verdict
from aigdetect.replacing import Form, require_own
from aigdetect.scanning.engines import Engine
from aigdetect.scanning.pipeline import Result, log_trace
from aigdetect.scanning.record import Record
from aigdetect.scanning.scoring import SAME_CONTENT

if TYPE_CHECKING:  # the first imports torch
    from aigdetect.model.detector import Detector

ALL: tuple[Verdict, ...] = ("ai", "uncertain", "real")
"""Verdicts of all scored images."""

FLAGGED: tuple[Verdict, ...] = ("ai",)
"""The verdict of flagged images."""


@dataclass(frozen=True)
class HeatMap:
    """A heat map as pictures in memory.

    Attributes:
        png: the file for those who look closely.
        small: the picture for a page.
        caption: what they show.
    """

    png: bytes
    small: bytes
    caption: str


def draw_heat_map(detector: Detector, engine: Engine, record: Record) -> HeatMap | None:
    """Draw where the evidence lies in the image of a scored record.

    Args:
        detector: the model; a heat map costs up to about 64 views of it.
        engine: who decodes the image once more, all of its pixels.
        record: its row.

    Returns:
        the heat map; None if the file is another one by now.
    """
    pixels = None if record.sha256 is None else engine.pixels(record.path, record.sha256)
    if pixels is None:
        return None
    from aigdetect.model.heatmap import heatmap, render, render_small

    heat = heatmap(detector, pixels)
    return HeatMap(render(heat, pixels), render_small(heat, pixels), heat.caption)


def deserves_heat_map(record: Record, verdicts: Collection[Verdict]) -> bool:
    """Whether the image of a record is one of those to draw: each content once, and no video.

    Args:
        record: its row.
        verdicts: of the images to draw.
    """
    return (
        record.verdict in verdicts
        and record.sha256 is not None
        and record.frames is None
        and SAME_CONTENT not in record.notes
    )


def with_heat_map(
    result: Result, draw: Callable[[Result], HeatMap | None], verdicts: Collection[Verdict]
) -> Result:
    """A result with its heat map, if it is one of those to draw; why it could not be drawn is a note.

    Args:
        result: a row, and what it was made of.
        draw: draws a heat map; None if the file is another one by now.
        verdicts: of the images to draw.
    """
    if not deserves_heat_map(result.record, verdicts):
        return replace(result, heat_map=None)  # a worker that knew of no other file may have drawn one
    try:
        return replace(result, heat_map=draw(result))
    except Exception as error:  # noqa: BLE001 - rows of this and other files must not be lost
        prepared = replace(result.prepared, trace=traceback.format_exc())
        log_trace(prepared)
        record = result.record.noted(f"heat map not drawn: {why_failed(error)}")
        return replace(result, record=record, prepared=prepared)


class HeatMaps:
    """Writes heat maps.

    Args:
        folder: where they are written, made with the first of them.
        draw: draws one.
        verdicts: of the images to draw.
    """

    def __init__(
        self,
        folder: Path,
        draw: Callable[[Result], HeatMap | None],
        verdicts: Collection[Verdict] = ALL,
    ) -> None:
        self._folder = folder
        self._draw = draw
        self._verdicts = verdicts

    def draw(self, result: Result) -> Result:
        """Write the heat map of a result to its file, named by digest, if it is one of those to draw.

        Returns:
            the result; with a small heat map if one was drawn and there are other pictures, and with a note
            if one could not be drawn.

        Raises:
            UsageError: if the file cannot be written, or is there and no heat map.
        """
        result = with_heat_map(result, self._draw, self._verdicts)
        heat, pictures = result.heat_map, result.prepared.pictures
        if heat is None:
            return result
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{result.record.sha256}.png"
        if file.exists():
            require_own(file, Form.PICTURE)
        write_atomically(file, heat.png)
        if pictures is None:
            return result
        pictures = replace(pictures, heatmap=heat.small, heatmap_caption=heat.caption)
        return replace(result, prepared=replace(result.prepared, pictures=pictures))
