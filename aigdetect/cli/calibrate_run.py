"""A calibration as it is carried out: images found, scored where they are not yet, and thresholds set."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aigdetect.cli.calibrate_request import Images, Request
from aigdetect.cli.console import Exit
from aigdetect.cli.options import command_line, terminal
from aigdetect.cli.printing import put
from aigdetect.data.layouts import Ignored, Sample, find_samples
from aigdetect.errors import ImageError, UsageError
from aigdetect.evaluation.benchmark import require_one_class, take_split
from aigdetect.evaluation.calibration_scores import (
    Scores,
    open_scores,
    remove_scores,
    score_missing,
    take_scores,
)
from aigdetect.evaluation.recalibration import (
    Rate,
    Recalibration,
    find_reals,
    known_sources,
    recalibrate,
    require_support,
    write_recalibrated,
)
from aigdetect.evaluation.robustness import CLEAN
from aigdetect.files import writing
from aigdetect.locks import alone_in
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import ModelCard, check_adapter, find_model_folder, read_card
from aigdetect.model.detector import Detector
from aigdetect.model.learnt import read_learnt


def run_calibration(request: Request) -> Exit:
    """Carry out what is asked for; its exit status.

    Raises:
        AigdetectError: if nothing can be done, or the model cannot be written.
    """
    output = request.output
    folder = find_model_folder(request.model)
    card = read_card(folder)
    check_adapter(folder, card)
    output.check(folder)
    samples, failed = _find(request.images)
    _require_enough(request, card, samples)
    detector = load_detector(folder, **asdict(request.loading), say=terminal.say, warn=terminal.warn)
    with writing(output.out):
        output.out.mkdir(parents=True, exist_ok=True)
    with alone_in(output.out):
        scores = _score(request, detector, samples, folder)
        new = recalibrate(
            card,
            scores.samples,
            scores.logits,
            name=output.out.resolve().name,
            fpr=request.rates.fpr,
            fnr=request.rates.fnr,
            facts={
                "command": command_line(),
                "model": f"{card.name} (adapter {card.adapter_sha256[:12]})",
                "precision": detector.precision,
            },
        )
        write_recalibrated(folder, new, output.out)
        remove_scores(output.out)
    failed += scores.failed
    _tell(new)
    if output.json:
        facts = {"folder": str(output.out), **_facts(new), "failed": failed}
        put(json.dumps(facts, indent=2) + "\n")
    else:
        put(f"{output.out}\n")
    return Exit.SOME_FAILED if failed else Exit.DONE


def _find(images: Images) -> tuple[list[Sample], int]:
    """The images, each file once, and how many paths lead to none (each of them named)."""
    found: list[Sample] = []
    for root in images.data:
        data = find_samples(root, split=images.split, follow_symlinks=images.follow_symlinks)
        found += (data if images.split else take_split(data, ("val", "test", "train"))).samples
        if left_out := str(data.ignored):
            terminal.say(f"{root}: left out: {left_out}")
    failed = 0
    for root in images.real:
        samples, errors, links = find_reals(root, follow_symlinks=images.follow_symlinks)
        if links:
            terminal.say(f"{root}: left out: {Ignored(links=links)}")
        found += samples
        failed += len(errors)
        for path, reason in errors.items():
            terminal.error(ImageError(f"{path}: {reason}"))
    require_one_class(found)
    by_path = {sample.path: sample for sample in reversed(found)}
    return list(reversed(by_path.values())), failed


def _require_enough(request: Request, card: ModelCard, samples: Sequence[Sample]) -> None:
    """Refuse images that are too few for the rates, and say which ones the model was trained on."""
    rates = request.rates
    generated = sum(sample.label for sample in samples)
    if rates.fnr is not None and not generated:
        raise UsageError("--fnr: needs generated images; give them with --data")
    asked = (rates.fnr if rates.fnr is not None else card.calibration.fnr) if generated else None
    require_support(rates.fpr, len(samples) - generated, fnr=asked, generated=generated)
    terminal.say(f"calibrating on {len(samples) - generated} real and {generated} generated images")
    if known := known_sources(card, samples):
        terminal.warn(
            f"{card.name} was trained on images of {', '.join(known)}: on images that it has learnt, "
            "error rates come out too low"
        )


def _score(request: Request, detector: Detector, samples: Sequence[Sample], folder: Path) -> Scores:
    """Score the images that have no score yet; each that cannot be is named, and those learnt are counted."""
    store = open_scores(detector, request.output.out, resume=request.output.resume)
    missing = len(store.missing(samples, CLEAN))
    if missing < len(samples):
        terminal.say(f"scored already: {len(samples) - missing}")
    scored = score_missing(
        store, samples, detector, workers=request.workers, max_pixels=request.images.max_pixels
    )
    with terminal.progress(f"scoring with {detector.card.name}", missing) as bar, closing(scored):
        try:
            for sample, record in scored:
                bar.advance(bar.task_ids[0])
                if record.logit is None:
                    terminal.error(ImageError(f"{sample.path}: {record.error}"))
        except KeyboardInterrupt:
            terminal.say("--resume goes on with the images that have no score yet")
            raise
    scores = take_scores(store, samples)
    if scores.copies:
        terminal.say(f"exact copies of other images left out: {scores.copies}")
    if known := store.count_known(scores.samples, read_learnt(folder)):
        terminal.warn(
            f"{detector.card.name} was trained on {known} of these {len(scores.samples)} images: error rates "
            "come out too low"
        )
    return scores


def _tell(new: Recalibration) -> None:
    """What the new thresholds mean, in a few lines on standard error."""
    calibration = new.card.calibration
    limits = calibration.thresholds()
    terminal.say(
        f"ai above a logit of {limits.ai:.3f} (score {calibration.score(limits.ai):.3f}): "
        f"{_told(new.false_alarms)} real images flagged; of new ones like these at most "
        f"{100 * calibration.fpr:g} % on average, below {100 * new.false_alarms.bound:.2g} % "
        "with 95 % confidence"
    )
    if new.found and new.missed:
        terminal.say(f"generated images flagged: {_told(new.found)}, {_interval(new.found)}")
        terminal.say(
            f"real below a logit of {limits.real:.3f} (score {calibration.score(limits.real):.3f}): "
            f"{_told(new.missed)} generated images missed, below {100 * new.missed.bound:.2g} % "
            "with 95 % confidence"
        )
        if kept := new.card.data["calibration"]["kept"]:
            terminal.say(f"{kept}: these stay what they were")
    else:
        terminal.say("scores, and the threshold of the verdict real, stay what they were")


def _told(rate: Rate) -> str:
    return f"{rate.count} of {rate.total}"


def _interval(rate: Rate) -> str:
    return f"{100 * rate.low:.1f} to {100 * rate.high:.1f} % with 95 % confidence"


def _facts(new: Recalibration) -> dict[str, Any]:
    calibration = new.card.calibration
    limits = calibration.thresholds()
    return {
        "name": new.card.name,
        "fpr": calibration.fpr,
        "fnr": calibration.fnr,
        "thresholds": {
            name: limit if math.isfinite(limit) else None  # JSON has no infinity; None: no logit reaches it
            for name, limit in (("ai", limits.ai), ("real", limits.real))
        },
        "slope": calibration.slope,
        "intercept": calibration.intercept,
        "rates": new.card.metrics["calibration"],
        "images": new.card.data["calibration"],
    }
