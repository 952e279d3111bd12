"""What is said of a video, out of what is said of its frames: never more than still images bear out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from aigdetect.model.calibration import Thresholds, Verdict
from aigdetect.scanning.record import Record

NOT_MEASURED = "calibrated on still images: how often frames of real videos are flagged was not measured"
"""The note of every video with a score."""


def summed_up(video: Record, frames: Sequence[Record], half_rates: Thresholds) -> Record:
    """The row of a video, with the rows of its frames as its parts.

    The frames of a video are alike, and each may mislead: their likelihood ratios are never multiplied. If
    each is flagged with a probability of at most ``a / 2``, so are more than half of them with one of at most
    ``a``, however they hang together (by Markov's inequality). So there is a verdict only where more than
    half of the frames lie beyond the threshold of half the rate, and none of ``real`` where a frame by itself
    is ``ai``. The score is that of the frame in the middle, the lower one of two. A frame is never accused
    alone: its verdict is ``uncertain`` where that of the video is another.

    Args:
        video: its row without a score.
        frames: their rows, one or more: each with the score of a still image, or why it has none.
        half_rates: thresholds at half the rates of the frames' verdicts.

    Source: B. Rüger, Das maximale Signifikanzniveau des Tests "Lehne H0 ab, wenn k unter n gegebenen Tests
    zur Ablehnung führen", Metrika 25, 1978.
    """
    order = sorted((each.logit, place) for place, each in enumerate(frames) if each.logit is not None)
    if not order:
        return replace(video.failed(frames[0].error or "not scored", frames[0].cause), parts=tuple(frames))
    middle = frames[order[(len(order) - 1) // 2][1]]
    alone = Counter(each.verdict for each in frames)
    verdict = _verdict(frames, half_rates, len(order))
    counted = ", ".join(f"{alone[each]} {each}" for each in ("ai", "uncertain", "real"))
    return replace(
        video,
        status="scored",
        verdict=verdict,
        score=middle.score,
        logit=middle.logit,
        log10_lr=middle.log10_lr,
        error=None,
        model=middle.model,
        precision=middle.precision,
        parts=tuple(_held_back(each, verdict) for each in frames),
    ).noted(f"key frames as still images: {counted}", NOT_MEASURED)


def _verdict(frames: Sequence[Record], half_rates: Thresholds, scored: int) -> Verdict:
    beyond = Counter(
        each.verdict
        for each in frames
        if each.logit is not None and half_rates.verdict(each.logit) == each.verdict
    )
    if 2 * beyond["ai"] > scored:
        return "ai"
    if 2 * beyond["real"] > scored and all(each.verdict != "ai" for each in frames):
        return "real"
    return "uncertain"


def _held_back(frame: Record, verdict: Verdict) -> Record:
    """The row of a frame, whose verdict is the video's or none."""
    if frame.verdict in (None, "uncertain", verdict):
        return frame
    return replace(frame, verdict="uncertain").noted(f"as a still image {frame.verdict}, the video is not")
