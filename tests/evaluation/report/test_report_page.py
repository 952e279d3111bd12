from __future__ import annotations

import base64
import re

import page_reader
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_reader import NOT_VISIBLE, Reader

from aigdetect.evaluation.report.document import (
    Cell,
    Document,
    Facts,
    Plot,
    Section,
    Table,
    TableBuilder,
    Text,
    interval_text,
    value_text,
)
from aigdetect.evaluation.report.html import to_html
from aigdetect.evaluation.report.markdown import to_markdown
from aigdetect.metrics.measure import Figure

HOSTILE = (
    *page_reader.HOSTILE,
    '<script>alert("1")</script>',
    "line\nbreak | pipe `code` **bold** [link](http://x)",
    "--> <!-- &amp; &lt;",
    "x" * 300,
)


def read(page: str) -> Reader:
    page.encode("utf-8")
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def document(*names: str) -> Document:
    """Every name in every place of a document where text can be."""
    blocks = []
    for name in names:
        table = TableBuilder(name, (name, "AP"))
        table.heading(name)
        table.row([Cell(name, name), Figure(None, reason=name)])
        table.row([name, Figure(0.5, 0.4, 0.6)], kind="total")
        blocks += [
            Text(name),
            Text(name, "warning"),
            Facts(((name, name),)),
            table.table(),
            Plot("plot-1", name, name, name, b"<svg/>", b""),
        ]
    return Document(names[0], names[0], (Section(names[0], tuple(blocks)),))


def shape(reader: Reader) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in reader.tags]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_changes_the_page(name: str) -> None:
    page = to_html(document(name))
    reader = read(page)
    assert shape(reader) == shape(read(to_html(document("harmless"))))
    assert not NOT_VISIBLE.search(page)
    assert not reader.comments
    assert sum(name[:3].strip() in text for text in reader.texts) >= 10


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_no_text_at_all_changes_the_page(name: str) -> None:
    reader = read(to_html(document(name)))
    assert shape(reader) == HARMLESS
    assert not any(char in text for text in reader.texts for char in "\x00\u202e\x1b")


HARMLESS = shape(read(to_html(document("harmless"))))


def test_page_needs_and_runs_nothing() -> None:
    reader = read(to_html(document(*HOSTILE)))
    for tag, attributes in reader.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "img":
            assert attributes["src"] == "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()
            assert attributes["alt"]
        if tag == "a":
            assert attributes["href"].startswith("#s")
    policy = [
        a for tag, a in reader.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy[0]["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    style = "".join(reader.texts)
    assert "@import" not in style
    assert "url(" not in style


def test_contents_lead_to_sections() -> None:
    made = Document("t", "s", (Section("one", ()), Section("two", ())))
    reader = read(to_html(made))
    targets = {a["id"] for tag, a in reader.tags if tag == "section"}
    assert [a["href"] for tag, a in reader.tags if tag == "a"] == ["#s1", "#s2"]
    assert targets == {"s1", "s2"}


def test_table_builder_numbers_each_reason_once() -> None:
    builder = TableBuilder("caption", ("set", "AP", "n"))
    builder.row(["a", Figure(None, reason="no real images"), 1234])
    builder.row(["b", Figure(0.75, 0.7, 0.8, "few"), 5])
    builder.row(["c", Figure(None, reason="no real images"), 6])
    table = builder.table()
    assert table.notes == ("no real images", "few")
    assert [row.cells[1] for row in table.rows] == [
        Cell("not defined", note=1, number=True),
        Cell("0.750", "0.700 to 0.800", 2, True),
        Cell("not defined", note=1, number=True),
    ]
    assert table.rows[0].cells[2] == Cell("1,234", number=True)
    assert table.number_columns == {1, 2}
    with pytest.raises(ValueError, match="2 cells in a table of 3"):
        builder.row(["d", 1])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.000"),
        (0.99951, ">0.999"),
        (0.0, "0.000"),
        (0.0004, "<0.001"),
        (-0.0004, ">−0.001"),
        (-0.25, "−0.250"),
        (None, "not defined"),
    ],
)
def test_no_value_is_rounded_to_certainty(value: float | None, text: str) -> None:
    assert value_text(Figure(value)) == text


def test_interval_text() -> None:
    assert interval_text(Figure(0.5, -0.1, 0.75)) == "−0.100 to 0.750"
    assert interval_text(Figure(0.5)) == ""


def test_markdown_of_a_whole_document() -> None:
    table = TableBuilder("Average precision", ("generator", "ours", "n"))
    table.heading("GAN")
    table.row(["sd1_other", Figure(0.9, 0.8, 0.95, "few images"), 12])
    table.row(["mean", Figure(0.9), 12], kind="total")
    made = Document(
        "Evaluation",
        "of a|b",
        (
            Section(
                "Data",
                (
                    Text("plain"),
                    Text("leaks", "warning"),
                    Facts((("images", "12"),)),
                    table.table(),
                    Plot("roc", "ROC", "how to read it", "ROC curves", b"", b""),
                ),
            ),
        ),
    )
    assert to_markdown(made) == (
        "# Evaluation\n\nof a\\|b\n\n## Data\n\nplain\n\n> **Warning.** leaks\n\n- images: 12\n\n"
        "**Average precision**\n\n| generator | ours | n |\n| --- | ---: | ---: |\n| **GAN** |  |  |\n"
        "| sd1_other | 0.900 (0.800 to 0.950) [1] | 12 |\n| **mean** | 0.900 | 12 |\n\n1. few images\n\n"
        "**ROC**\n\n![ROC curves](figures/roc.png)\n\nhow to read it\n"
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_breaks_markdown(name: str) -> None:
    written = to_markdown(document(name))
    written.encode("utf-8")
    harmless = to_markdown(document("harmless"))
    assert written.count("\n") == harmless.count("\n")
    assert not NOT_VISIBLE.search(written)
    assert not re.search(r"(?<!\\)[<`]", written)
    for line in written.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3


def test_a_plain_table_without_notes() -> None:
    made = Document("t", "s", (Section("x", (Table("c", ("a",), ()),)),))
    assert "<ol" not in to_html(made)
    assert to_markdown(made).endswith("| a |\n| --- |\n")
