from __future__ import annotations

import base64
import hashlib
import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import page_reader
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_reader import NOT_VISIBLE
from scan_pages import header, others, page, picture, read, row, with_pictures

from aigdetect.errors import UsageError
from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.findings import Finding, Kind, Says, Strength
from aigdetect.evidence.provenance import Provenance
from aigdetect.model.calibration import Calibration
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess
from aigdetect.scanning.page.header import PageHeader
from aigdetect.scanning.page.provenance_lines import claims_of, summary_of
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.page.write import write_page
from aigdetect.scanning.record import Record
from aigdetect.scanning.writers import jsonl_row

HOSTILE = (
    *page_reader.HOSTILE,
    '<script>document.title="run"</script>',
    "line\nbreak\ttab\rreturn",
    "--> <!-- &amp; &lt; ]]> <!--counts-->",
    "x" * 2000,
)


TEXT = Strength.TEXT.value


def everywhere(name: str) -> PageRow:
    """A row with a text in every place where one can be."""
    made = row(
        f"{name}/{name}",
        notes=[name],
        error=name,
        format=name,
        sha256=name,
        model=name,
        provenance={
            "exif": {"make": name, "software": "S"},  # a summary there is in any case
            "findings": [
                {"kind": "credit", "where": name, "claim": name, "says": "nothing", "strength": TEXT}
            ],
            "contradictions": [name],
            name: [name, {name: name}],
        },
        unknown=name,
        **{f"score_{name}": 0.5, f"verdict_{name}": name},
    )
    return with_pictures(made)


HARMLESS = "harmless"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_changes_the_page(name: str, tmp_path: Path) -> None:
    facts = {"command": name, "model": name, "backbone": name}
    made = page(tmp_path, [everywhere(name)], **facts, also=others(name))
    reader = read(made)
    harmless = page(tmp_path, [everywhere(HARMLESS)], also=others(HARMLESS))
    assert reader.shape() == read(harmless).shape()
    assert not NOT_VISIBLE.search(made)
    assert not reader.comments
    assert sum(name[:3].strip() in text for text in reader.texts) >= 12


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(name=st.text(st.characters(exclude_categories=()), min_size=1).filter(lambda name: "/" not in name))
def test_no_text_at_all_changes_the_page(name: str, tmp_path: Path) -> None:
    reader = read(page(tmp_path, [everywhere(name)]))
    assert reader.shape() == read(page(tmp_path, [everywhere(HARMLESS)])).shape()
    assert not any(char in text for text in reader.texts for char in "\x00\u202e\x1b")


def test_what_is_escaped_is_marked_and_differs_from_its_letters(tmp_path: Path) -> None:
    made = page(tmp_path, [PageRow(row("a\u202eb")), PageRow(row("a\\u202eb"))])
    assert '<bdi>a<span class="escape">\\u202e</span>b</bdi>' in made
    assert "<bdi>a\\u202eb</bdi>" in made


def test_the_policy_names_the_script_and_the_style_and_nothing_else(tmp_path: Path) -> None:
    reader = read(page(tmp_path, [everywhere(name) for name in HOSTILE]))
    policies = [tag["content"] for kind, tag in reader.tags if "http-equiv" in tag]
    hashes = {
        kind: "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for kind, text in reader.sources.items()
    }
    assert policies == [
        f"default-src 'none'; img-src data:; style-src {hashes['style']}; script-src {hashes['script']}; "
        "base-uri 'none'; form-action 'none'"
    ]
    assert [kind for kind, _ in reader.tags].count("script") == 1
    for kind, tag in reader.tags:
        assert kind not in ("link", "iframe", "object", "embed", "base")
        assert not [name for name in tag if name.startswith("on") or name == "style"]
        if kind == "img":
            assert re.fullmatch(r"data:image/(png|webp|jpeg);base64,[A-Za-z0-9+/=]+", tag["src"] or "")
            assert tag["alt"] is not None
        if kind == "a":
            assert (tag["href"] or "").removeprefix("#") in {other.get("id") for _, other in reader.tags}
    for source in reader.sources.values():
        assert not re.search(r"@import|url\(|https?:|eval|innerHTML", source)


