from __future__ import annotations

import os
from pathlib import Path

import pytest

from aigdetect.errors import UsageError
from aigdetect.files import path_digest, remove_partial, write_atomically


def test_a_file_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match=r"file: cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_planted_link_is_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".aigdetect-guessed.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot be written"):
        write_atomically(tmp_path / "file", b"new")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_atomically(tmp_path / "folder", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [f".aigdetect-0123456789abcdef.part{end}" for end in ("", "-wal", "-shm")]
    for name in (*left, ".aigdetect", "a.part", ".hidden"):
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".aigdetect", "a.part", ".hidden"}
    (tmp_path / left[0]).mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        remove_partial(tmp_path)


def test_a_path_is_told_by_where_its_folder_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "t" / "u").mkdir(parents=True)
    (tmp_path / "x" / "link").symlink_to(tmp_path / "t" / "u")
    (tmp_path / "x" / "a.png").symlink_to("b.png")
    monkeypatch.chdir(tmp_path)
    same = ["x/a.png", "./x//a.png", "t/../x/a.png", str(tmp_path / "x" / "a.png")]
    assert len({path_digest(path) for path in same}) == 1
    for other in ("x/link/../a.png", "x/b.png"):
        assert path_digest(other) != path_digest(same[0])
    assert path_digest("x/link/../a.png") == path_digest("t/a.png")
    assert path_digest("bad\0x/a.png") != path_digest(os.fsdecode(b"bad\xffx/a.png"))
