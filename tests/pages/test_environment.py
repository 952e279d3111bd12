from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from aigdetect.pages.environment import environment, source_hash, visible
from aigdetect.text import printable


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_visible_is_the_printable_text_with_marks(text: str) -> None:
    marked = str(visible(text))
    plain = re.sub(r'<span class="escape">(.*?)</span>', r"\1", marked)
    assert "<" not in plain
    assert html.unescape(plain) == printable(text)
    assert ("escape" in marked) == (not text.isprintable()) or "escape" in text


def test_every_expression_of_a_template_is_escaped() -> None:
    template = environment("evaluation").from_string("{{ text }}|{{ data | base64 }}")
    assert template.render(text="<b>\u202e", data=b"\xff\xfe") == "&lt;b&gt;\\u202e|//4="


def test_a_hash_is_that_of_the_policy() -> None:
    # the example of the specification: Content Security Policy Level 3, section 8.2
    assert source_hash("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
