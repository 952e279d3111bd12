"""From files to records: read, decode and score in a bounded stream, one record per image, in order.

Worker threads read and decode ahead while the model scores; how far ahead is bounded, so that memory does not
grow with the number of files. Nothing that a file does ends the scan: it becomes the error in its record.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from aigdetect.errors import ImageError
from aigdetect.evidence.provenance import read_provenance
from aigdetect.images.decode import decode, require_scorable
from aigdetect.images.find import Found
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import MAX_BYTES, read_bytes, why_failed
from aigdetect.images.views import Pixels
from aigdetect.scanning.record import Record, Scored

_ROWS_PER_BATCH = 4  # rows held back for a full batch, as a multiple of it: errors between images count, too
_log = logging.getLogger(__name__)


class _Card(Protocol):
    @property
    def name(self) -> str: ...


class Scorer(Protocol):
    """What a scan needs of a detector (``aigdetect.Detector``)."""

    @property
    def card(self) -> _Card:
        """What the model is."""

    @property
    def precision(self) -> str:
        """Arithmetic in use."""

    @property
    def batch_size(self) -> int:
        """Images per pass; may shrink."""

    def view(self, pixels: Pixels, /) -> Pixels:
        """What the model sees of an image; called from several threads at once."""

    def score_views(self, views: Sequence[Pixels], /) -> Sequence[Scored]:
        """One score per view, in order."""


@dataclass
class Tally:
    """Counts what a scan met."""

    scored: int = 0
    ai: int = 0
    uncertain: int = 0
    real: int = 0
    errors: int = 0
    others: int = 0

    def count(self, record: Record) -> None:
        """Count one record."""
        if record.verdict is None:
            self.errors += 1
        else:
            self.scored += 1
            setattr(self, record.verdict, getattr(self, record.verdict) + 1)

    def without_others(self, found: Iterable[Found]) -> Iterator[Found]:
        """Pass on what deserves a record, and count the other files."""
        for item in found:
            if item.kind == "other":
                self.others += 1
            else:
                yield item


def scan_found(
    found: Iterable[Found],
    scorer: Scorer,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Generator[Record, None, None]:
    """Score what was found, lazily.

    Args:
        found: what :func:`aigdetect.images.find.find_files` gives; other files are passed over.
        scorer: the detector.
        workers: threads that read and decode; None for one per processor, at most 4.
        max_pixels: images of more pixels are not decoded.
        max_bytes: files of more bytes are not read.

    Yields:
        one record per image or error, in the order found, whatever the number of workers.
    """
    workers = workers or default_workers()
    prepare = _Preparation(scorer, max_pixels, max_bytes)
    items = (item for item in found if item.kind != "other")
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        prepared = _in_order(pool, prepare, items, ahead=scorer.batch_size + workers)
        for batch in _batches(prepared, scorer):
            yield from _score(batch, scorer)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def default_workers() -> int:
    """Threads that read and decode unless told otherwise."""
    return min(4, os.cpu_count() or 1)


# -- reading and decoding, in the worker threads -----------------------------------------------------------


@dataclass(frozen=True)
class _Prepared:
    """A record without a score, and the view to score; no view if it cannot be scored."""

    record: Record
    view: Pixels | None = None


@dataclass(frozen=True)
class _Preparation:
    scorer: Scorer
    max_pixels: int
    max_bytes: int

    def __call__(self, item: Found) -> _Prepared:
        """Read and decode one file; never raises."""
        record = Record(item.path)
        if item.kind == "error":
            return _Prepared(record.failed(item.reason))
        try:
            data = read_bytes(item.path, self.max_bytes)
            record = replace(
                record, sha256=hashlib.sha256(data).hexdigest(), provenance=read_provenance(data)
            )
            image = decode(data, max_pixels=self.max_pixels)
            record = replace(
                record, format=image.format, width=image.width, height=image.height, notes=image.notes
            )
            require_scorable(image)
            # a copy: a slice would keep all the pixels of its image in memory
            return _Prepared(record, self.scorer.view(image.pixels).copy())
        except ImageError as error:
            return _Prepared(_with_facts(record, error).failed(why_failed(error)))
        except BaseException as error:  # noqa: BLE001 - a panic in a decoder written in Rust is no Exception
            _log.debug("%r", item.path, exc_info=True)
            return _Prepared(record.failed(why_failed(error)))


def _with_facts(record: Record, error: ImageError) -> Record:
    """What the header told before decoding failed."""
    return replace(
        record,
        format=record.format or error.format or None,
        width=error.width if record.width is None else record.width,
        height=error.height if record.height is None else record.height,
    )


# -- scoring, in the caller's thread -----------------------------------------------------------------------


def _in_order(
    pool: ThreadPoolExecutor, prepare: _Preparation, items: Iterable[Found], *, ahead: int
) -> Iterator[_Prepared]:
    """Prepare items in the pool, at most ``ahead`` of them before they are asked for."""
    pending: deque[Future[_Prepared]] = deque()
    for item in items:
        pending.append(pool.submit(prepare, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batches(prepared: Iterable[_Prepared], scorer: Scorer) -> Iterator[list[_Prepared]]:
    """Runs of items that hold one batch of views; errors go along, and do not wait if they come first."""
    batch: list[_Prepared] = []
    views = 0
    for item in prepared:
        batch.append(item)
        views += item.view is not None
        size = scorer.batch_size
        if not views or views >= size or len(batch) >= _ROWS_PER_BATCH * size:
            yield batch
            batch, views = [], 0
    if batch:
        yield batch


def _score(batch: list[_Prepared], scorer: Scorer) -> Iterator[Record]:
    outcomes = iter(_outcomes([item.view for item in batch if item.view is not None], scorer))
    for item in batch:
        yield item.record if item.view is None else _scored(item.record, next(outcomes), scorer)


def _outcomes(views: list[Pixels], scorer: Scorer) -> Sequence[Scored | Exception]:
    """One score per view; if they cannot be scored together each is tried alone, and may fail alone."""
    if not views:
        return []
    try:
        return scorer.score_views(views)
    except Exception as error:  # noqa: BLE001 - rows of other files must not be lost
        _log.debug("scoring %d images", len(views), exc_info=True)
        if len(views) == 1:
            return [error]
    return [outcome for view in views for outcome in _outcomes([view], scorer)]


def _scored(record: Record, outcome: Scored | Exception, scorer: Scorer) -> Record:
    if isinstance(outcome, Exception):
        return record.failed(f"scoring failed: {why_failed(outcome)}")
    if not all(map(math.isfinite, (outcome.logit, outcome.score, outcome.log10_lr))):
        return record.failed("scoring failed: the model gave no finite number")
    return record.scored(outcome, model=scorer.card.name, precision=scorer.precision)
