"""Write a whole evaluation as a folder: for programs, for spreadsheets, for reading and for printing.

- ``results.json``: all figures, in the form that `results_json` describes; written last, so that a folder
  that holds it is complete;
- ``images.csv``: every score of every image;
- ``report.html``: one page that needs nothing else; ``report.md``: the same as Markdown;
- ``figures/*.png``: its plots.

Each file appears whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigdetect.errors import UsageError
from aigdetect.evaluation.report.document import Document
from aigdetect.evaluation.report.html import to_html
from aigdetect.evaluation.report.markdown import to_markdown
from aigdetect.evaluation.report.sections import report_document
from aigdetect.evaluation.results import BenchmarkSet, EvaluatedDetector, Evaluation, Run
from aigdetect.files import write_atomically, writing
from aigdetect.replacing import Form, require_own
from aigdetect.scanning.writers import csv_line

if TYPE_CHECKING:
    from aigdetect.evaluation.experts import ExpertStudy

SCHEMA_VERSION = 1
"""Version of ``results.json``: raised when a key changes its meaning or goes; keys may be added without."""

RESULTS, IMAGES, PAGE, MARKDOWN, FIGURES = (
    *("results.json", "images.csv", "report.html", "report.md"),
    "figures",
)
SCORES = "scores"
"""Folder beside the report where scores are kept while a command runs."""

IMAGE_COLUMNS = (
    *("path", "label", "generator", "family", "parity", "detector"),
    *("score", "probability", "log10_lr", "verdict", "error"),
)
"""Columns of ``images.csv``: an image, what was done to it first, and what one detector says of it."""


def check_report(folder: Path, *, force: bool = False) -> None:
    """Refuse, before any work is done, a folder that a report cannot or must not be written to.

    Args:
        folder: need not exist.
        force: overwrite an older report, or write beside other files, but over none of them.

    Raises:
        UsageError: with what to do.
    """
    with writing(folder):
        ancestor = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
        if not ancestor.is_dir():
            raise UsageError(f"{folder}: {ancestor} is a file; name a folder")
        if not os.access(ancestor, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot be written (no permission in folder {ancestor})")
        found = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if force:
        _refuse_strangers(folder, found)
        return
    if RESULTS in found:
        raise UsageError(f"{folder}: holds a report; use --force or another folder")
    if found - {SCORES}:
        raise UsageError(f"{folder}: holds files that are no report; name another folder, or use --force")


def _refuse_strangers(folder: Path, found: set[str]) -> None:
    """Refuse a folder in which files of others have the names of a report's."""
    forms = {RESULTS: Form.RESULTS, IMAGES: Form.IMAGES, PAGE: Form.PAGE}
    own = [(folder / name, form) for name, form in forms.items() if name in found]
    own += [(figure, Form.PICTURE) for figure in (folder / FIGURES).glob("*.png")]
    for file, form in own:
        require_own(file, form)
    if MARKDOWN in found and not own:
        raise UsageError(f"{folder / MARKDOWN}: is no part of a report; name another folder")


def write_report(
    evaluation: Evaluation, folder: Path, *, experts: Sequence[ExpertStudy] = ()
) -> tuple[Path, ...]:
    """Write a report, over an older one if there is one.

    Args:
        evaluation: what was found.
        folder: made if need be.
        experts: what goes on inside the models, if that was looked into.

    Returns:
        the files, ``results.json`` last.

    Raises:
        UsageError: if a file cannot be written.
    """
    document = report_document(evaluation, experts)
    contents = dict(_contents(evaluation, document, experts))
    with writing(folder):
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        # without it the folder is no report until the new one is whole
        (folder / RESULTS).unlink(missing_ok=True)
        for stale in set((folder / FIGURES).glob("*.png")) - {folder / name for name in contents}:
            stale.unlink()
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return tuple(folder / name for name in contents)


def results_json(evaluation: Evaluation, experts: Sequence[ExpertStudy] = ()) -> str:
    r"""An evaluation as one JSON object, in ASCII.

    Keys, with names and meaning as in `aigdetect.evaluation.results` unless said otherwise:

    - ``schema_version``: `SCHEMA_VERSION`; ``created``, ``command``, ``versions``, ``seed``, ``resamples``;
    - ``protocol``: ``name``, ``title``, ``lines``; ``data``: by root; ``families``: in order;
    - ``sets``: each with ``name``, ``generator``, ``family``, ``root``, ``layout``, ``reals``, ``left_out``,
      and ``real`` and ``generated`` as counts;
    - ``runs``: the images as they are, then after parity; each with ``parity``, ``audit`` and ``detectors``;
    - a detector: ``name``, ``kind``, ``source``, ``scale``, ``thresholds``, ``facts``, ``unmatched``,
      ``sets`` (in the order of the sets above), ``families``, ``mean``, ``pooled``, ``robustness``; what it
      says of each image is in ``images.csv``;
    - ``figures`` of a set: by measure, an object of ``value``, ``low``, ``high`` and ``reason``. What is not
      defined has the value null and a reason; an interval that there is not has null ends;
    - ``published``: tables shown beside; ``experts``: loads of the experts, without the maps.

    Bytes of a path that are not UTF-8 are escapes ``\udc80`` to ``\udcff``, from which ``os.fsencode``
    brings back the very bytes. Numbers are finite; null stands for any other.
    """
    whole = {
        "schema_version": SCHEMA_VERSION,
        **_plain(evaluation, leave_out=("images", "sets", "runs")),
        "sets": [_set(each) for each in evaluation.sets],
        "runs": [_run(run) for run in evaluation.runs],
        "experts": [_plain(study, leave_out=("maps", "mapped")) for study in experts],
    }
    return json.dumps(whole, ensure_ascii=True, allow_nan=False, indent=1) + "\n"


def images_csv(evaluation: Evaluation) -> str:
    """All scores as CSV, a row per run, detector and image; text made safe for spreadsheets."""
    rows = (
        (
            *(image.path, image.label, image.generator, image.family, run.parity, detector.name),
            *(score.score, score.probability, score.log10_lr, score.verdict, score.error),
        )
        for run in evaluation.runs
        for detector in run.detectors
        for image, score in zip(evaluation.images, detector.scores, strict=True)
    )
    return "".join(map(csv_line, (IMAGE_COLUMNS, *rows)))


def _contents(
    evaluation: Evaluation, document: Document, experts: Sequence[ExpertStudy]
) -> Iterator[tuple[str, bytes]]:
    for plot in document.plots:
        yield f"{FIGURES}/{plot.name}.png", plot.png
    yield IMAGES, images_csv(evaluation).encode("utf-8")
    yield MARKDOWN, to_markdown(document).encode("utf-8")
    yield PAGE, to_html(document).encode("utf-8")
    yield RESULTS, results_json(evaluation, experts).encode("ascii")


def _set(each: BenchmarkSet) -> dict[str, Any]:
    counts = {"real": len(each.real), "generated": len(each.generated)}
    return {**_plain(each, leave_out=("real", "generated")), **counts}


def _run(run: Run) -> dict[str, Any]:
    return {**_plain(run, leave_out=("detectors",)), "detectors": [_detector(each) for each in run.detectors]}


def _detector(detector: EvaluatedDetector) -> dict[str, Any]:
    facts = [{"term": term, "text": text} for term, text in detector.facts]
    return {**_plain(detector, leave_out=("scores", "facts")), "facts": facts}


def _plain(value: Any, *, leave_out: Sequence[str] = ()) -> Any:
    """A value as JSON has it."""
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if field.name not in leave_out
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
