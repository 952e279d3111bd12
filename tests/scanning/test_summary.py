"""The rows of a video: what is said of the whole, and what workers may say of its frames."""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clips import make_clip

from aigdetect.images.find import Found
from aigdetect.images.video import Sampling
from aigdetect.images.views import Picture, Pixels
from aigdetect.model.calibration import NEVER, Thresholds
from aigdetect.scanning.decoding.form import FormError
from aigdetect.scanning.decoding.messages import answer_prepared, receive_prepared
from aigdetect.scanning.decoding.workers import Processes
from aigdetect.scanning.engines import Threads
from aigdetect.scanning.pipeline import scan_with
from aigdetect.scanning.preparation import Preparation, Prepared
from aigdetect.scanning.record import Record
from aigdetect.scanning.summary import NOT_MEASURED, summed_up

HALF_RATES = Thresholds(ai=6.0, real=-6.0)
WHOLE_RATES = Thresholds(ai=5.0, real=-5.0)
VIDEO = Record("clip.mp4", sha256="a" * 64, format="MP4")


def frames(*logits: float) -> list[Record]:
    return [
        replace(
            Record("clip.mp4", time=float(second)),
            status="scored",
            verdict=WHOLE_RATES.verdict(logit),
            score=0.5,
            logit=logit,
            log10_lr=logit / 10,
            error=None,
            model="m",
            precision="float32",
        )
        for second, logit in enumerate(logits)
    ]


# --- what is said of the whole -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "verdict", "middle"),
    [
        ((9,), "ai", 9),
        ((9, 9), "ai", 9),
        ((9, -9), "uncertain", -9),  # half of them are not more than half
        ((9, 9, 9, -9), "ai", 9),
        ((9, 9, -9, -9), "uncertain", -9),
        ((5.5, 5.5, 5.5), "uncertain", 5.5),  # each by itself is ai, at the whole rate
        ((5.5, 9, 9), "ai", 9),
        ((-9, -9, -9), "real", -9),
        ((-9, -9, -9, 9), "uncertain", -9),  # never real where one is ai
        ((-9, -9, 0), "real", -9),
        ((0, 0, 9), "uncertain", 0),
        ((-5.5, -5.5, -9), "uncertain", -5.5),
    ],
)
def test_a_verdict_takes_more_than_half_of_the_frames(
    logits: tuple[float, ...], verdict: str, middle: float
) -> None:
    row = summed_up(VIDEO, frames(*logits), HALF_RATES)
    assert (row.status, row.verdict, row.logit, row.log10_lr) == ("scored", verdict, middle, middle / 10)
    assert NOT_MEASURED in row.notes


def test_no_frame_is_accused_alone() -> None:
    row = summed_up(VIDEO, frames(9, 0, 0, -9), HALF_RATES)
    assert [each.verdict for each in row.rows] == ["uncertain"] * 5
    assert row.parts[0].notes == ("as a still image ai, the video is not",)
    assert row.parts[0].logit == 9
    assert "key frames as still images: 1 ai, 2 uncertain, 1 real" in row.notes


def test_real_videos_are_flagged_no_more_often_than_their_frames_may_be() -> None:
    rng = random.Random(1)
    rate, videos, flagged = 0.1, 4000, 0
    half = Thresholds(ai=1 - rate / 2, real=-math.inf)
    whole = Thresholds(ai=1 - rate, real=-math.inf)
    for _ in range(videos):
        # the worst there is: either hardly any frame is beyond, or a little more than half of them are
        several = [1.0] * 3 + [0.0] * 2 if rng.random() < 0.6 * rate else [0.0] * 5
        logits = [each - 1e-9 if each else rng.random() * 0.9 for each in several]
        assert sum(logit > half.ai for logit in logits) in (0, 3)
        records = [
            replace(each, verdict=whole.verdict(logit), logit=logit)
            for each, logit in zip(frames(*logits), logits, strict=True)
        ]
        flagged += any(row.verdict == "ai" for row in summed_up(VIDEO, records, half).rows)
    assert 0 < flagged <= rate * videos


def test_a_calibration_too_small_for_half_the_rate_accuses_nobody() -> None:
    assert summed_up(VIDEO, frames(99, 99, 99), NEVER).verdict == "uncertain"


