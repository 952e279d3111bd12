"""What of a report says what goes on inside a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aigdetect.evaluation.report.document import LABELS, Block, Section, Text
from aigdetect.evaluation.report.expert_plots import load_figure, map_figure, place_title
from aigdetect.evaluation.report.style import as_plot, slug

if TYPE_CHECKING:
    from aigdetect.evaluation.experts import ExpertStudy


def expert_section(study: ExpertStudy, number: int, family: Callable[[str], str]) -> Section:
    """What goes on inside one model.

    Args:
        study: of the model.
        number: of the model, for the names of files.
        family: family of a generator.
    """
    least, expert = study.least_used
    uniform = 100 / len(study.separate)
    name = f"{number}-{slug(study.model)}"
    unreadable = f"; {study.unreadable:,} more could not be read" if study.unreadable else ""
    blocks: list[Block] = [
        Text(
            f"At every router, each token of an image goes to one of {len(study.separate)} separate experts. "
            f"Read from {study.images:,} images{unreadable}. Used alike, each would get {uniform:.0f} % of "
            f"the tokens. The least used is {study.separate[expert]} at {place_title(least.place)}, with "
            f"{100 * least.load[expert]:.1f} % of the tokens of {LABELS[least.label]} images."
        ),
        as_plot(
            f"expert-load-{name}",
            load_figure(study),
            title="Load of the experts",
            caption="Share of the tokens that each expert gets, in per cent, by generator or source.",
            alt=f"Share of tokens of each expert of {study.model} by block and generator",
        ),
        as_plot(
            f"expert-gates-{name}",
            load_figure(study, gates=True),
            title="Mean gate of the experts",
            caption="Mean gate of each expert over all tokens, in per cent: what the routers give to each.",
            alt=f"Mean gate of each expert of {study.model} by block and generator",
        ),
    ]
    if study.maps:
        blocks.append(
            as_plot(
                f"expert-maps-{name}",
                map_figure(study, family=family),
                title="What each expert sees: t-SNE maps",
                caption=f"Frozen MLP's output plus that of one expert ({study.token}), {len(study.mapped):,} "
                "images. Near means alike; distances between groups, their sizes and the axes mean nothing.",
                alt=f"t-SNE maps of {study.model} by block and expert",
            )
        )
    return Section(f"Inside {study.model}", tuple(blocks))
