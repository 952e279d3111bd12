"""``aigdetect calibrate``: a model and a user's own images in, the model with new thresholds out."""

from __future__ import annotations

import json as json_module
import shlex
import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import (
    BatchSize,
    Debug,
    Device,
    DeviceChoice,
    FollowSymlinks,
    Json,
    MaxPixels,
    Offline,
    Precision,
    PrecisionChoice,
    Quiet,
    Verbose,
    WeightsFile,
    Workers,
    terminal,
)
from aigdetect.errors import DataError, ImageError, UsageError

if TYPE_CHECKING:
    from aigdetect.data.layouts import Sample
    from aigdetect.evaluation.calibration_scores import Scores
    from aigdetect.evaluation.recalibration import Rate, Recalibration
    from aigdetect.model.detector import Detector

_DATA = "Data"


def calibrate(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder to write.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Real and generated images in any of the field's layouts: a folder, a list (CSV, JSON "
            "Lines) or an archive (tar, Parquet); may be given several times.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    real: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Folder or archive of real images; may be given several times.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of --data to take: train, val or test (default: val, else test, where named).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    follow_symlinks: FollowSymlinks = False,
    max_pixels: MaxPixels = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="Model to calibrate (default: the shipped one)."),
    ] = None,
    fpr: Annotated[
        float, typer.Option(metavar="X", help="Share of real images that the verdict 'ai' may flag.")
    ] = 0.01,
    fnr: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Share of generated images that may be called 'real' (default: the model's)."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take the scores that a stopped run into --out has left."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is in use.")] = False,
    json: Json = False,
    device: DeviceChoice = Device.AUTO,
    precision: PrecisionChoice = Precision.AUTO,
    batch_size: BatchSize = None,
    workers: Workers = None,
    weights: WeightsFile = None,
    offline: Offline = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Set a model's thresholds and scores on your own images.

    With --data, scores and both thresholds are fitted anew. With --real
    alone, only the threshold of the verdict 'ai' is. The images must be
    others than the model was trained on, and like those it will meet.
    What they are too few for is refused.

    Exit status: 0 all done; 1 some images could not be scored, each of
    them named; 2 nothing done; 130 interrupted, with all finished scores
    on disk (--resume).

    Example: aigdetect calibrate --real camera/ --fpr 0.01 --out models/mine
    """
    from aigdetect.evaluation.calibration_scores import remove_scores
    from aigdetect.evaluation.recalibration import (
        known_sources,
        recalibrate,
        require_support,
        write_recalibrated,
    )
    from aigdetect.files import writing
    from aigdetect.locks import alone_in
    from aigdetect.methods.loading import load_detector
    from aigdetect.model.card import DEFAULT_MODEL, check_adapter, find_model_folder, read_card
    from aigdetect.model.learnt import read_learnt

    folder = find_model_folder(model or DEFAULT_MODEL)
    card = read_card(folder)
    check_adapter(folder, card)
    _require_usable(out, folder, resume=resume, force=force)
    _require_rate("--fpr", fpr)
    samples, failed = _samples(data or (), real or (), split, follow=follow_symlinks)
    generated = sum(sample.label for sample in samples)
    if fnr is not None:
        _require_rate("--fnr", fnr)
        if not generated:
            raise UsageError("--fnr: needs generated images; give them with --data")
    asked = (fnr if fnr is not None else card.calibration.fnr) if generated else None
    require_support(fpr, len(samples) - generated, fnr=asked, generated=generated)
    terminal.say(f"calibrating on {len(samples) - generated} real and {generated} generated images")
    if known := known_sources(card, samples):
        terminal.warn(
            f"{card.name} was trained on images of {', '.join(known)}: on images that it has learnt, "
            "error rates come out too low"
        )
    detector = load_detector(
        folder,
        device=device.value,
        precision=precision.value,
        batch_size=batch_size,
        weights=weights,
        offline=offline,
        say=terminal.say,
        warn=terminal.warn,
    )
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with alone_in(out):
        learnt = read_learnt(folder)
        scores = _score(
            *(detector, samples, out),
            learnt=learnt,
            resume=resume,
            workers=workers,
            max_pixels=max_pixels,
        )
        failed += scores.failed
        new = recalibrate(
            card,
            scores.samples,
            scores.logits,
            name=out.resolve().name,
            fpr=fpr,
            fnr=fnr,
            facts={
                "command": _command(),
                "model": f"{card.name} (adapter {card.adapter_sha256[:12]})",
                "precision": detector.precision,
            },
        )
        write_recalibrated(folder, new, out)
        remove_scores(out)
    _tell(new)
    if json:
        facts = {"folder": str(out), **_facts(new), "failed": failed}
        sys.stdout.write(json_module.dumps(facts, indent=2) + "\n")
    else:
        sys.stdout.write(f"{out}\n")
    return Exit.SOME_FAILED if failed else Exit.DONE


def _command() -> str:
    """The command line; a run that was resumed is told of as if it had not been."""
    return shlex.join(["aigdetect", *(word for word in sys.argv[1:] if word != "--resume")])


def _require_usable(out: Path, model: Path, *, resume: bool, force: bool) -> None:
    from aigdetect.evaluation.calibration_scores import SCORES_NAME
    from aigdetect.locks import LOCK_NAME, require_alone

    if force and resume:
        raise UsageError("--force and --resume: one starts anew, the other goes on; give one of them")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is not a folder; choose another --out")
    if out.resolve() == model.resolve():
        raise UsageError(f"{out}: is the model itself; choose another --out")
    require_alone(out)
    names = {path.name for path in out.iterdir()} - {LOCK_NAME} if out.is_dir() else set()
    if SCORES_NAME in names and not force and not resume:
        raise UsageError(
            f"{out}: holds a run that was stopped; add --resume to go on, or --force to start anew"
        )
    if names - {SCORES_NAME} and not force and not (resume and SCORES_NAME in names):
        raise UsageError(f"{out}: is in use; choose another --out, or add --force to write into it")


def _require_rate(option: str, rate: float) -> None:
    if not 0 < rate < 1:
        raise UsageError(f"{option}: {rate:g} is not between 0 and 1")


def _samples(
    labelled: Sequence[Path], real: Sequence[Path], split: str | None, *, follow: bool
) -> tuple[list[Sample], int]:
    """The images, each file once, and how many paths lead to none (each of them named)."""
    from aigdetect.data.layouts import Ignored, find_samples
    from aigdetect.evaluation.benchmark import take_split
    from aigdetect.evaluation.recalibration import find_reals

    if not labelled and not real:
        raise UsageError("--data or --real: name the images to calibrate on")
    if split and not labelled:
        raise UsageError("--split: belongs to --data")
    found: list[Sample] = []
    for root in labelled:
        data = find_samples(root, split=split, follow_symlinks=follow)
        found += (data if split else take_split(data, ("val", "test", "train"))).samples
        if left_out := str(data.ignored):
            terminal.say(f"{root}: left out: {left_out}")
    failed = 0
    for root in real:
        samples, errors, links = find_reals(root, follow_symlinks=follow)
        if links:
            terminal.say(f"{root}: left out: {Ignored(links=links)}")
        found += samples
        failed += len(errors)
        for path, reason in errors.items():
            terminal.error(ImageError(f"{path}: {reason}"))
    by_path = {sample.path: sample for sample in reversed(found)}
    if clash := [sample.path for sample in found if sample.label != by_path[sample.path].label]:
        raise DataError(f"{clash[0]}: is given both as real and as generated; give it once")
    return list(reversed(by_path.values())), failed


def _score(
    detector: Detector,
    samples: Sequence[Sample],
    folder: Path,
    *,
    learnt: Collection[str],
    resume: bool,
    workers: int | None,
    max_pixels: int | None,
) -> Scores:
    """Score the images that have no score yet; each that cannot be is named, and those learnt are counted."""
    from aigdetect.evaluation.calibration_scores import open_scores, score_missing, take_scores
    from aigdetect.evaluation.robustness import CLEAN
    from aigdetect.images.opening import MAX_PIXELS

    store = open_scores(detector, folder, resume=resume)
    missing = len(store.missing(samples, CLEAN))
    if missing < len(samples):
        terminal.say(f"scored already: {len(samples) - missing}")
    scored = score_missing(store, samples, detector, workers=workers, max_pixels=max_pixels or MAX_PIXELS)
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
    if known := store.count_known(scores.samples, learnt):
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
        "thresholds": {"ai": limits.ai, "real": limits.real},
        "slope": calibration.slope,
        "intercept": calibration.intercept,
        "rates": new.card.metrics["calibration"],
        "images": new.card.data["calibration"],
    }