def test_frames_in_doubt_and_frames_that_failed_do_not_count_for_a_verdict() -> None:
    doubtful = [replace(each, verdict="uncertain") for each in frames(9, 9)]
    assert summed_up(VIDEO, [*doubtful, *frames(9)], HALF_RATES).verdict == "uncertain"
    failed = [Record("clip.mp4", time=0.0).failed("scoring failed: x", "scoring")] * 2
    row = summed_up(VIDEO, [*failed, *frames(9)], HALF_RATES)
    assert (row.verdict, [each.status for each in row.parts]) == ("ai", ["error", "error", "scored"])
    row = summed_up(VIDEO, failed, HALF_RATES)
    assert (row.status, row.error, row.cause) == ("error", "scoring failed: x", "scoring")


# --- through engines ---------------------------------------------------------------------------------------


def first_pixel(picture: Picture) -> Pixels:
    return np.asarray(picture)[:1, :1]


class Red:
    """A detector that says the red of a view."""

    batch_size = 4
    precision = "float32"
    card = SimpleNamespace(name="red")
    half_rates = Thresholds(ai=210, real=10)

    def view(self, picture: Picture, /) -> Pixels:
        raise AssertionError("decoded elsewhere")

    def score_views(self, views: Sequence[Pixels], /) -> list[Any]:
        verdicts = Thresholds(ai=200, real=20)
        return [
            SimpleNamespace(
                logit=float(view[0, 0, 0]),
                score=0.5,
                log10_lr=0.0,
                verdict=verdicts.verdict(float(view[0, 0, 0])),
                kind=None,
                notes=(),
            )
            for view in views
        ]


def scan(engine: Threads | Processes, *paths: Path) -> list[Record]:
    found = [Found(str(path), "video" if path.suffix in (".mp4", ".webm") else "image") for path in paths]
    with closing(engine), closing(scan_with(engine, found, Red())) as results:
        return [result.record for result in results]


def test_processes_and_threads_say_the_same(tmp_path: Path) -> None:
    clips = [
        make_clip(tmp_path / "a.mp4", [240] * 30, tags={"make": "Maker", "model": "M1"}),
        make_clip(tmp_path / "b.webm", [0] * 20 + [240] * 10),
        tmp_path / "broken.mp4",
    ]
    clips[2].write_bytes(clips[0].read_bytes()[:700])
    prepare = Preparation(first_pixel, video=Sampling(per_minute=60))
    records = scan(Processes(prepare, 2), *clips)
    assert scan(Threads(prepare, 2), *clips) == records
    assert [record.verdict for record in records] == ["ai", "uncertain", None]
    assert [record.frames for record in records] == [3, 3, None]
    assert [part.time for part in records[0].parts] == [0, 1, 2]
    assert {part.sha256 for part in records[0].parts} == {records[0].sha256}
    assert all(record.sha256 for record in records)
    assert records[0].provenance is not None
    assert records[0].provenance.findings[0].claim == "Maker M1"
    assert records[2].error == "broken MP4: invalid data found when processing input"


def first_red(picture: Picture) -> Pixels:
    """The view of a further model, which has another shape."""
    return np.asarray(picture)[:1, :1, :1]


def test_a_further_model_says_of_a_video_what_its_frames_bear_out(tmp_path: Path) -> None:
    clips = [
        make_clip(tmp_path / "a.mp4", [240] * 30),
        make_clip(tmp_path / "b.webm", [0] * 20 + [240] * 10),
        tmp_path / "broken.mp4",
    ]
    clips[2].write_bytes(clips[0].read_bytes()[:700])
    found = [Found(str(path), "video") for path in clips]
    prepare = Preparation(first_pixel, video=Sampling(per_minute=60), also=(first_red,))
    told = []
    for engine in (Threads(prepare, 2), Processes(prepare, 2)):
        with closing(engine), closing(scan_with(engine, found, Red(), also={"other": Red()})) as results:
            told.append([result.record for result in results])
    assert told[0] == told[1]
    plain = scan(Threads(replace(prepare, also=()), 2), *clips)
    for record, alone in zip(told[0], plain, strict=True):
        assert [replace(row, also=(), parts=()) for row in record.rows] == [
            replace(row, parts=()) for row in alone.rows
        ]
        # it sees what the first model sees
        assert all(
            (row.also[0].verdict, row.also[0].score) == (row.verdict, row.score) for row in record.rows
        )
    assert [row.also[0].verdict for row in told[0][0].rows] == ["ai"] * 4


