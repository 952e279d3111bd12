"""What an evaluation is asked to do: its options, gathered and checked before anything slow begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from aigdetect.cli.options import Loading
from aigdetect.errors import UsageError
from aigdetect.evaluation import plan
from aigdetect.evaluation.report.folder import SCORES, check_report


@dataclass(frozen=True)
class Output:
    """Where results go, and what they hold beside the figures.

    Attributes:
        report: folder to write a report into, in which scores are kept, too.
        json: results on standard output are JSON, not tables.
        resume: take the scores that the report folder holds.
        force: overwrite an older report.
        paper: show the paper's tables.
        experts: look into the models.
    """

    report: Path | None
    json: bool
    resume: bool
    force: bool
    paper: bool
    experts: bool

    def check(self) -> None:
        """Refuse a report folder that cannot be written, or holds what would be lost.

        Raises:
            UsageError: with what to do.
        """
        if self.report is None:
            if self.resume:
                raise UsageError("--resume: name the --report folder whose scores are to be taken")
            return
        check_report(self.report, force=self.force or self.resume)
        if (self.report / SCORES).exists() and not (self.force or self.resume):
            raise UsageError(
                f"{self.report}: holds scores of an earlier run; take them with --resume, or score anew with "
                "--force"
            )

    def scores_folder(self) -> Path | None:
        """Where scores are kept, emptied where an older report is overwritten; None for nowhere."""
        folder = self.report and self.report / SCORES
        if folder and self.force and not self.resume:
            shutil.rmtree(folder, ignore_errors=True)
        return folder


@dataclass(frozen=True)
class Request:
    """All that an evaluation is asked to do.

    Attributes:
        measured: data, detectors and what is done to the images.
        output: where results go.
        loading: how models are loaded.
        workers: threads that read and decode; None for a number that suits the machine.
        dry_run: only say what is in the data and what gives it away.

    Raises:
        UsageError: if there is no model to look into, or what is found inside would go nowhere.
    """

    measured: plan.Request
    output: Output
    loading: Loading
    workers: int | None
    dry_run: bool

    def __post_init__(self) -> None:
        output = self.output
        if output.experts and not self.measured.models:
            raise UsageError("--experts: needs a --model to look into")
        if output.experts and output.report is None and not output.json:
            raise UsageError("--experts: what it finds goes into a --report or --json; add one of them")
