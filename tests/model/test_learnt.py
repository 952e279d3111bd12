from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from aigdetect.errors import ModelError
from aigdetect.model.learnt import copy_learnt, read_learnt, write_learnt

DIGESTS = [hashlib.sha256(bytes([number])).digest() for number in (3, 1, 2, 1)]


def test_what_was_learnt_comes_back_and_goes_along(tmp_path: Path) -> None:
    write_learnt(tmp_path, [*DIGESTS, b""])
    told = (tmp_path / "training.sha256").read_text().splitlines()
    assert told == sorted({digest.hex() for digest in DIGESTS})
    (tmp_path / "copy").mkdir()
    copy_learnt(tmp_path, tmp_path / "copy")
    assert read_learnt(tmp_path / "copy") == read_learnt(tmp_path) == set(told)


def test_a_list_of_public_sources_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "sources.csv").write_text("repository,sha256,label\na/b,aa,0\nc/d,bb,1\n")
    assert read_learnt(tmp_path) == {"aa", "bb"}
    (tmp_path / "sources.csv").write_text("repository,label\na/b,0\n")
    with pytest.raises(ModelError, match="list of training images cannot be read"):
        read_learnt(tmp_path)


def test_a_model_need_not_say(tmp_path: Path) -> None:
    assert read_learnt(tmp_path) == frozenset()
