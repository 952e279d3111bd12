"""What of a report says how far the files alone give the classes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aigdetect.data.audit import WARN_AUC
from aigdetect.evaluation.bias import BiasAudit, ClassFacts, Share, Spread
from aigdetect.evaluation.report.document import (
    LABELS,
    Block,
    Cell,
    Section,
    Table,
    TableBuilder,
    Text,
)
from aigdetect.metrics.measure import Figure


def bias_section(audits: Sequence[BiasAudit]) -> Section:
    """What container, size and compression alone would tell: before any score.

    Args:
        audits: as stored and, if there was a parity run, after it.
    """
    blocks: list[Block] = [
        Text(
            "How well do facts of the files alone, which any detector may have learnt by accident, tell the "
            "classes apart? 0.5: not at all; 1: perfectly. Read every figure below in this light."
        )
    ]
    for audit in audits:
        when = f"after {audit.parity} on both classes alike" if audit.parity else "as stored"
        blocks.append(_verdict_on(audit, when))
        blocks += [_class_table(audit, when), _leak_table(audit, when)]
        if audit.traps:
            blocks.append(Text(f"What parity does not take away: {'; '.join(audit.traps)}.", "small"))
        if audit.unreadable:
            blocks.append(Text(f"{audit.unreadable} files could not be read for this.", "small"))
    return Section("Bias audit of the data", tuple(blocks))


def _verdict_on(audit: BiasAudit, when: str) -> Text:
    found = [
        f"{leak.fact} (AUC {leak.auc:.2f}{'' if leak.marks_pixels else ', though not in the pixels'})"
        for leak in audit.leaks
        if leak.warns
    ]
    if audit.combined.value is not None and audit.combined.value >= WARN_AUC:
        found.append(f"all facts together ({audit.combined.value:.2f})")
    if not found:
        return Text(f"Files {when}: no fact, nor all together, reach an AUC of {WARN_AUC:g}.")
    return Text(
        f"Files {when} tell the classes apart by {', '.join(found)}. A detector may owe its figures to them, "
        "and lose them on other files.",
        "warning",
    )


def _class_table(audit: BiasAudit, when: str) -> Table:
    titles = [f"{LABELS[facts.label]} (n = {facts.images:,})" for facts in audit.classes]
    builder = TableBuilder(f"Files by class, {when}; median (10th to 90th percentile)", ("", *titles))
    rows: dict[str, Callable[[ClassFacts], Cell]] = {
        "formats": lambda facts: Cell(_shares(facts.formats)),
        "commonest sizes": lambda facts: Cell(_shares(facts.sizes)),
        "width in pixels": lambda facts: _spread(facts.widths, "{:.0f}"),
        "height in pixels": lambda facts: _spread(facts.heights, "{:.0f}"),
        "aspect ratio": lambda facts: _spread(facts.aspects, "{:.2f}"),
        "bytes per pixel": lambda facts: _spread(facts.bytes_per_pixel, "{:.2f}"),
        "JPEG quality": lambda facts: (
            _spread(facts.qualities, "{:.0f}") if facts.qualities else Cell("no JPEG")
        ),
        "with EXIF": lambda facts: Cell(f"{100 * facts.exif:.0f} %"),
    }
    for title, cell in rows.items():
        builder.row([title, *(cell(facts) for facts in audit.classes)])
    return builder.table()


def _leak_table(audit: BiasAudit, when: str) -> Table:
    builder = TableBuilder(
        f"Separation by one fact alone, {when}", ("fact", "n", "ROC AUC", "what is common")
    )
    for leak in audit.leaks:
        builder.row([leak.fact, leak.count, Figure(leak.auc), leak.detail])
    whole = sum(facts.images for facts in audit.classes)
    builder.row(
        ["all together, logistic model", whole, audit.combined, "on images left out of its fit"], kind="total"
    )
    return builder.table()


def _shares(shares: Sequence[Share]) -> str:
    return ", ".join(f"{share.value} {100 * share.share:.0f} %" for share in shares)


def _spread(spread: Spread, form: str) -> Cell:
    low, median, high = (form.format(value) for value in (spread.low, spread.median, spread.high))
    return Cell(median, f"{low} to {high}")
