"""Parts of a scan: every file in exactly one, and joined again byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigdetect.errors import UsageError
from aigdetect.images.find import Found
from aigdetect.scanning.joining import merge
from aigdetect.scanning.ledger import Ledger, Targets
from aigdetect.scanning.record import Record
from aigdetect.scanning.settings import Settings
from aigdetect.scanning.shard import Shard

SETTINGS = Settings("p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False)
PATHS = [f"images/{index:02}\n.png" for index in range(40)]


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name), st.integers(1, 20))
def test_every_path_is_in_one_part(name: bytes, count: int) -> None:
    path = os.fsdecode(name)
    assert sum(path in Shard(index, count) for index in range(1, count + 1)) == 1


def test_parts_are_the_same_on_every_machine() -> None:
    assert [path in Shard(1, 2) for path in ("a.png", "b.png", "c/d.png", "\udcff.png")] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "１/２", "1/9999999"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


def test_a_part_as_text() -> None:
    assert str(Shard.parse("2/3")) == "2/3"


def scan(
    folder: Path, name: str, shard: str = "", *, paths: Sequence[str] = PATHS, settings: Settings = SETTINGS
) -> Path:
    """A finished scan of paths that need not be there."""
    targets = Targets(folder / f"{name}.jsonl", folder / f"{name}.csv", folder / f"{name}.jsonl.journal")
    ledger = Ledger(targets)
    numbered = enumerate(Found(path, "error", "gone") for path in paths)
    fresh = ledger.fresh((Shard.parse(shard) if shard else Shard(1, 1)).take(numbered))
    with ledger.open(replace(settings, shard=shard)):
        for item in fresh:
            ledger.write(Record(item.path).failed(item.reason))
        ledger.note("met", len(paths))
        ledger.note("finished", True)
    return folder / f"{name}.jsonl"


def joined(folder: Path, *parts: Path) -> list[str]:
    """Join parts; what was warned of."""
    said: list[str] = []
    outputs = {"jsonl": folder / "all.jsonl", "csv": folder / "all.csv"}
    counts = merge(parts, outputs, warn=said.append)
    assert counts == {"error": sum(1 for _ in (folder / "all.jsonl").open("rb"))}
    return said


def test_parts_joined_are_what_one_scan_gives(tmp_path: Path) -> None:
    whole = scan(tmp_path, "whole")
    parts = [scan(tmp_path, f"part{index}", f"{index}/3") for index in (1, 2, 3)]
    assert joined(tmp_path, *parts[::-1]) == []
    assert (tmp_path / "all.jsonl").read_bytes() == whole.read_bytes()
    assert (tmp_path / "all.csv").read_bytes() == whole.with_suffix(".csv").read_bytes()


def test_parts_in_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    parts = [scan(tmp_path / "parts", f"part{index}", f"{index}/2") for index in (1, 2)]
    before = sorted(path.name for path in (tmp_path / "parts").iterdir())
    (tmp_path / "parts").chmod(0o555)
    try:
        joined(tmp_path, *parts)
    finally:
        (tmp_path / "parts").chmod(0o755)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == before


def test_parts_that_met_different_files(tmp_path: Path) -> None:
    one, two = scan(tmp_path, "one", "1/2", paths=PATHS[1:]), scan(tmp_path, "two", "2/2")
    assert joined(tmp_path, one, two) == [
        f"the parts met 39 or 40 files and have {40 - (PATHS[0] in Shard(1, 2))} rows: files came or went "
        "meanwhile, or the machines did not see the same paths"
    ]


def test_what_does_not_go_together(tmp_path: Path) -> None:
    one, two = scan(tmp_path, "one", "1/2"), scan(tmp_path, "two", "2/2")
    again = scan(tmp_path, "again", "1/2")
    third = scan(tmp_path, "third", "3/3")
    other = scan(tmp_path, "other", "2/2", settings=replace(SETTINGS, precision="bfloat16"))
    whole = scan(tmp_path, "whole")
    for parts, said in {
        (one,): "of 2 parts these are missing: 2",
        (one, two, again): r"again\.jsonl: is part 1/2, and so is .*one\.jsonl",
        (one, third): "third.jsonl: is part 3/3, and .*one.jsonl is part 1/2",
        (
            one,
            other,
        ): "other.jsonl: does not fit .*one.jsonl, which was made with precision float32, not bfloat16",
        (one, whole): "whole.jsonl: is no part of a scan",
        (one, tmp_path / "none.jsonl"): "none.jsonl: no part of a scan",
        (one, tmp_path): "no part of a scan",
    }.items():
        with pytest.raises(UsageError, match=said):
            joined(tmp_path, *parts)
    assert not list(tmp_path.glob("all.*"))
    assert not list(tmp_path.glob(".*"))


def test_a_file_with_two_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here, there = ["a.png"], [str(tmp_path / "a.png")]
    index = 1 if here[0] in Shard(1, 2) else 2
    names = [*there, *(f"{tmp_path}/./{'./' * times}a.png" for times in range(9))]
    same = next(name for name in names if name not in Shard(index, 2))
    one = scan(tmp_path, "one", f"{index}/2", paths=here)
    two = scan(tmp_path, "two", f"{3 - index}/2", paths=[same])
    with pytest.raises(UsageError, match=r"two\.jsonl: has a row of a file that .*one\.jsonl has one of"):
        joined(tmp_path, one, two)
    assert not list(tmp_path.glob("all.*"))


def test_a_part_is_not_replaced_by_the_whole(tmp_path: Path) -> None:
    parts = [scan(tmp_path, f"part{index}", f"{index}/2") for index in (1, 2)]
    before = parts[0].read_bytes()
    (tmp_path / "link.jsonl").symlink_to(parts[0])
    for output in (parts[0], tmp_path / "link.jsonl"):
        with pytest.raises(UsageError, match="is one of the files to be read"):
            merge(parts, {"jsonl": output}, warn=print)
    assert parts[0].read_bytes() == before


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"",
        lambda data: data[:300],
        lambda data: data + data[-100:],
        lambda data: data.replace(b'"error"', b'"errors"'),
        lambda data: data.replace(b"\n", b" "),
    ],
    ids=["emptied", "cut", "appended", "edited", "no line ends"],
)
def test_a_part_that_was_changed_since_is_refused(
    tmp_path: Path, kind: str, edit: Callable[[bytes], bytes]
) -> None:
    parts = [scan(tmp_path, f"part{index}", f"{index}/2") for index in (1, 2)]
    changed = parts[1].with_suffix(f".{kind}")
    changed.write_bytes(edit(changed.read_bytes()))
    with pytest.raises(UsageError, match=rf"part2\.{kind}: was changed since.*; take it from a copy"):
        joined(tmp_path, *parts)
    assert not list(tmp_path.glob("all.*"))
    assert not list(tmp_path.glob(".*"))


def test_an_unfinished_part_is_refused(tmp_path: Path) -> None:
    one, two = scan(tmp_path, "one", "1/2"), scan(tmp_path, "two", "2/2")
    targets = Targets(two, two.with_suffix(".csv"), two.with_name("two.jsonl.journal"))
    running = Ledger(targets, resume=True).open(replace(SETTINGS, shard="2/2"))
    with running, pytest.raises(UsageError, match="goes on, or was cut short"):
        joined(tmp_path, one, two)
    with pytest.raises(UsageError, match="cut short: finish it with --resume"):
        joined(tmp_path, one, two)


def test_a_form_that_a_part_does_not_have(tmp_path: Path) -> None:
    parts = []
    for index in (1, 2):
        targets = Targets(csv=tmp_path / f"{index}.csv", journal=tmp_path / f"{index}.csv.journal")
        ledger = Ledger(targets)
        with ledger.open(replace(SETTINGS, shard=f"{index}/2")):
            ledger.note("met", 0)
            ledger.note("finished", True)
        parts.append(tmp_path / f"{index}.csv")
    with pytest.raises(UsageError, match=r"1\.csv: was made without --jsonl"):
        joined(tmp_path, *parts)
