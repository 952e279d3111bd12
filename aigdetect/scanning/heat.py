"""Heat maps of scored images: one PNG for each content, and a small picture for the page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aigdetect.files import write_atomically, writing
from aigdetect.model.calibration import Verdict
from aigdetect.scanning.engines import Engine
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.pipeline import Result
from aigdetect.scanning.scoring import SAME_CONTENT

if TYPE_CHECKING:  # it imports torch
    from aigdetect.model.detector import Detector

ALL: tuple[Verdict, ...] = ("ai", "uncertain", "real")
"""Verdicts of all scored images."""

FLAGGED: tuple[Verdict, ...] = ("ai",)
"""The verdict of flagged images."""


class HeatMaps:
    """Draws heat maps.

    Args:
        folder: where they are written, made with the first of them.
        detector: the model.
        engine: who decodes the images once more, all of their pixels.
        verdicts: of the images to draw; a heat map costs up to about 64 views of the model.
    """

    def __init__(
        self, folder: Path, detector: Detector, engine: Engine, verdicts: Collection[Verdict] = ALL
    ) -> None:
        self._folder = folder
        self._detector = detector
        self._engine = engine
        self._verdicts = verdicts

    def draw(self, result: Result) -> Pictures | None:
        """Write the heat map of a result to its file, named by digest, if it is one of those to draw.

        Returns:
            the pictures of the result, with a small heat map if one was drawn and there are others.

        Raises:
            UsageError: if the file cannot be written.
        """
        record, pictures = result.record, result.prepared.pictures
        if record.verdict not in self._verdicts or record.sha256 is None or SAME_CONTENT in record.notes:
            return pictures
        pixels = self._engine.pixels(record.path, record.sha256)
        if pixels is None:  # the file is another one by now
            return pictures
        from aigdetect.model.heatmap import heatmap, render, render_small

        heat = heatmap(self._detector, pixels)
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / f"{record.sha256}.png", render(heat, pixels))
        return pictures and replace(
            pictures, heatmap=render_small(heat, pixels), heatmap_caption=heat.caption
        )
