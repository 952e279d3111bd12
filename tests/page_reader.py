"""Reads HTML pages as strictly as a test should."""

from __future__ import annotations

import re
from html.parser import HTMLParser

NOT_VISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

HOSTILE = (
    "</table></body><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" style="display:none',
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "right\u202egpj.ecafelas\u202c",
    "zero\u200bwidth\ufeff\u2066isolate",
    "escape\x1b[31m\x00\x7f\x9b",
    "lone\udcff surrogate",
    "שלום עליכם",
)
"""Texts that would do harm in a page that did not escape them."""


class Reader(HTMLParser):
    """Reads a page as strictly as the library allows: every tag closed, in the right order."""

    void = frozenset({"meta", "img", "link", "br"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)