def test_counts_are_those_of_the_rows(tmp_path: Path) -> None:
    scores = [0.95] * 3 + [0.5] * 2 + [0.1] * 4 + [None]
    reader = read(page(tmp_path, [PageRow(row("x", score)) for score in scores], passed_over=1234))
    assert (
        "AI 3 uncertain 2 real 4 not scored 1 10 images in all; 1,234 other files passed over." in reader.text
    )


def test_an_empty_scan_has_a_page(tmp_path: Path) -> None:
    assert "AI 0 uncertain 0 real 0 not scored 0 0 images in all." in read(page(tmp_path, [])).text


def test_limits_are_said_in_words(tmp_path: Path) -> None:
    text = read(page(tmp_path, [])).text
    assert "Absence of a detection is no proof of authenticity" in text
    assert "The score is above 0.9000. Of new real images like the 147" in text
    assert "at most 1 in 100" in text
    assert "capped by the size of the calibration sample: at +2.17 and −2.11" in text
    assert "2026-03-01 10:00:00 UTC" in text
    assert "cut short" not in text
    few = read(page(tmp_path, [], fpr=0.001, fpr_supported=False)).text
    assert "No image gets this verdict: the 147 real images that" in few
    assert "too few for the rate of 0.1 in 100 that was asked for. About 1 in 148 is all they can show" in few
    assert "The scan was cut short." in read(page(tmp_path, [], finished=None)).text


def test_a_record_and_its_line_of_json_make_the_same_page(tmp_path: Path) -> None:
    record = Record(
        "folder/a\udcff.jpg",
        sha256="d" * 64,
        status="scored",
        verdict="ai",
        score=0.99999,
        logit=5.0,
        log10_lr=2.0,
        format="JPEG",
        width=10,
        height=20,
        notes=("low resolution",),
        provenance=Provenance(exif=ExifFacts(make="Maker", model="Model")),
        error=None,
    )
    fresh = page(tmp_path, [PageRow.of_record(record, thumbnail=picture())])
    again = page(tmp_path, [PageRow(json.loads(jsonl_row(record)), thumbnail=picture())])
    assert fresh == again
    text = read(fresh).text
    assert "low resolution" in text
    assert "0.9999" in text
    assert "Maker" in text
    assert "about 100 times as frequent among generated as among real images" in text


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"path": 7, "score": "high", "log10_lr": float("nan"), "verdict": "perhaps", "notes": "text"},
        {"path": None, "provenance": ["list"], "width": "wide", "height": [1], "error": {"a": 1}},
        {"score": True, "log10_lr": 1e300, "notes": [None, 3], "provenance": {"a": {"b": {"c": {}}}}},
    ],
)
def test_rows_that_are_not_what_they_should_be_do_no_harm(odd: dict[str, object], tmp_path: Path) -> None:
    reader = read(page(tmp_path, [PageRow(odd)]))
    assert [tag for kind, tag in reader.tags if kind == "tbody"]


def test_metadata_of_any_depth_and_length_is_bounded(tmp_path: Path) -> None:
    deep: object = "bottom"
    for _ in range(500):
        deep = {"in": deep}
    long = {f"key {number}": "x" * 10_000 for number in range(1000)}
    made = page(tmp_path, [PageRow(row("x", provenance={"deep": deep, "long": long}))])
    assert len(made) < 120_000
    assert "the JSON Lines output has all of it" in made


def test_contradictions_and_findings_come_first_and_in_the_table_as_csv_has_them(tmp_path: Path) -> None:
    provenance = Provenance(
        exif=ExifFacts(make="Maker", model="Model"),
        findings=(
            Finding(Kind.CAMERA, "EXIF", "Maker Model", Says.CAPTURED),
            Finding(Kind.LABEL, "XMP", "made by a model", Says.GENERATED, Strength.UNTRUSTED),
        ),
        contradictions=("EXIF says captured, but XMP says AI-generated",),
    )
    claims = claims_of(provenance.as_dict())
    assert [claim.weight for claim in claims] == ["contradiction", "finding", "finding", "fact", "fact"]
    assert claims[2].label == "XMP, AI label"
    assert claims[2].text == ("made by a model (AI-generated; signed and intact, signer on no trust list)")
    assert summary_of(provenance.as_dict()) == provenance.summary()
    made = page(tmp_path, [PageRow(row("x", provenance=provenance.as_dict()))])
    assert '<dt class="contradiction">' in made
    assert provenance.summary()[:100] in read(made).text


