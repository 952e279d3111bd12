"""What an evaluation shows on standard output: what is in the data, and its tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from aigdetect.cli.blocks import show_blocks, show_title
from aigdetect.cli.options import terminal
from aigdetect.cli.printing import printing
from aigdetect.evaluation import tables
from aigdetect.evaluation.bias import BiasAudit
from aigdetect.evaluation.plan import Plan
from aigdetect.evaluation.report.bias_section import bias_section
from aigdetect.evaluation.report.document import Block, Text
from aigdetect.evaluation.report.sections import detector_section
from aigdetect.evaluation.results import Evaluation, FoundData


class EvalConsole:
    """Results for people; nothing of them if standard output is wanted for JSON.

    Args:
        json: whether it is.
    """

    def __init__(self, *, json: bool) -> None:
        self._console = terminal.results()
        self._console.quiet = json
        if not self._console.is_terminal:
            self._console.width = 400  # nothing to fit into: rows stay on one line

    def found(self, plan: Plan) -> None:
        """Say what was found in the data."""
        told = [Text(_told(each)) for each in plan.found]
        self._section("What was found", [*told, tables.data_table(plan.benchmark.sets)])

    def audits(self, audits: Sequence[BiasAudit]) -> None:
        """Say what the files alone give away; warnings of it go to standard error where nobody sees this."""
        if not sys.stdout.isatty():  # else they stand in the audit, in the same place
            for audit in audits:
                for warning in audit.warnings:
                    terminal.warn(warning)
        section = bias_section(audits)
        self._section(section.title, section.blocks)

    def protocol(self, plan: Plan) -> None:
        """Say how images are taken and prepared."""
        facts = plan.protocol.facts(seed=plan.request.seed)
        self._section(f"Protocol {facts.name}: {facts.title}", [Text(f"- {line}") for line in facts.lines])

    def tables(self, evaluation: Evaluation) -> None:
        """Show what was measured."""
        told = detector_section(evaluation)
        self._section(told.title, told.blocks)
        sets = evaluation.sets
        for run in evaluation.runs:
            made = [tables.generator_table(sets, run, measure) for measure in tables.BY_GENERATOR]
            alone = tables.real_table(sets, run)
            title = f"Results after {run.parity} on both classes" if run.parity else "Results"
            self._section(title, [*made, *([alone] if alone else []), tables.summary_table(run)])
        robust = {each.name: each.robustness for each in evaluation.detectors if each.robustness}
        if robust:
            made = [tables.robustness_table(name, levels) for name, levels in robust.items()]
            self._section("Robustness", made)
        if evaluation.published:
            made = [tables.paper_table(evaluation, each) for each in evaluation.published]
            self._section("The paper's tables", made)

    def _section(self, title: str, blocks: Iterable[Block]) -> None:
        with printing():
            show_title(self._console, title)
            show_blocks(self._console, blocks)


def _told(found: FoundData) -> str:
    real, generated = (sum(counts) for counts in list(zip(*found.counts, strict=True))[1:])
    split = f", split {found.split}" if found.split else ""
    left_out = f"; left out: {found.ignored}" if found.ignored else ""
    return f"{found.root}: {found.kind}{split}: {real} real and {generated} generated images{left_out}"
