"""From prepared files to records: each content is scored once, and an image may fail alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from aigdetect.errors import ImageError
from aigdetect.images.read import why_failed
from aigdetect.images.views import Picture, Pixels
from aigdetect.model.calibration import Thresholds
from aigdetect.scanning.preparation import Prepared, metadata_unread
from aigdetect.scanning.record import Record, Scored
from aigdetect.scanning.stability import Stability
from aigdetect.scanning.summary import summed_up

SAME_CONTENT = "same content as an earlier file"
"""The note of a record whose score is that of another file with the same bytes."""

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

    @property
    def half_rates(self) -> Thresholds:
        """Logits beyond which lie at most half as many images as the thresholds of its verdicts allow."""

    def view(self, picture: Picture, /) -> Pixels:
        """What the model sees of an image; called from several threads at once."""

    def score_views(self, views: Sequence[Pixels], /) -> Sequence[Scored]:
        """One score per view, in order."""


NO_OTHERS: Mapping[str, Scorer] = MappingProxyType({})
"""No further models."""


class EarlierRecords(Protocol):
    """Remembers records by content."""

    def find(self, sha256: str, path: str, /) -> Record | None:
        """The first scored record of another file than ``path`` with this digest, without its path.

        None if there is none: what the file's own earlier record says does not count.
        """


def score_batch(
    batch: Sequence[Prepared],
    scorer: Scorer,
    known: EarlierRecords | None,
    also: Mapping[str, Scorer] = NO_OTHERS,
) -> Iterator[Record]:
    """Score a batch: one record per item, in order.

    Args:
        batch: what was prepared.
        scorer: the detector.
        known: records before this batch; files with the same content are not scored again. None scores all.
        also: further models by what they are called, in the order of what was prepared for them; what they
            say stands beside the record, and changes nothing in it.
    """
    twins = _twins(batch, known) if known else {}
    alone = [item for at, item in enumerate(batch) if at not in twins]
    records = iter(_with_opinions(list(_records(alone, scorer)), alone, also))
    done: list[Record] = []
    for at, item in enumerate(batch):
        if at in twins:
            twin = twins[at]
            done.append(_like(item.record, done[twin] if isinstance(twin, int) else twin))
        else:
            done.append(next(records))
    yield from done


def _records(items: Sequence[Prepared], scorer: Scorer) -> Iterator[Record]:
    """One record per item, whatever the contents of the others."""
    views = [each for item in items for each in (item, *item.frames) if each.view is not None]
    scored = iter(_score(views, scorer))
    for item in items:
        if item.frames:
            frames = [frame.record if frame.view is None else next(scored) for frame in item.frames]
            yield summed_up(item.record, frames, scorer.half_rates)
        else:
            yield item.record if item.view is None else next(scored)


def _with_opinions(
    records: Sequence[Record], items: Sequence[Prepared], also: Mapping[str, Scorer]
) -> Sequence[Record]:
    """The records of items with what further models say of each, and of its frames."""
    for place, (model, scorer) in enumerate(also.items()):
        seen = [item.seen_by(place) for item in items]
        records = [
            _heard(record, model, said, item)
            for record, said, item in zip(records, _records(seen, scorer), items, strict=True)
        ]
    return records


def _heard(record: Record, model: str, said: Record, item: Prepared) -> Record:
    parts = zip(record.parts, said.parts, item.frames, strict=True)
    heard = tuple(_heard(part, model, of_part, frame) for part, of_part, frame in parts)
    return replace(record.heard(model, said, item.record), parts=heard)


def like_earlier(record: Record, known: EarlierRecords) -> Record:
    """A record as it is if an earlier file had the same content: with the earlier one's score, and a note.

    Args:
        record: that of a file which was scored without knowing of the others.
        known: records before it.
    """
    if record.verdict is None or record.sha256 is None:
        return record
    earlier = known.find(record.sha256, record.path)
    return record if earlier is None else _like(record, earlier)


def _twins(batch: Sequence[Prepared], known: EarlierRecords) -> dict[int, Record | int]:
    """By place in the batch: an earlier record, or the place of an item, with the same content."""
    twins: dict[int, Record | int] = {}
    first: dict[str, int] = {}
    for at, item in enumerate(batch):
        digest = item.record.sha256
        if item.view is None or digest is None:
            continue
        if digest in first:
            twins[at] = first[digest]
        elif (earlier := known.find(digest, item.record.path)) is not None:
            twins[at] = earlier
        else:
            first[digest] = at
    return twins


def _like(record: Record, twin: Record) -> Record:
    """A record with the score, or the failure to score, of one with the same content.

    What kept the metadata of the one file from being read says nothing of those of the other.
    """
    of_twin = twin.error or any(opinion.verdict is None for opinion in twin.also)
    return replace(
        record,
        status=twin.status,
        verdict=twin.verdict,
        score=twin.score,
        logit=twin.logit,
        log10_lr=twin.log10_lr,
        notes=(*notes_on_pixels(twin), *_notes_on_metadata(record), SAME_CONTENT),
        error=twin.error,
        cause=twin.cause if of_twin and record.cause == "file" else record.cause,
        model=twin.model,
        precision=twin.precision,
        stability=twin.stability,
        kind=twin.kind,
        also=twin.also,
    )


def notes_on_pixels(record: Record) -> tuple[str, ...]:
    """The notes of a record that hold of any file with the same content, be its metadata read or not."""
    of_metadata = _notes_on_metadata(record)
    return tuple(note for note in record.notes if note not in of_metadata)


def _notes_on_metadata(record: Record) -> tuple[str, ...]:
    told = record.provenance.notes if record.provenance else ()
    return tuple(note for note in record.notes if note in told or note.startswith(metadata_unread("")))


def _score(items: Sequence[Prepared], scorer: Scorer) -> Iterator[Record]:
    outcomes = _outcomes([item.view for item in items if item.view is not None], scorer)
    changed = iter(_outcomes([variant for item in items for variant in item.variants], scorer))
    for item, outcome in zip(items, outcomes, strict=True):
        record = _scored(item.record, outcome, scorer)
        after = [next(changed) for _ in item.variants]
        yield _steadied(record, after) if after else record


def _outcomes(views: Sequence[Pixels], scorer: Scorer) -> Sequence[Scored | Exception]:
    """One score per view; if they cannot be scored together each is tried alone, and may fail alone."""
    if not views:
        return []
    try:
        return [_finite(score) for score in scorer.score_views(views)]
    except Exception as error:  # noqa: BLE001 - rows of other files must not be lost
        _log.debug("scoring %d images", len(views), exc_info=True)
        if len(views) == 1:
            return [error]
    return [outcome for view in views for outcome in _outcomes([view], scorer)]


def _finite(score: Scored) -> Scored | Exception:
    if all(map(math.isfinite, (score.logit, score.score, score.log10_lr))):
        return score
    return ImageError("the model gave no finite number")


def _scored(record: Record, outcome: Scored | Exception, scorer: Scorer) -> Record:
    if isinstance(outcome, Exception):
        return record.failed(f"scoring failed: {why_failed(outcome)}", "scoring")
    return record.scored(outcome, model=scorer.card.name, precision=scorer.precision)


def _steadied(record: Record, after: Sequence[Scored | Exception]) -> Record:
    scores = [outcome for outcome in after if not isinstance(outcome, Exception)]
    if len(scores) < len(after):
        return record.noted("stability not measured: scoring failed")
    return record.steadied(
        Stability(tuple(score.logit for score in scores), tuple(score.verdict for score in scores))
    )
