"""Heat maps of results: written beside the rows, or a note of why there is none."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aigdetect.errors import UsageError
from aigdetect.scanning.heat import ALL, FLAGGED, HeatMap, HeatMaps, with_heat_map
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.pipeline import Result
from aigdetect.scanning.preparation import Prepared
from aigdetect.scanning.record import Record

HEAT = HeatMap(b"large", b"small", "what it shows")


def result(pictures: Pictures | None = None) -> Result:
    record = Record("a.png", sha256="a" * 64, status="scored", verdict="real", notes=("first",), error=None)
    return Result(record, Prepared(record, pictures=pictures))


def test_a_heat_map_is_a_file_and_a_small_picture(tmp_path: Path) -> None:
    drawn = HeatMaps(tmp_path / "heat", lambda _: HEAT).draw(result(Pictures(b"thumbnail")))
    assert (tmp_path / "heat" / f"{'a' * 64}.png").read_bytes() == b"large"
    assert drawn.prepared.pictures == Pictures(
        b"thumbnail", heatmap=b"small", heatmap_caption="what it shows"
    )
    assert drawn.record == result().record
    plain = HeatMaps(tmp_path / "none", lambda _: HEAT, FLAGGED).draw(replace(result(), heat_map=HEAT))
    assert plain.heat_map is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("out\nof it"), "OutOfMemoryError: out of it"),
        (ZeroDivisionError("none"), "ZeroDivisionError: none"),
    ],
)
def test_why_a_heat_map_could_not_be_drawn_is_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    def fail(_: Result) -> HeatMap | None:
        raise error

    caplog.set_level(logging.DEBUG, "aigdetect")
    drawn = HeatMaps(tmp_path / "heat", fail).draw(result(Pictures(b"thumbnail")))
    assert drawn.record.notes == ("first", f"heat map not drawn: {said}")
    assert drawn.prepared.pictures == Pictures(b"thumbnail")
    assert caplog.text.count("Traceback") == 1
    # a worker on a cluster sends the traceback along with the row
    assert "Traceback" in with_heat_map(result(), fail, ALL).prepared.trace


def test_a_heat_map_that_cannot_be_written_ends_the_scan(tmp_path: Path) -> None:
    (tmp_path / "heat").touch()
    with pytest.raises(UsageError, match="heat: cannot be written"):
        HeatMaps(tmp_path / "heat", lambda _: HEAT).draw(result())
