"""``aigdetect eval``: data sets and detectors in, tables and a report out."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import (
    RUN,
    BatchSize,
    Debug,
    Device,
    DeviceChoice,
    FakeFolder,
    FollowSymlinks,
    Json,
    MaxPixels,
    Offline,
    Precision,
    PrecisionChoice,
    Quiet,
    RealFolder,
    Verbose,
    WeightsFile,
    Workers,
    terminal,
)
from aigdetect.errors import ImageError, UsageError

if TYPE_CHECKING:
    from aigdetect.evaluation.bias import BiasAudit
    from aigdetect.evaluation.experts import ExpertStudy
    from aigdetect.evaluation.foreign import ForeignScores
    from aigdetect.evaluation.plan import Model, Plan
    from aigdetect.evaluation.report.document import Block
    from aigdetect.evaluation.results import Evaluation, FoundData
    from aigdetect.evaluation.score_store import ScoreStore
    from aigdetect.model.detector import Detector

_log = logging.getLogger(__name__)
_DATA = "Data"
_REPORT = "Report"

_SCORES = "scores"  # of the report folder, where scores are kept


def evaluate(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Images in any of the field's layouts: a folder, a list (CSV, JSON Lines) or an archive "
            "(tar, Parquet); may be given several times.",
        ),
    ] = None,
    real: RealFolder = None,
    fake: FakeFolder = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FOLDER", help="Model; several may be given (default: the shipped one)."),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=F.csv", help="Scores of any other detector: a CSV of path,score."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="How images are taken and prepared: ours, univfd, genimage or dif.", rich_help_panel=_DATA
        ),
    ] = "ours",
    split: Annotated[
        str | None,
        typer.Option(
            help="Split to measure on: train, val or test (default: the protocol's).", rich_help_panel=_DATA
        ),
    ] = None,
    follow_symlinks: FollowSymlinks = False,
    max_pixels: MaxPixels = None,
    families: Annotated[
        Path | None,
        typer.Option(metavar="F.yaml", help="Further generators and their families.", rich_help_panel=_DATA),
    ] = None,
    parity: Annotated[
        str | None,
        typer.Option(
            metavar="CODEC:QUALITY",
            help="Measure also after cropping and re-encoding both classes alike, such as jpeg:90.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    robustness: Annotated[
        str | None,
        typer.Option(
            metavar="OPERATIONS",
            help="Measure also after operations on the images: all, or such as blur,jpeg:65.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--list", help="Say what is in the data and what gives it away, and stop.", rich_help_panel=_DATA
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a report: JSON, CSV, Markdown, HTML, plots; scores are kept in it.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    fuse: Annotated[
        bool,
        typer.Option(
            "--fuse",
            help="Measure also what the models say together, fitted on other origins.",
            rich_help_panel=_REPORT,
        ),
    ] = False,
    paper: Annotated[
        bool,
        typer.Option("--paper", help="Show the paper's tables beside ours.", rich_help_panel=_REPORT),
    ] = False,
    experts: Annotated[
        bool,
        typer.Option(
            "--experts", help="Look into the models: load and features of experts.", rich_help_panel=_REPORT
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Take the scores that the report folder holds.", rich_help_panel=_REPORT
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite an older report.", rich_help_panel=_REPORT)
    ] = False,
    json: Json = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=100_000, help="Resamples behind intervals.", rich_help_panel=RUN
        ),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of all chance.", rich_help_panel=RUN)
    ] = 0,
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
    """Measure detectors on labelled images, generator by generator.

    Says what was found and what the files alone give away before it scores
    anything. Results go to standard output, and to --report FOLDER.

    Exit status: 0 all done; 1 some images have no score, each of them named;
    2 nothing done; 130 interrupted, with all finished scores on disk
    (--report FOLDER, then --resume).

    Example: aigdetect eval --data test/ --model models/mine --report r/
    """
    from aigdetect.evaluation.plan import Request, make_plan
    from aigdetect.images.opening import MAX_PIXELS
    from aigdetect.model.card import DEFAULT_MODEL
    from aigdetect.scanning.engines import default_workers

    if not (data or real or fake):
        raise typer.BadParameter("name the images to measure on", ctx=context, param_hint="--data")
    workers = workers or default_workers()
    # all that can be wrong with the command is said before anything slow begins
    names = model or ([] if scores else [DEFAULT_MODEL])
    if experts and not names:
        raise UsageError("--experts: needs a --model to look into")
    if experts and report is None and not json:
        raise UsageError("--experts: what it finds goes into a --report or --json; add one of them")
    plan = make_plan(
        Request(
            data=tuple(data or ()),
            real=tuple(real or ()),
            fake=tuple(fake or ()),
            models=tuple(names),
            scores=tuple(scores or ()),
            protocol=protocol,
            split=split,
            families=families,
            parity=parity,
            robustness=robustness,
            resamples=bootstrap,
            seed=seed,
            follow_symlinks=follow_symlinks,
            max_pixels=max_pixels or MAX_PIXELS,
            fuse=fuse,
        )
    )
    if not dry_run:
        _check_report(report, resume=resume, force=force)
    console = _Console(json=json)
    audits = _say_what_is_there(plan, console, workers)
    if dry_run:
        return Exit.DONE
    loader = _Loader(device, precision, batch_size, weights, offline)
    stores = _open_stores(plan, report, resume=resume, force=force)
    failed = _score(plan, stores, loader, workers)
    from aigdetect.evaluation.from_plan import evaluate as measure
    from aigdetect.evaluation.published import published_tables

    terminal.say("measuring")
    evaluation = measure(
        plan,
        stores,
        audits,
        published=published_tables() if paper else (),
        command=shlex.join(["aigdetect", *sys.argv[1:]]),
    )
    console.tables(evaluation)
    studies = _look_inside(plan, loader, workers) if experts else []
    if json:
        from aigdetect.evaluation.report.folder import results_json

        sys.stdout.write(results_json(evaluation, studies))
    if report is not None:
        from aigdetect.evaluation.report.folder import write_report

        written = write_report(evaluation, report, experts=studies)
        terminal.say(f"{len(written)} files written to {report}")
    return Exit.SOME_FAILED if failed else Exit.DONE


# -- what is there ------------------------------------------------------------------------------------------


class _Console:
    """Results for people, on standard output; nothing of them if it is wanted for JSON."""

    def __init__(self, *, json: bool) -> None:
        self._console = terminal.results()
        self._console.quiet = json
        if not self._console.is_terminal:
            self._console.width = 400  # nothing to fit into: rows stay on one line

    def section(self, title: str, blocks: Iterable[Block]) -> None:
        from aigdetect.cli.blocks import show_blocks, show_title

        show_title(self._console, title)
        show_blocks(self._console, blocks)

    def tables(self, evaluation: Evaluation) -> None:
        from aigdetect.evaluation import tables
        from aigdetect.evaluation.report.sections import detector_section

        told = detector_section(evaluation)
        self.section(told.title, told.blocks)
        sets = evaluation.sets
        for run in evaluation.runs:
            made = [tables.generator_table(sets, run, measure) for measure in tables.BY_GENERATOR]
            alone = tables.real_table(sets, run)
            title = f"Results after {run.parity} on both classes" if run.parity else "Results"
            self.section(title, [*made, *([alone] if alone else []), tables.summary_table(run)])
        robust = {each.name: each.robustness for each in evaluation.detectors if each.robustness}
        if robust:
            made = [tables.robustness_table(name, levels) for name, levels in robust.items()]
            self.section("Robustness", made)
        if evaluation.published:
            made = [tables.paper_table(evaluation, each) for each in evaluation.published]
            self.section("The paper's tables", made)


def _say_what_is_there(plan: Plan, console: _Console, workers: int) -> list[BiasAudit]:
    """What was found, what the files alone give away, and the protocol: before any score."""
    from aigdetect.evaluation.bias import audit_bias
    from aigdetect.evaluation.report.bias_section import bias_section
    from aigdetect.evaluation.report.document import Text
    from aigdetect.evaluation.tables import data_table

    told = [Text(_told(each)) for each in plan.found]
    console.section("What was found", [*told, data_table(plan.benchmark.sets)])
    audits = []
    for parity in (None, plan.parity) if plan.parity else (None,):
        audits.append(
            audit_bias(
                plan.benchmark.samples,
                parity=parity,
                seed=plan.request.seed,
                workers=workers,
                max_pixels=plan.request.max_pixels,
            )
        )
        if not sys.stdout.isatty():  # else they stand in the audit, in the same place
            for warning in audits[-1].warnings:
                terminal.warn(warning)
    section = bias_section(audits)
    console.section(section.title, section.blocks)
    facts = plan.protocol.facts(seed=plan.request.seed)
    console.section(f"Protocol {facts.name}: {facts.title}", [Text(f"- {line}") for line in facts.lines])
    return audits


def _told(found: FoundData) -> str:
    real, generated = (sum(counts) for counts in list(zip(*found.counts, strict=True))[1:])
    split = f", split {found.split}" if found.split else ""
    left_out = f"; left out: {found.ignored}" if found.ignored else ""
    return f"{found.root}: {found.kind}{split}: {real} real and {generated} generated images{left_out}"


# -- scores -------------------------------------------------------------------------------------------------


class _Loader:
    """Loads a model when it is needed, and once."""

    def __init__(
        self,
        device: Device,
        precision: Precision,
        batch_size: int | None,
        weights: Path | None,
        offline: bool,
    ) -> None:
        self._options = (device, precision, batch_size, weights, offline)
        self._loaded: tuple[str, Detector] | None = None

    def load(self, model: Model) -> Detector:
        """The model; only the last one stays in memory."""
        from aigdetect.methods.loading import load_detector

        if self._loaded is None or self._loaded[0] != model.name:
            device, precision, batch_size, weights, offline = self._options
            self._loaded = None
            detector = load_detector(
                model.folder,
                device=device.value,
                precision=precision.value,
                batch_size=batch_size,
                weights=weights,
                offline=offline,
                say=terminal.say,
                warn=terminal.warn,
            )
            self._loaded = model.name, detector
        return self._loaded[1]


def _check_report(report: Path | None, *, resume: bool, force: bool) -> None:
    if report is None:
        if resume:
            raise UsageError("--resume: name the --report folder whose scores are to be taken")
        return
    from aigdetect.evaluation.report.folder import check_report

    check_report(report, force=force or resume)
    if (report / _SCORES).exists() and not (force or resume):
        raise UsageError(
            f"{report}: holds scores of an earlier run; take them with --resume, or score anew with --force"
        )


def _open_stores(plan: Plan, report: Path | None, *, resume: bool, force: bool) -> list[ScoreStore]:
    from aigdetect.evaluation.from_plan import open_store

    folder = report and report / _SCORES
    if folder and force and not resume:
        shutil.rmtree(folder, ignore_errors=True)
    stores = [open_store(model, plan.protocol, folder) for model in plan.models]
    for store in stores:
        if resume:
            store.read()
    return stores


def _score(plan: Plan, stores: Sequence[ScoreStore], loader: _Loader, workers: int) -> bool:
    """Score what is missing; whether there are images without a score, each of which is named."""
    from aigdetect.evaluation.from_plan import count_missing, score_missing
    from aigdetect.evaluation.score_samples import form_name

    failed = False
    for model, store in zip(plan.models, stores, strict=True):
        total = count_missing(store, plan)
        scored = score_missing(store, plan, load=partial(loader.load, model), workers=workers)
        with (
            terminal.progress(f"scoring with {model.name}", total, hidden=not total) as bar,
            closing(scored),
        ):
            for sample, operation, record in scored:
                form = form_name(operation)
                bar.update(bar.task_ids[0], advance=1, speed=form)
                if record.logit is None:
                    failed = True
                    terminal.error(ImageError(f"{sample.path}: {model.name}, {form}: {record.error}"))
        _warn_of_known(plan, model, store)
    for found in plan.foreign:
        failed |= _name_unmatched(plan, found)
    return failed


def _warn_of_known(plan: Plan, model: Model, store: ScoreStore) -> None:
    """Say how many of the images the model has learnt from."""
    from aigdetect.model.learnt import read_learnt

    samples = plan.benchmark.samples
    if known := store.count_known(samples, read_learnt(model.folder)):
        terminal.warn(
            f"{model.name} was trained on {known} of these {len(samples)} images: on what a model has "
            "learnt, figures come out too good"
        )


def _name_unmatched(plan: Plan, found: ForeignScores) -> bool:
    """Name the rows without an image and the images without a row; whether there are any of the latter."""
    if found.unmatched:
        terminal.warn(f"{found.path}: {len(found.unmatched)} rows fit no image of the data")
        for path in found.unmatched:
            _log.info("%s: no image %s", found.path, path)
    failed = False
    for sample, score in zip(plan.benchmark.samples, found.scores, strict=True):
        if score.score is None:
            failed = True
            terminal.error(ImageError(f"{sample.path}: {found.name}: {score.error}"))
    return failed


# -- inside the models -------------------------------------------------------------------------------------


def _look_inside(plan: Plan, loader: _Loader, workers: int) -> list[ExpertStudy]:
    from aigdetect.data.dataset import load_pixels
    from aigdetect.data.layouts import Sample
    from aigdetect.evaluation.experts import choose_images, has_experts, study_experts
    from aigdetect.images.views import Pixels

    chosen = choose_images(plan.benchmark.samples, seed=plan.request.seed)
    studies = []
    for model in plan.models:
        detector = loader.load(model)
        if not has_experts(detector):
            terminal.say(f"{model.name}: has no separate experts to look into")
            continue

        def load_views(sample: Sample, detector: Detector = detector) -> Pixels:
            return detector.view(plan.protocol.apply(load_pixels(sample, max_pixels=plan.request.max_pixels)))

        terminal.say(f"looking into {model.name}")
        with terminal.progress(f"looking into {model.name}", len(chosen)) as bar:
            task = bar.task_ids[0]
            studies.append(
                study_experts(
                    detector,
                    chosen,
                    load_views=load_views,
                    seed=plan.request.seed,
                    workers=workers,
                    on_image=lambda: bar.advance(task),  # noqa: B023 - called inside the loop only
                )
            )
    return studies
