"""What a calibration is asked to do: its options, gathered and checked before anything slow begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aigdetect.cli.options import Loading
from aigdetect.errors import UsageError
from aigdetect.evaluation.calibration_scores import SCORES_NAME
from aigdetect.locks import LOCK_NAME, require_alone


@dataclass(frozen=True)
class Images:
    """What is calibrated on; the options of the command of these names.

    Raises:
        UsageError: if nothing is named, or a split of nothing.
    """

    data: Sequence[Path]
    real: Sequence[Path]
    split: str | None
    follow_symlinks: bool
    max_pixels: int

    def __post_init__(self) -> None:
        if not self.data and not self.real:
            raise UsageError("--data or --real: name the images to calibrate on")
        if self.split and not self.data:
            raise UsageError("--split: belongs to --data")


@dataclass(frozen=True)
class Rates:
    """Which errors are allowed.

    Attributes:
        fpr: share of real images that may be called ``ai``.
        fnr: share of generated images that may be called ``real``; None: the model's.

    Raises:
        UsageError: if one is not between 0 and 1.
    """

    fpr: float
    fnr: float | None

    def __post_init__(self) -> None:
        for option, rate in (("--fpr", self.fpr), ("--fnr", self.fnr)):
            if rate is not None and not 0 < rate < 1:
                raise UsageError(f"{option}: {rate:g} is not between 0 and 1")


@dataclass(frozen=True)
class Output:
    """Where the new model goes.

    Attributes:
        out: its folder.
        resume: take the scores that a stopped run has left there.
        force: write into it though it is in use.
        json: what came out goes to standard output as JSON.
    """

    out: Path
    resume: bool
    force: bool
    json: bool

    def check(self, model: Path) -> None:
        """Refuse a folder that cannot be written, holds what would be lost, or is the model itself.

        Raises:
            UsageError: with what to do.
        """
        out, force, resume = self.out, self.force, self.resume
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


@dataclass(frozen=True)
class Request:
    """All that a calibration is asked to do.

    Attributes:
        model: by name or folder.
        images: what is calibrated on.
        rates: which errors are allowed.
        output: where the new model goes.
        loading: how the model is loaded.
        workers: threads that read and decode; None for a number that suits the machine.
    """

    model: str
    images: Images
    rates: Rates
    output: Output
    loading: Loading
    workers: int | None
