"""Write a report as one HTML page that needs nothing else: no script, no file, no network."""

from __future__ import annotations

import base64

from aigdetect.evaluation.document import Document, Facts, Plot, Table
from aigdetect.text import printable


def to_html(document: Document) -> str:
    """A report as a page.

    Text of unknown origin is escaped, its control and format characters come out as escapes; plots lie in the
    page as images, in which nothing runs; a content security policy forbids all else.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("aigdetect", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # every expression, so that none can be forgotten
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    kinds = {Table: "table", Plot: "plot", Facts: "facts"}
    environment.filters["kind"] = lambda block: kinds.get(type(block), "text")
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.get_template("page.html.j2").render(document=document)
