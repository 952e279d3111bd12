"""How plots look, on screens, in print and to the colour-blind, and how they become files.

Colours are those of Okabe and Ito, which the colour-blind tell apart; each detector also has a dash, a marker
and a hatch of its own, for printing in grey. Names are data: no mathematics, no control characters, nothing
that the font lacks.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aigdetect.evaluation.report.document import Plot
from aigdetect.metrics.measure import Figure as Value
from aigdetect.text import printable, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F = TypeVar("F", bound="Callable[..., Figure]")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = (
    *("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5))),
    *((0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (2, 3))),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oo")
STYLES = len(COLOURS)
WIDTH = 7.2  # inches, so that text of 9 points is of that size on a page
_NAME = 36  # characters of a name at most
_FONT = "DejaVu Sans"  # comes with matplotlib: the same plot on every machine
_SETTINGS: Any = {
    "text.parse_math": False,
    "font.family": _FONT,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "aigdetect",
}


def drawing(function: F) -> F:
    """Draw with the house's settings, whatever those of the process."""

    @wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        with _settings():
            return function(*args, **kwargs)

    return drawn  # type: ignore[return-value]


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG on white, 160 dots per inch; the same bytes for the same figure."""
    return _saved(figure, format="png", dpi=160, facecolor="white", metadata={"Software": "aigdetect"})


def as_svg(figure: Figure) -> bytes:
    """A figure as an SVG on a transparent ground, text as outlines; the same bytes for the same figure."""
    return _saved(figure, format="svg", dpi=160, transparent=True, metadata={"Date": None, "Creator": None})


def as_plot(name: str, figure: Figure, *, title: str, caption: str, alt: str) -> Plot:
    """A figure as a block of a report, in both forms; the rest as for :class:`Plot`."""
    return Plot(name, title, caption, alt, as_svg(figure), as_png(figure))


def slug(text: str) -> str:
    """Text as part of the name of a plot: lower-case ASCII letters, digits and dashes, 1 to 40 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "unnamed"


def new_figure(*, height: float, width: float = WIDTH) -> Figure:
    """A figure of so many inches that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_below(figure: Figure, *panels: Axes) -> None:
    """One legend for all panels, each label once."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    longest = max(map(len, found), default=0)
    columns = min(len(found), max(1, min(4, int(13 * figure.get_figwidth()) // (longest + 10))))
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=columns or 1, handlelength=3
    )


def bar_style(index: int) -> dict[str, Any]:
    """How the bars of the detector at a place look, as keywords of matplotlib's ``barh``."""
    from matplotlib.colors import to_rgb

    colour = COLOURS[index % STYLES]
    return {
        # pale, so that intervals and hatches stay visible; not by transparency, which hatches lose in an SVG
        "facecolor": tuple(0.45 * channel + 0.55 for channel in to_rgb(colour)),
        "edgecolor": colour,
        "hatch": _HATCHES[index % STYLES],
        "linewidth": 0.8,
    }


def interval_ends(values: Sequence[Value]) -> NDArray[np.float64]:
    """Distances ``(2, n)`` from values to the ends of their intervals, 0 where there is none."""
    ends = [
        (0.0, 0.0)
        if value.value is None or value.low is None or value.high is None
        # a percentile interval need not hold its figure
        else (max(0.0, value.value - value.low), max(0.0, value.high - value.value))
        for value in values
    ]
    low, high = zip(*ends, strict=True) if ends else ((), ())
    return np.array([low, high], dtype=np.float64)


def heat_map(axes: Axes, values: NDArray[np.float64], highest: float) -> Any:
    """Draw shares ``(rows, columns)``, 0 to ``highest``, with each in per cent; gives matplotlib's image."""
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=highest, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value > 0.55 * highest else "white"
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.grid(visible=False)
    return image


def drawn_name(text: str, width: int = _NAME) -> str:
    """Text of unknown origin as it may be drawn: printable, in glyphs that the font has, not too long."""
    known = _glyphs()
    drawable = "".join(
        char if ord(char) in known else char.encode("unicode_escape").decode("ascii")
        for char in printable(text)
    )
    return shorten(drawable, width)


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())


@contextmanager
def _settings() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context():
        from matplotlib import rcdefaults, rcParams

        rcdefaults()
        rcParams.update(_SETTINGS)
        yield


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    with _settings():
        figure.savefig(content, **options)
    return content.getvalue()
