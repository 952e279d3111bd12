from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest

from aigdetect.errors import WeightsError
from aigdetect.model.weights import towerfile
from aigdetect.scanning.scanner import ModelRequest


def load(tiny_model: Any, weights: Path | None = None) -> Any:
    wanted = ModelRequest(str(tiny_model.folder), device="cpu", weights=weights, offline=True)
    return wanted.load(say=lambda line: None, warn=pytest.fail)


def test_weights_of_the_cache_are_hashed_once(
    tiny_model: Any, cached_tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    digest = towerfile.file_digest
    monkeypatch.setattr(towerfile, "file_digest", lambda path: hashed.append(path) or digest(path))
    assert load(tiny_model).weights_digest == load(tiny_model, tiny_model.weights).weights_digest
    assert hashed == [cached_tower]


def test_damaged_weights_of_the_cache_are_an_error(tiny_model: Any, cached_tower: Path) -> None:
    contents = bytearray(cached_tower.read_bytes())
    contents[-1] ^= 1
    cached_tower.write_bytes(contents)
    with pytest.raises(WeightsError, match=r"damaged .its tensors do not match"):
        load(tiny_model)


def test_given_weights_need_no_cache(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIGDETECT_CACHE", str(tmp_path / "none"))
    copy = shutil.copy(tiny_model.weights, tmp_path / "given.safetensors")
    assert load(tiny_model, Path(copy)).weights_digest


def test_garbage_is_collected_again_once_the_model_is_there(tiny_model: Any) -> None:
    load(tiny_model, tiny_model.weights)
    assert gc.isenabled()
    assert gc.get_freeze_count()
