from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from aigdetect.errors import UsageError
from aigdetect.training.store import AUTO_BYTES, TokenStore, place_for, remove_leftovers


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_in_memory_and_on_disk(tmp_path: Path, dtype: torch.dtype) -> None:
    for folder in (None, tmp_path):
        store = TokenStore(2, 2, (2, 3), dtype, folder=folder)
        values = torch.arange(24).view(4, 2, 3).to(dtype)
        store[0:4] = values
        store.share()
        assert torch.equal(store[torch.tensor([2, 0])], values[[2, 0]])
        # no name is left: however the process ends, so does the file
        assert list(tmp_path.iterdir()) == []
        store.close()


def test_what_a_kill_left_while_the_file_was_filled_is_removed(tmp_path: Path) -> None:
    TokenStore(2, 2, (3,), torch.float32, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_tokens_are_kept(tmp_path: Path) -> None:
    assert place_for("auto", None, AUTO_BYTES, tmp_path) == (True, None)
    assert place_for("auto", None, AUTO_BYTES + 1, tmp_path) == (False, None)
    assert place_for("auto", 100, 101, tmp_path) == (False, None)
    assert place_for("auto", 1 << 60, AUTO_BYTES + 1, tmp_path) == (True, None)
    assert place_for("auto", None, AUTO_BYTES, tmp_path, alone=False) == (True, tmp_path)
    assert place_for("memory", None, 1 << 50, tmp_path) == (True, None)
    assert place_for("memory", None, 1, tmp_path, alone=False) == (True, tmp_path)
    assert place_for("disk", 100, 100, tmp_path) == (True, tmp_path)
    assert place_for("none", None, 1, tmp_path) == (False, None)
    for choice in ("memory", "disk"):
        with pytest.raises(UsageError, match=r"cache_budget: 1\.0 GiB are fewer than the 2\.5 GiB of tokens"):
            place_for(choice, 1 << 30, 5 << 29, tmp_path)


def test_tokens_that_fit_nowhere_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not fit into memory") as caught:
        TokenStore(1 << 40, 1, (1024,), torch.float32, folder=None)
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    """Later, the system would end the process without a word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UsageError, match="do not fit into"):
            TokenStore(1000, 1, (1024,), torch.float32, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
