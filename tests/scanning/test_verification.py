"""What a manifest names is read and checked in its order; one that is damaged is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aigdetect.errors import UsageError
from aigdetect.files import file_sha256
from aigdetect.scanning.case import CaseFolder, Manifest, write_manifest
from aigdetect.scanning.manifest import open_manifest, read_entries
from aigdetect.scanning.record import Record
from aigdetect.scanning.settings import Settings
from aigdetect.scanning.verification import check_case
from aigdetect.scanning.writers import jsonl_row

SETTINGS = Settings("p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False)
MANIFEST = Manifest(SETTINGS.as_dict(), "ViT-B-16", "d" * 64, [{"started": "now", "ended": "later"}], {})
INPUTS = 300


def _case(folder: Path, rows: list[Record]) -> CaseFolder:
    case = CaseFolder(folder / "case")
    case.path.mkdir()
    case.jsonl.write_text("".join(map(jsonl_row, rows)), encoding="ascii")
    write_manifest(case, MANIFEST)
    return case


def test_a_long_case_keeps_its_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index:03}" for index in range(INPUTS)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index % 7]) * (100_000 if index % 50 == 0 else 1))
    case = _case(tmp_path, [Record(str(path), sha256=file_sha256(path)) for path in paths])
    paths[77].write_bytes(b"other")
    paths[299].unlink()
    with open_manifest(case.path) as manifest:
        checked = list(check_case(case.path, manifest, root=Path()))
    assert [each.path for each in checked] == [*map(str, paths), "results.jsonl"]
    assert {place: each.state for place, each in enumerate(checked) if each.differs} == {
        77: "changed",
        299: "missing",
    }


def test_paths_that_no_file_can_have_are_missing_or_unreadable(tmp_path: Path) -> None:
    rows = [Record(path, sha256="0" * 64) for path in ("a\0b", "\ud800", str(tmp_path / "no" / "x"))]
    case = _case(tmp_path, rows)
    with open_manifest(case.path) as manifest:
        checked = list(check_case(case.path, manifest, root=tmp_path))
    assert [each.state for each in checked[:3]] == ["unreadable", "unreadable", "missing"]


def test_a_case_without_inputs(tmp_path: Path) -> None:
    case = _case(tmp_path, [])
    with open_manifest(case.path) as manifest:
        assert [entry.path for entry in read_entries(manifest, case.manifest)] == ["results.jsonl"]


def test_what_operating_systems_put_into_folders_was_not_added(tmp_path: Path) -> None:
    case = _case(tmp_path, [])
    case.heatmaps.mkdir()
    for name in (".DS_Store", "heatmaps/.DS_Store", "heatmaps/Thumbs.db", "desktop.ini", "DS_Store"):
        (case.path / name).touch()
    with open_manifest(case.path) as manifest:
        checked = list(check_case(case.path, manifest, root=Path()))
    assert [each.path for each in checked if each.differs] == ["DS_Store"]


def _edited(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data[: data.index(b'"outputs"')],
        lambda data: data[: len(data) // 2],
        lambda data: data[: data.index(b"}\n],")],
        lambda data: data + b"{}\n",
        lambda data: b"",
        lambda data: bytes(len(data)),
        _edited(b'"sha256": "', b'"sha256": "z'),
        _edited(b'"sha256": "', b'"sha257": "'),
        _edited(b'"path": "', b'"path": 1, "other": "'),
        _edited(b'"inputs": [\n', b'"inputs": [\n  [1],\n'),
        _edited(b'"inputs": [\n', b'"inputs": [\n' + b"[" * 100_000 + b"\n"),
        _edited(b'"outputs": [\n', b'"outputs": [\n  {"path": "x", "sha256": null},\n'),
        _edited(b'"python": ', b'"python'),
    ],
    ids=range(13),
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, edit: Callable[[bytes], bytes]) -> None:
    case = _case(tmp_path, [Record("a", sha256="1" * 64), Record("b", sha256="2" * 64)])
    case.manifest.write_bytes(edit(case.manifest.read_bytes()))
    with pytest.raises(UsageError, match="damaged"), open_manifest(case.path) as manifest:
        list(read_entries(manifest, case.manifest))
