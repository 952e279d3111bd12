"""How rows look to people."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from aigdetect.cli.rows import Highlights, shorten
from aigdetect.evidence.findings import Finding, Kind, Says, Strength
from aigdetect.evidence.provenance import Provenance
from aigdetect.scanning.opinion import Opinion
from aigdetect.scanning.record import Record


@given(st.text(), st.integers(24, 80))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert short == text or ("…" in short and text.endswith(short.rpartition("…")[2]))


def test_the_end_of_a_path_stays() -> None:
    assert shorten("/a/long/way/to/the/picture.png", 24) == "/a/long/…the/picture.png"


def shown(*records: Record, limit: int, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with Highlights(console, limit) as sink:
        for record in records:
            sink.write(record)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def row(path: str, verdict: str, score: float) -> Record:
    return Record(path, status="scored", verdict=verdict, score=score, error=None)  # type: ignore[arg-type]


ROWS = [
    row("a", "real", 0.0),
    row("b", "ai", 0.97),
    Record("c", error="file is truncated"),
    row("d", "uncertain", 0.5),
    row("e", "ai", 1.0),
]


def test_few_rows_are_shown_in_the_order_found() -> None:
    assert [line.split()[0] for line in shown(*ROWS, limit=5)[1:]] == ["a", "b", "c", "d", "e"]


def test_of_many_rows_those_to_look_at_are_shown() -> None:
    lines = shown(*ROWS, limit=3)
    assert [line.split()[0] for line in lines[1:4]] == ["e", "b", "c"]
    assert lines[4].startswith("3 of 5 rows")


@pytest.mark.parametrize(("score", "text"), [(0.0, "0.0001"), (1.0, "0.9999"), (0.5, "0.5000")])
def test_no_score_is_shown_as_certain(score: float, text: str) -> None:
    assert text in shown(row("a", "ai", score), limit=1)[1]


def test_remarks_are_the_error_or_the_notes_and_what_metadata_says_of_ai() -> None:
    said = Provenance(
        findings=(
            Finding(Kind.CAMERA, "EXIF", "Maker", Says.CAPTURED),
            Finding(Kind.GENERATION, "PNG text", "Tool\x1b[2J" + "x" * 200, Says.GENERATED),
            Finding(Kind.CREDENTIAL, "C2PA", "Signed tool", Says.EDITED, Strength.UNTRUSTED),
        ),
        contradictions=("EXIF says captured, but C2PA says AI-edited",),
    )
    scored = replace(row("a", "real", 0.1), notes=("low resolution",), provenance=said)
    failed = Record("b", error="too small to score", notes=("low resolution",), provenance=said)
    only_text = replace(scored, provenance=replace(said, findings=said.findings[:2], contradictions=()))
    lines = [" ".join(line.split()) for line in shown(scored, failed, only_text, limit=3, width=200)[1:]]
    claims = "metadata: AI-edited, Signed tool; metadata: contradictory"
    assert lines[0].endswith(f"low resolution; {claims}")
    assert lines[1] == f"b error too small to score; {claims}"
    assert "metadata: AI-generated, Tool [2Jxxx" in lines[2]
    assert len(lines[2]) < 150


def test_further_models_have_columns_where_there_is_room_and_are_remarks_elsewhere() -> None:
    said = (Opinion("npr", 0.5, "uncertain"), Opinion("\x1b[2J" + "probe" * 9, 1.0, "ai"))
    unsaid = tuple(Opinion(each.model) for each in said)
    rows = [
        replace(row("a", "real", 0.1), notes=("low resolution",), also=said),
        replace(Record("b", error="file is truncated"), also=unsaid),
    ]
    wide = shown(*rows, limit=2, width=136)
    assert [" ".join(line.split()) for line in wide[1:]] == [
        "a real 0.1000 uncertain 0.5000 ai 0.9999 low resolution",
        "b error file is truncated",
    ]
    title, first, failed = wide
    assert title.split()[-3:] == ["npr", "\\x1b[…probeprobe", "remarks"]
    assert title.index("npr") == first.index("uncertain")
    assert title.index("remarks") == first.index("low") == failed.index("file")
    narrow = " ".join(" ".join(shown(*rows, limit=2, width=135)).split())
    assert "npr" not in narrow.partition("remarks")[0]
    assert "low resolution; npr: uncertain (0.5000);" in narrow


def test_nothing_is_shown_for_nothing() -> None:
    assert shown(limit=3) == []