def test_frames_seen_before_the_time_is_over_are_scored(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", [240] * 30)
    (record,) = scan(Threads(Preparation(slow, video=Sampling(60, 30, seconds=0.5)), 1), clip)
    assert record.status == "scored"
    assert 1 <= (record.frames or 0) < 3
    assert any("was not looked at: it takes too long" in note for note in record.notes)


def slow(picture: Picture) -> Pixels:
    time.sleep(0.4)
    return first_pixel(picture)


def eats(picture: Picture) -> Pixels:
    np.ones(8 << 30, np.uint8)
    return first_pixel(picture)


def loops(picture: Picture) -> Pixels:
    time.sleep(60)
    return first_pixel(picture)


def test_a_frame_that_eats_memory_or_never_ends_costs_neither_digest_nor_metadata(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", [240] * 3, tags={"make": "Maker", "model": "M1"})
    (record,) = scan(Processes(Preparation(eats), 1), clip)
    assert (record.error, record.cause) == ("out of memory", "memory")
    assert record.sha256
    assert record.provenance is not None
    (record,) = scan(Processes(Preparation(loops), 1, timeout=3), clip)
    assert (record.error, record.cause) == ("took longer than 3 s to decode", "time")
    assert record.sha256
    assert record.provenance is not None


def test_a_file_with_a_hole_of_any_size_is_given_up_in_time(tmp_path: Path) -> None:
    path = tmp_path / "endless.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2\0\0\0\0mdat")
    with path.open("r+b") as file:
        file.truncate(1 << 43)
    start = time.monotonic()
    (record,) = scan(Processes(Preparation(first_pixel), 1, timeout=1), path)
    assert (record.error, record.cause) == ("took longer than 1 s to decode", "time")
    assert time.monotonic() - start < 600  # of hours


# --- what workers may say of frames ------------------------------------------------------------------------


def said(prepared: Prepared, frames: int | None) -> Prepared:
    """What comes of it on the other side."""
    here, there = Pipe()

    def say() -> None:
        with there, contextlib.suppress(OSError):
            answer_prepared(there, lambda *_: prepared, Found("false.mp4", "video"))  # type: ignore[arg-type]

    speaker = threading.Thread(target=say)
    speaker.start()
    try:
        with here:
            return receive_prepared(here, "true.mp4", frames)
    finally:
        speaker.join()


FRAME = Prepared(Record("false.mp4", sha256="b" * 64, time=1.5), np.zeros((1, 1, 3), np.uint8))


def test_a_frame_belongs_to_its_file_whatever_a_worker_says() -> None:
    prepared = said(Prepared(VIDEO, frames=(FRAME, FRAME)), 2)
    assert prepared.record.frames == 2
    assert {(part.record.path, part.record.sha256) for part in prepared.frames} == {("true.mp4", "a" * 64)}


@pytest.mark.parametrize(
    "frame",
    [
        replace(FRAME, record=replace(FRAME.record, time=math.nan)),
        replace(FRAME, record=replace(FRAME.record, time=math.inf)),
        replace(FRAME, record=replace(FRAME.record, time=-1.0)),
        replace(FRAME, record=replace(FRAME.record, time=None)),
        replace(FRAME, view=None),
        replace(FRAME, frames=(FRAME,)),
        replace(FRAME, view=np.zeros((5 << 20,), np.uint8)),
        replace(FRAME, trace="x" * (1 << 17)),
    ],
    ids=["nan", "infinite", "before", "timeless", "blind", "nested", "large", "long"],
)
def test_what_is_no_frame_is_refused(frame: Prepared) -> None:
    with pytest.raises((FormError, OSError)):
        said(Prepared(VIDEO, frames=(frame,)), 2)


def test_too_many_frames_and_frames_of_an_image_are_refused() -> None:
    for most in (1, None):
        with pytest.raises(FormError):
            said(Prepared(VIDEO, frames=(FRAME, FRAME)), most)
    with pytest.raises(FormError):
        said(replace(FRAME), None)
