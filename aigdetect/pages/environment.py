"""Templates of pages that need nothing else, in which text of unknown origin can do nothing."""

from __future__ import annotations

import base64
import hashlib
import itertools
from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from aigdetect.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment


@lru_cache
def environment(package: str) -> Environment:
    """Templates of a package inside ``aigdetect``, and those that all pages share (``base.css``).

    Every text is escaped, and its control, format and surrogate characters come out as escapes. The filter
    ``visible`` marks those escapes (for text between tags, never inside an attribute), ``base64`` turns bytes
    into text.

    Args:
        package: where the templates lie, with slashes: ``"evaluation"``.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader("aigdetect", folder) for folder in (package, "pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # every expression, so that none can be forgotten
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    made.filters["base64"] = lambda content: Markup(base64.b64encode(content).decode("ascii"))
    made.filters["visible"] = visible
    return made


def visible(text: str) -> Markup:
    r"""Text with what is not printable as escapes of the class ``escape``.

    So a name with a control character and one that holds the letters of its escape do not look the same.
    """
    if text.isprintable():
        return Markup.escape(text)
    runs = itertools.groupby(text, str.isprintable)
    return Markup("").join(
        "".join(run) if shown else Markup('<span class="escape">{}</span>').format(printable("".join(run)))
        for shown, run in runs
    )


def source_hash(text: str) -> str:
    """An inline script or style as a content security policy names it: ``'sha256-...'``."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
