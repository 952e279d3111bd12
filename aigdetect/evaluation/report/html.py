"""Write a report as one HTML page that needs nothing else: no script, no file, no network."""

from __future__ import annotations

from aigdetect.evaluation.report.document import Document, Facts, Plot, Table
from aigdetect.pages.environment import environment


def to_html(document: Document) -> str:
    """A report as a page.

    Text of unknown origin is escaped, its control and format characters come out as escapes; plots lie in the
    page as images, in which nothing runs; a content security policy forbids all else.
    """
    templates = environment("evaluation/report")
    kinds = {Table: "table", Plot: "plot", Facts: "facts"}
    return templates.get_template("page.html.j2").render(
        document=document, kind=lambda block: kinds.get(type(block), "text")
    )
