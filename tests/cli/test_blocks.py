from __future__ import annotations

import io

from rich.console import Console

from aigdetect.cli.blocks import show_blocks, show_title
from aigdetect.evaluation.report.document import Facts, Plot, TableBuilder, Text
from aigdetect.metrics.measure import Figure


def shown(*blocks: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    show_title(console, "Title")
    show_blocks(console, blocks)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def lines(*blocks: object, width: int = 100) -> list[str]:
    return [line.rstrip() for line in shown(*blocks, width=width).splitlines()]


def test_texts_and_facts() -> None:
    assert lines(Text("one"), Text("two", "warning"), Facts((("term", "said"),))) == [
        "",
        "Title",
        "",
        "one",
        "warning: two",
        "",
        "term: said",
    ]


def test_a_table_with_heading_interval_and_note() -> None:
    builder = TableBuilder("Caption", ("generator", "images", "mine"))
    builder.heading("GAN")
    builder.row(["ProGAN", 1200, Figure(0.5, 0.25, 0.75)])
    builder.row(["BigGAN", 3, Figure(None, reason="no real images")])
    assert lines(builder.table())[3:] == [
        "Caption",
        "generator  images                    mine",
        "GAN",
        "ProGAN      1,200  0.500 (0.250 to 0.750)",
        "BigGAN          3         not defined [1]",
        "[1] no real images",
    ]


def test_a_table_that_is_too_wide_is_told_in_parts() -> None:
    builder = TableBuilder("Caption", ("generator", *(f"detector {number}" for number in range(4))))
    builder.row(["ProGAN", *(Figure(number / 10, 0, 1) for number in range(4))])
    told = lines(builder.table(), width=60)
    assert max(map(len, told)) <= 60
    assert sum(line.startswith("ProGAN") for line in told) == 2
    for number in range(4):
        assert f"0.{number}00 (0.000 to 1.000)" in "\n".join(told)


def test_names_cannot_drive_the_terminal_and_plots_are_left_out() -> None:
    builder = TableBuilder("Caption", ("[red]\x1b[31m", "b"))
    builder.row(["line\nbreak", "[/x]"])
    plot = Plot("p", "t", "c", "alt", b"", b"")
    told = shown(builder.table(), Text("\x07bell"), plot)
    assert "\x1b" not in told
    assert "\x07" not in told
    assert all(part in told for part in ("[red]\\x1b[31m", "line\\nbreak", "[/x]", "\\x07bell"))
