"""An evaluation as it is carried out: what is there first, then scores, figures, and a report of them."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from aigdetect.cli.console import Exit
from aigdetect.cli.eval_console import EvalConsole
from aigdetect.cli.eval_request import Output, Request
from aigdetect.cli.options import Loading, terminal
from aigdetect.cli.printing import put
from aigdetect.data.dataset import load_pixels
from aigdetect.data.layouts import Sample
from aigdetect.errors import ImageError
from aigdetect.evaluation.bias import BiasAudit, audit_bias
from aigdetect.evaluation.foreign import ForeignScores
from aigdetect.evaluation.from_plan import count_missing, evaluate, open_store, score_missing
from aigdetect.evaluation.plan import Model, Plan, make_plan
from aigdetect.evaluation.published import published_tables
from aigdetect.evaluation.report.folder import results_json, write_report
from aigdetect.evaluation.results import Evaluation
from aigdetect.evaluation.score_samples import form_name
from aigdetect.evaluation.score_store import ScoreStore
from aigdetect.images.views import Pixels
from aigdetect.model.learnt import read_learnt
from aigdetect.scanning.engines import default_workers

if TYPE_CHECKING:
    from aigdetect.evaluation.experts import ExpertStudy
    from aigdetect.model.detector import Detector

_log = logging.getLogger(__name__)


def run_evaluation(request: Request) -> int:
    """Carry out what is asked for; its exit status.

    Raises:
        AigdetectError: if nothing can be done, or the report cannot be written.
    """
    output = request.output
    workers = request.workers or default_workers()
    # all that can be wrong with the command is said before anything slow begins
    plan = make_plan(request.measured)
    if not request.dry_run:
        output.check()
    console = EvalConsole(json=output.json)
    audits = _say_what_is_there(plan, console, workers)
    if request.dry_run:
        return Exit.DONE
    loader = _Loader(request.loading)
    stores = _open_stores(plan, output)
    failed = _score(plan, stores, loader, workers)
    terminal.say("measuring")
    evaluation = evaluate(
        plan,
        stores,
        audits,
        published=published_tables() if output.paper else (),
        command=shlex.join(["aigdetect", *sys.argv[1:]]),
    )
    console.tables(evaluation)
    studies = _look_inside(plan, loader, workers) if output.experts else []
    _hand_out(evaluation, studies, output)
    return Exit.SOME_FAILED if failed else Exit.DONE


def _say_what_is_there(plan: Plan, console: EvalConsole, workers: int) -> list[BiasAudit]:
    """What was found, what the files alone give away, and the protocol: before any score."""
    console.found(plan)
    audits = [
        audit_bias(
            plan.benchmark.samples,
            parity=parity,
            seed=plan.request.seed,
            workers=workers,
            max_pixels=plan.request.max_pixels,
        )
        for parity in ((None, plan.parity) if plan.parity else (None,))
    ]
    console.audits(audits)
    console.protocol(plan)
    return audits


def _hand_out(evaluation: Evaluation, studies: Sequence[ExpertStudy], output: Output) -> None:
    """JSON and a report, where they are wanted."""
    if output.json:
        put(results_json(evaluation, studies))
    if output.report is not None:
        written = write_report(evaluation, output.report, experts=studies)
        terminal.say(f"{len(written)} files written to {output.report}")


# -- scores ------------------------------------------------------------------------------------------------


class _Loader:
    """Loads a model when it is needed, and once."""

    def __init__(self, loading: Loading) -> None:
        self._options = asdict(loading)
        self._loaded: tuple[str, Detector] | None = None

    def load(self, model: Model) -> Detector:
        """The model; only the last one stays in memory."""
        from aigdetect.methods.loading import load_detector

        if self._loaded is None or self._loaded[0] != model.name:
            self._loaded = None
            detector = load_detector(model.folder, **self._options, say=terminal.say, warn=terminal.warn)
            self._loaded = model.name, detector
        return self._loaded[1]


def _open_stores(plan: Plan, output: Output) -> list[ScoreStore]:
    folder = output.scores_folder()
    stores = [open_store(model, plan.protocol, folder) for model in plan.models]
    for store in stores:
        if output.resume:
            store.read()
    return stores


def _score(plan: Plan, stores: Sequence[ScoreStore], loader: _Loader, workers: int) -> bool:
    """Score what is missing; whether there are images without a score, each of which is named."""
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
    from aigdetect.evaluation.experts import choose_images, has_experts, study_experts

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