@pytest.mark.parametrize(
    "odd", [{"exif": 1}, {"findings": [1]}, {"findings": [{"kind": "new"}]}, {"exif": {"new": "x"}}]
)
def test_provenance_of_another_version_is_shown_as_it_is(odd: dict[str, object]) -> None:
    assert summary_of(odd) == ""
    assert len(claims_of(odd)) == 1


def test_what_is_no_picture_is_left_out(tmp_path: Path) -> None:
    made = page(tmp_path, [PageRow(row("x"), b"<svg/>", b"", b"GIF89a")])
    assert "<img" not in made


def test_columns_of_later_versions_are_shown(tmp_path: Path) -> None:
    later = row("x", stability={"JPEG 90": {"logit": 1.23456, "verdict": "ai"}}, ratio=0.5)
    text = read(page(tmp_path, [PageRow(later)])).text
    assert "stability, JPEG 90, logit 1.2346" in text
    assert "ratio 0.5000" in text


def opinions(**said: tuple[object, object]) -> dict[str, object]:
    """The columns of further models in a row."""
    return {
        f"{what}_{model}": value
        for model, each in said.items()
        for what, value in zip(("score", "verdict"), each, strict=True)
    }


def cells(made: str) -> list[str]:
    """What stands in the columns of further models, heading first, from the top and from the left."""
    found = re.findall(r'<t[hd] role="\w+"[^>]* class="also"[^>]*>.*?</t[hd]>', made)
    return [read(each).text for each in found]


def test_each_further_model_has_a_column_and_no_part_in_the_verdict(tmp_path: Path) -> None:
    rows = [
        row("a", 0.5, **opinions(npr=(0.99, "ai"), probe=(0.1, "real"))),
        row("b", 0.95, **opinions(npr=(None, None), probe=(0.3, "uncertain"))),
        row("c", None, **opinions(npr=(None, None), probe=(None, None))),
        row("d", 0.1),
    ]
    made = page(tmp_path, [PageRow(each) for each in rows], also=others("npr", "probe"))
    assert cells(made) == [
        *("further model npr", "further model probe"),
        *("npr AI 0.9900", "probe real 0.1000"),
        *("npr not scored", "probe uncertain 0.3000"),
        *("npr not scored", "probe not scored") * 2,
    ]
    assert "AI 1 uncertain 1 real 1 not scored 1 4 images in all." in read(made).text
    assert re.findall(r'<tbody role="rowgroup" data-verdict="(\w+)"', made) == [
        *("uncertain", "ai", "error", "real")
    ]
    assert "<dt><bdi>further model" not in made  # the details need not say it again
    assert "It is an opinion beside the verdict and no part of it." in made
    assert made.count('colspan="9"') == 4
    plain = page(tmp_path, [PageRow(each) for each in rows])
    assert cells(plain) == []
    assert plain.count('colspan="7"') == 4


def test_what_models_without_a_column_say_stands_in_the_details(tmp_path: Path) -> None:
    said = opinions(npr=(0.99, "ai"), probe=(0.1, "real"))
    made = page(tmp_path, [PageRow(row("a", **said))], also=others("npr"))
    assert cells(made) == ["further model npr", "npr AI 0.9900"]
    assert "<dt><bdi>further model probe</bdi></dt><dd><bdi>score 0.1000, real</bdi></dd>" in made


@pytest.mark.parametrize("odd", [("high", "ai"), (float("nan"), ["ai"]), (True, None), ({}, 7)])
def test_opinions_that_are_not_what_they_should_be_do_no_harm(
    odd: tuple[object, object], tmp_path: Path
) -> None:
    made = page(tmp_path, [PageRow(row("a", **opinions(npr=odd)))], also=others("npr"))
    assert cells(made)[1] == ("npr AI" if odd[1] == "ai" else "npr not scored")
    assert 'class="also" data-key' not in made


