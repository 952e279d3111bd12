"""One score for each content, and verdicts that flip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigdetect.evidence.findings import Finding, Kind
from aigdetect.evidence.provenance import Provenance
from aigdetect.files import path_digest
from aigdetect.images.views import Picture, Pixels
from aigdetect.model.calibration import NEVER, Thresholds
from aigdetect.scanning.journal import Journal
from aigdetect.scanning.opinion import Opinion, numbered, opinion_columns, opinions_in
from aigdetect.scanning.preparation import Prepared, metadata_unread
from aigdetect.scanning.record import Record
from aigdetect.scanning.scoring import SAME_CONTENT, score_batch
from aigdetect.scanning.stability import MILD, Stability


@dataclass
class Mean:
    """A detector that says the mean of a view, and counts its views."""

    batch_size: int = 4
    precision: str = "float32"
    card: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="mean"))
    half_rates: Thresholds = NEVER
    views: int = 0

    def view(self, picture: Picture, /) -> Pixels:
        return np.asarray(picture)

    def score_views(self, views: Sequence[Pixels], /) -> list[Any]:
        self.views += len(views)
        means = [float(view.mean()) for view in views]
        if 99 in means:
            raise RuntimeError("will not do")
        return [
            SimpleNamespace(
                logit=mean,
                score=mean / 255,
                log10_lr=0.0,
                verdict="ai" if mean > 100 else "real",
                kind=None,
                notes=(),
            )
            for mean in means
        ]


class Memory:
    """What a ledger knows."""

    def __init__(self, *records: Record) -> None:
        self.records = {record.sha256: record for record in records}

    def find(self, sha256: str, path: str, /) -> Record | None:
        return self.records.get(sha256)


def prepared(path: str, level: int, *changed: int, notes: tuple[str, ...] = ()) -> Prepared:
    views = [np.full((1, 2, 2, 3), value, np.uint8) for value in (level, *changed)]
    return Prepared(Record(path, sha256=f"{level:064x}", notes=notes), views[0], tuple(views[1:]))


def test_the_same_content_is_scored_once(scorer: Mean) -> None:
    batch = [
        prepared(name, level, notes=("low",)) for name, level in zip("abcd", (1, 200, 1, 1), strict=True)
    ]
    records = list(score_batch(batch, scorer, Memory()))
    assert scorer.views == 2
    assert [record.logit for record in records] == [1, 200, 1, 1]
    assert [record.path for record in records] == list("abcd")
    assert [record.notes for record in records] == [
        ("low",),
        ("low",),
        ("low", SAME_CONTENT),
        ("low", SAME_CONTENT),
    ]
    assert replace(records[2], path="a", notes=("low",)) == records[0]


def test_content_known_from_before_is_not_scored(scorer: Mean) -> None:
    (first,) = score_batch([prepared("a", 7)], scorer, None)
    (second,) = score_batch([prepared("b", 7)], scorer, Memory(first))
    assert scorer.views == 1
    assert second == replace(first, path="b", notes=(SAME_CONTENT,))


UNREAD = metadata_unread("took longer than 60 s")
FOUND = Provenance(findings=(Finding(Kind.METADATA, "XMP", "present, unreadable"),))


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("known_first", [True, False])
def test_whether_the_metadata_of_a_file_were_read_is_its_own(
    scorer: Mean, at_once: bool, known_first: bool
) -> None:
    known = prepared("known", 7, notes=("low", *FOUND.notes))
    lost = prepared("lost", 7, notes=("low", UNREAD))
    known = replace(known, record=replace(known.record, provenance=FOUND))
    lost = replace(lost, record=replace(lost.record, cause="time"))
    first, second = (known, lost) if known_first else (lost, known)
    with Journal.begin(None, {}) as journal:

        def find(sha256: str, path: str, /) -> Record | None:
            return journal.find(sha256, path_digest(path))

        memory = SimpleNamespace(find=find)
        if at_once:
            records = list(score_batch([first, second], scorer, memory))
        else:
            records = list(score_batch([first], scorer, memory))
            digest = path_digest(first.record.path)
            journal.add(records[0], path=digest, fingerprint="00", place=0, ends=())
            records += score_batch([second], scorer, memory)
    assert scorer.views == 1
    assert SAME_CONTENT in records[1].notes
    assert {
        each.path: (each.provenance, each.cause, set(each.notes) - {SAME_CONTENT}) for each in records
    } == {"known": (FOUND, "file", {"low", *FOUND.notes}), "lost": (None, "time", {"low", UNREAD})}


def test_a_failure_to_score_and_its_cause_are_those_of_all_with_the_content(scorer: Mean) -> None:
    records = list(score_batch([prepared("a", 99), prepared("b", 99)], scorer, Memory()))
    assert [(each.error, each.cause) for each in records] == [
        ("scoring failed: RuntimeError: will not do", "scoring")
    ] * 2
    opinions = list(score_batch([seen("a", 7, 99), seen("b", 7, 99)], scorer, Memory(), {"one": Mean()}))
    assert [each.cause for each in opinions] == ["scoring"] * 2


def test_without_a_memory_every_file_is_scored(scorer: Mean) -> None:
    records = list(score_batch([prepared("a", 7), prepared("b", 7)], scorer, None))
    assert scorer.views == 2
    assert not any(record.notes for record in records)


# --- further models ----------------------------------------------------------------------------------------


def seen(path: str, level: int, *further: int | None) -> Prepared:
    views = [None if each is None else np.full((1, 3, 3, 3), each, np.uint8) for each in further]
    return replace(prepared(path, level), also=tuple(views))


def test_further_models_change_nothing_but_their_own_columns(scorer: Mean) -> None:
    batch = [seen("a", 7, 200, 5), seen("b", 200, 8, 6), seen("c", 7, 200, 5)]
    broken = Prepared(Record("d").failed("broken"))
    others = {"one": Mean(), "two": Mean()}
    records = list(score_batch([*batch, broken], scorer, Memory(), others))
    alone = list(score_batch([*batch, broken], Mean(), Memory()))
    assert [replace(record, also=()) for record in records] == alone
    assert [[opinion.verdict for opinion in record.also] for record in records] == [
        ["ai", "real"],
        ["real", "real"],
        ["ai", "real"],
        [None, None],
    ]
    assert records[0].also[0] == Opinion("one", 200 / 255, "ai")
    assert (scorer.views, others["one"].views) == (2, 2)  # each content once
    assert list(records[3].as_dict())[-4:] == list(opinion_columns(["one", "two"]))


def test_an_opinion_that_fails_is_empty_noted_and_may_pass(scorer: Mean) -> None:
    batch = [seen("a", 7, 99), seen("b", 200, None), seen("c", 8, 9)]
    records = list(score_batch(batch, scorer, None, {"one": Mean()}))
    assert [record.verdict for record in records] == ["real", "ai", "real"]
    assert [record.also[0].score for record in records] == [None, None, 9 / 255]
    assert [record.notes for record in records] == [
        ("one: scoring failed: RuntimeError: will not do",),
        ("one: out of memory",),
        (),
    ]
    assert [record.cause for record in records] == ["scoring", "memory", "file"]


def test_what_is_in_doubt_is_uncertain_for_all(scorer: Mean) -> None:
    doubtful = seen("a", 200, 200)
    doubtful = replace(doubtful, record=replace(doubtful.record, doubtful=True))
    (record,) = score_batch([doubtful], scorer, None, {"one": Mean()})
    assert (record.verdict, record.also[0].verdict) == ("uncertain", "uncertain")


def test_columns_are_named_after_models_and_read_back() -> None:
    names = numbered(["npr", "x_score_y", "npr"])
    assert names == ("npr", "x_score_y", "npr #2")
    row = Record("a", also=tuple(Opinion(name, 0.5, "ai") for name in names)).as_dict()
    assert opinions_in(row) == dict.fromkeys(names, (0.5, "ai"))
    assert opinions_in({"score": 1, "score_x": 2}) == {}


# --- contents and changes ----------------------------------------------------------------------------------


def test_a_twin_of_a_failure_fails_alike(scorer: Mean) -> None:
    records = list(score_batch([prepared("a", 99), prepared("b", 1), prepared("c", 99)], scorer, Memory()))
    assert [record.error for record in records] == [
        "scoring failed: RuntimeError: will not do",
        None,
        "scoring failed: RuntimeError: will not do",
    ]


def test_errors_are_no_twins(scorer: Mean) -> None:
    failed = Prepared(Record("a", sha256="0" * 64).failed("broken"))
    records = list(
        score_batch([failed, replace(failed, record=replace(failed.record, path="b"))], scorer, Memory())
    )
    assert [record.notes for record in records] == [(), ()]
    assert scorer.views == 0


def test_a_verdict_that_flips_becomes_uncertain(scorer: Mean) -> None:
    steady, flips = score_batch(
        [prepared("a", 200, 190, 199, 201), prepared("b", 110, 111, 90, 101)], scorer, None
    )
    assert (steady.verdict, steady.notes) == ("ai", ())
    assert steady.stability == Stability((190.0, 199.0, 201.0), ("ai", "ai", "ai"))
    assert (flips.verdict, flips.logit) == ("uncertain", 110)
    assert flips.notes == (f"verdict not stable: real after {MILD[1].name}",)
    assert flips.as_dict()["stability"] == {
        "JPEG 90": {"logit": 111.0, "verdict": "ai"},
        "resize 0.9": {"logit": 90.0, "verdict": "real"},
        "blur 0.5": {"logit": 101.0, "verdict": "ai"},
    }
    assert Stability.from_dict(flips.as_dict()["stability"]) == flips.stability


def test_a_change_that_cannot_be_scored_costs_the_stability_only(scorer: Mean) -> None:
    (record,) = score_batch([prepared("a", 200, 190, 99, 201)], scorer, None)
    assert (record.verdict, record.stability) == ("ai", None)
    assert record.notes == ("stability not measured: scoring failed",)


def test_mild_changes_are_mild() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:100, :120]
    pixels = np.stack([2 * rows, 2 * columns, rows + columns], axis=2).astype(np.uint8)
    pixels[::7] = rng.integers(0, 256, 3)
    for change in MILD:
        changed = change.apply(pixels)
        assert np.array_equal(changed, change.apply(pixels))
        assert changed.shape == ((90, 108, 3) if "resize" in change.name else pixels.shape)
        assert abs(float(changed.mean()) - float(pixels.mean())) < 2


@pytest.fixture
def scorer() -> Mean:
    return Mean()
