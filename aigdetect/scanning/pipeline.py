"""From files to records: prepare and score in a bounded stream, one record per image, in order.

An engine reads and decodes ahead while the model scores; how far ahead is bounded, so that memory does not
grow with the number of files. Nothing that a file does ends the scan: it becomes the error in its record.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigdetect.images.find import COMPANION, LINK, VIDEO, Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import MAX_BYTES
from aigdetect.scanning.engines import Engine, Threads, default_workers
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.preparation import Preparation, Prepared
from aigdetect.scanning.record import Record
from aigdetect.scanning.scoring import NO_OTHERS, EarlierRecords, Scorer, score_batch

if TYPE_CHECKING:
    from aigdetect.scanning.heat import HeatMap

_ROWS_PER_BATCH = 4  # rows held back for a full batch, as a multiple of it: errors between images count, too
_log = logging.getLogger(__name__)


@dataclass
class Tally:
    """Counts what a scan met.

    Attributes:
        scored: rows with a score.
        ai: those of this verdict, like the next two.
        uncertain: see there.
        real: see there.
        errors: rows without a score.
        others: files that deserve no row, without those of the next three.
        links: symbolic links inside folders that were not followed.
        companions: files that macOS keeps beside others.
        videos: files that hold moving pictures, where none of these is looked at.
        met: files that deserve one, also those that have one from before or belong to another part.
        replaced: rows that took the place of earlier ones, which are not counted any more.
    """

    scored: int = 0
    ai: int = 0
    uncertain: int = 0
    real: int = 0
    errors: int = 0
    others: int = 0
    links: int = 0
    companions: int = 0
    videos: int = 0
    met: int = 0
    replaced: int = 0

    @property
    def passed_over(self) -> int:
        """All that has no row."""
        return self.others + self.links + self.companions + self.videos

    @classmethod
    def of_outcomes(cls, outcomes: Mapping[str, int]) -> Tally:
        """The counts of rows that are there, by verdict or ``error``."""
        verdicts = {name: outcomes.get(name, 0) for name in ("ai", "uncertain", "real")}
        return cls(scored=sum(verdicts.values()), errors=outcomes.get("error", 0), **verdicts)

    def count(self, record: Record, *, instead_of: str | None = None) -> None:
        """Count one record, in the place of one with this outcome if it supersedes one."""
        if instead_of is not None:
            self.replaced += 1
            if instead_of == "error":
                self.errors -= 1
            else:
                self.scored -= 1
                setattr(self, instead_of, getattr(self, instead_of) - 1)
        if record.verdict is None:
            self.errors += 1
        else:
            self.scored += 1
            setattr(self, record.verdict, getattr(self, record.verdict) + 1)

    def without_others(self, found: Iterable[Found]) -> Iterator[Found]:
        """Pass on what deserves a record, and count the other files."""
        for item in found:
            if item.reason == LINK:
                self.links += 1
            elif item.reason == COMPANION:
                self.companions += 1
            elif item.reason == VIDEO:
                self.videos += 1
            elif item.kind == "other":
                self.others += 1
            else:
                self.met += 1
                yield item


@dataclass(frozen=True)
class Result:
    """What came out for one file.

    Attributes:
        record: its row, with those of its frames if it is a video.
        prepared: what the row was made of.
        heat_map: where in the image the evidence lies, if that was drawn together with the row.
    """

    record: Record
    prepared: Prepared
    heat_map: HeatMap | None = None

    @property
    def pictures_of_frames(self) -> tuple[Pictures | None, ...]:
        """For a page of results, one for each part of the record."""
        return tuple(frame.pictures for frame in self.prepared.frames)


def scan_found(
    found: Iterable[Found],
    scorer: Scorer,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Generator[Record, None, None]:
    """Score what was found, lazily, in threads of this process.

    Args:
        found: what :func:`aigdetect.images.find.find_files` gives; other files are passed over.
        scorer: the detector.
        workers: threads that read and decode; None for one per processor, at most 4.
        max_pixels: images of more pixels are not decoded.
        max_bytes: files of more bytes are not read.

    Yields:
        one record per image or error, in the order found, whatever the number of workers.
    """
    engine = Threads(Preparation(scorer.view, max_pixels, max_bytes), workers or default_workers())
    with closing(scan_with(engine, found, scorer)) as results:
        for result in results:
            yield result.record


def scan_with(
    engine: Engine,
    found: Iterable[Found],
    scorer: Scorer,
    *,
    known: EarlierRecords | None = None,
    also: Mapping[str, Scorer] = NO_OTHERS,
) -> Generator[Result, None, None]:
    """Score what was found, lazily.

    Args:
        engine: who reads and decodes; closed by the caller.
        found: what :func:`aigdetect.images.find.find_files` gives; other files are passed over.
        scorer: the detector.
        known: remembers what was scored, and spares files of the same content; it must know a record before
            the next one is asked for. None scores every file.
        also: further models, see :func:`score_batch`; the engine's preparation has a view for each.

    Yields:
        one result per image or error, in the order found, whatever the engine.
    """
    items = (item for item in found if item.kind != "other")
    with closing(engine.prepared(items, ahead=scorer.batch_size)) as prepared:
        for batch in _batches(prepared, scorer):
            for item, record in zip(batch, score_batch(batch, scorer, known, also), strict=True):
                yield Result(record, item)


def log_trace(item: Prepared) -> None:
    """Log the traceback of an unforeseen error with a file, if there was one."""
    if item.trace:
        _log.debug("%r\n%s", item.record.path, item.trace)


def _batches(prepared: Iterable[Prepared], scorer: Scorer) -> Iterator[list[Prepared]]:
    """Runs of items that hold one batch of views; errors go along, and do not wait if they come first."""
    batch: list[Prepared] = []
    views = 0
    for item in prepared:
        log_trace(item)
        batch.append(item)
        views += len(item.frames) or item.view is not None
        size = scorer.batch_size
        if not views or views >= size or len(batch) >= _ROWS_PER_BATCH * size:
            yield batch
            batch, views = [], 0
    if batch:
        yield batch