def test_a_long_name_of_a_further_model_is_cut_above_its_column_alone(tmp_path: Path) -> None:
    name = "x" * 500
    made = page(tmp_path, [PageRow(row("a"))], also=others(name))
    assert len(cells(made)[0]) < 60
    assert made.count(name) == 1  # in the record of the scan


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        def rows() -> Iterator[PageRow]:
            for number in range(count):
                yield PageRow(row(f"{number}.png"), bytes(picture()) + bytes(20_000))

        tracemalloc.start()
        write_page(tmp_path / "page.html", rows(), header())
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(5)  # what is loaded once
    few = peak(40)
    assert peak(400) < few + 2_000_000
    assert (tmp_path / "page.html").stat().st_size > 8_000_000


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")

    def rows() -> Iterator[PageRow]:
        yield PageRow(row("x"))
        raise RuntimeError("of the scan")

    with pytest.raises(RuntimeError, match="of the scan"):
        write_page(target, rows(), header())
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(UsageError, match="cannot be written"):
        write_page(tmp_path / "no folder" / "page.html", [], header())


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("A FULL DISK IS NOT TESTED: there is no /dev/full")
    (tmp_path / "page.html").write_text("old")

    class Full(type(tmp_path)):  # type: ignore[misc]
        def open(self, *args: object, **options: object) -> object:
            return full.open("wb")

    with pytest.raises(UsageError, match=r"page.html: cannot be written \(No space left on device\)"):
        write_page(Full(tmp_path / "page.html"), [PageRow(row("x" * 900))] * 200, header())
    assert (tmp_path / "page.html").read_text() == "old"


def test_the_header_of_a_model() -> None:
    card = ModelCard(
        name="tiny",
        backbone="ViT-T",
        backbone_digest="b" * 64,
        preprocess=Preprocess(224, (0.5,) * 3, (0.5,) * 3, ("center_crop",)),
        adapter=AdapterCard(0, ("mlp",), 0, (), None, 0),
        adapter_sha256="a" * 64,
        calibration=Calibration(1.0, 0.0, 3, 3, (-3.0, -2.0, 1.0), (-1.0, 2.0, 3.0)),
    )
    made = PageHeader.of_card(
        card,
        card.calibration.thresholds(fpr=0.01),
        precision="float32",
        command="",
        started=header().started,
        finished=None,
    )
    assert (made.fpr, made.fnr, made.fpr_supported) == (0.01, 0.05, False)
    assert (made.ai_above, made.real_below) == (1.0, 0.0)  # no verdict that three images cannot show
    assert (made.real_count, made.generated_count) == (3, 3)
    # a model that was calibrated to other rates keeps those
    other = replace(card, calibration=replace(card.calibration, fpr=0.4, fnr=0.3))
    made = PageHeader.of_card(
        other,
        other.calibration.thresholds(),
        precision="float32",
        command="",
        started=header().started,
        finished=None,
    )
    assert (made.fpr, made.fnr, made.fpr_supported) == (0.4, 0.3, True)


def test_what_an_image_was_made_from_stands_beside_it(tmp_path: Path) -> None:
    plain = page(tmp_path, [PageRow(row("x"), thumbnail=picture())])
    made = page(tmp_path, [PageRow(row("x"), thumbnail=picture(), before=picture())])
    assert made.count("<figure") == plain.count("<figure") + 2
    assert "Before: what the image was made from" in made
    assert "Before:" not in plain
    alone = page(tmp_path, [PageRow(row("x"), before=picture())])
    assert alone.count("<figure") == plain.count("<figure") + 1


def test_how_a_jpeg_is_built_is_no_claim(tmp_path: Path) -> None:
    built = {"tables": "standard", "quality": 75, "segments": ["SOI", HOSTILE[0]]}
    made = page(tmp_path, [PageRow(row("x", provenance={"jpeg": built}))])
    assert "How the JPEG is built" in made
    assert "Nothing was found." in made
    assert HOSTILE[0] not in made
    assert "How the JPEG is built" not in page(tmp_path, [PageRow(row("x", provenance={}))])
