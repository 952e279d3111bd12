from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aigdetect.errors import UsageError
from aigdetect.training.token_store import AUTO_BYTES, Table, place_for

KEYS = [bytes([number]) * 32 for number in range(200)]


def rows(dtype: torch.dtype) -> torch.Tensor:
    return torch.arange(1200).view(200, 6).to(dtype)


def table(folder: Path | None, dtype: torch.dtype = torch.float32, **settings: object) -> Table:
    return Table(settings, 6, dtype, folder=folder)


def fill(made: Table, chosen: range, values: torch.Tensor) -> None:
    made.reserve(len(chosen))
    for index in chosen:
        made.add(KEYS[index], values[index])
    made.share()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("on_disk", [True, False])
def test_rows_come_back_by_key_in_any_order(tmp_path: Path, dtype: torch.dtype, on_disk: bool) -> None:
    made, values = table(tmp_path if on_disk else None, dtype), rows(dtype)
    fill(made, range(5), values)
    fill(made, range(5, 9), values)
    assert KEYS[8] in made
    assert KEYS[9] not in made
    for index in (7, 0, 7, 4):
        assert torch.equal(made.row(KEYS[index]), values[index])
    assert torch.equal(made.row(KEYS[3], slice(2, 5)), values[3, 2:5])
    with pytest.raises(KeyError):
        made.row(KEYS[9])
    made.close()


def test_a_table_on_disk_is_there_for_the_next_run_and_only_for_the_same_rows(tmp_path: Path) -> None:
    values = rows(torch.float32)
    first = table(tmp_path, view="whole")
    fill(first, range(3), values)
    first.close()
    again = table(tmp_path, view="whole")
    assert all(torch.equal(again.row(KEYS[index]), values[index]) for index in range(3))
    assert KEYS[0] not in table(tmp_path, view="center_crop")
    assert KEYS[0] not in table(tmp_path, torch.bfloat16, view="whole")


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_row_of_another_shape_is_refused(tmp_path: Path, on_disk: bool) -> None:
    made = table(tmp_path if on_disk else None)
    made.reserve(3)
    for wrong in (torch.zeros(7), torch.zeros(5), torch.zeros(6, dtype=torch.bfloat16)):
        with pytest.raises(ValueError, match=r"is not \(6,\)"):
            made.add(KEYS[0], wrong)


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    values = rows(torch.float32)
    one, two = table(tmp_path), table(tmp_path)
    one.reserve(2)
    two.reserve(2)
    for index in range(2):
        one.add(KEYS[index], values[index])
        two.add(KEYS[index + 1], values[index + 1])
    one.settle()
    two.share()
    assert all(torch.equal(two.row(KEYS[index]), values[index]) for index in range(3))


def test_a_writer_that_is_killed_leaves_what_was_settled(tmp_path: Path) -> None:
    """Its file has the size of all rows from the beginning: only keys say which are there."""
    values = rows(torch.float32)
    killed = table(tmp_path)
    killed.reserve(200)
    for index in range(150):
        killed.add(KEYS[index], values[index])
    left = table(tmp_path)
    kept = sum(key in left for key in KEYS)
    assert 0 < kept <= 150
    assert all(torch.equal(left.row(KEYS[index]), values[index]) for index in range(kept))


def kill_writer(folder: Path, *, after: int) -> None:
    """Kill a process that has room for 200 rows, after so many of them."""
    script = """
import os, signal, sys
from pathlib import Path
import torch
from aigdetect.training.token_store import Table
made = Table({}, 6, torch.float32, folder=Path(sys.argv[1]))
made.reserve(200)
for index, row in enumerate(torch.arange(600.0).view(100, 6)[: int(sys.argv[2])]):
    made.add(bytes([index]) * 32, row)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(folder), str(after)], check=False)
    assert killed.returncode == -signal.SIGKILL


def test_nothing_stays_of_a_writer_that_was_killed_before_a_row_was_whole(tmp_path: Path) -> None:
    kill_writer(tmp_path, after=3)
    assert len(list(tmp_path.rglob("*.rows"))) == 1
    table(tmp_path).close()
    assert not list(tmp_path.iterdir())


def test_the_room_that_a_killed_writer_had_taken_is_given_back(tmp_path: Path) -> None:
    """And that of a writer at work is not; a run that is resumed would need twice the disk otherwise."""
    values, settled = rows(torch.float32), 64
    kill_writer(tmp_path, after=100)
    (left,) = tmp_path.rglob("*.rows")
    assert left.stat().st_size == 200 * 24
    writing = table(tmp_path)
    assert left.stat().st_size == settled * 24
    writing.reserve(50)
    writing.add(KEYS[150], values[150])
    found = table(tmp_path)
    (at_work,) = set(tmp_path.rglob("*.rows")) - {left}
    assert at_work.stat().st_size == 50 * 24
    assert [found.row(KEYS[index]).tolist() for index in (0, 63)] == values[[0, 63]].tolist()
    assert KEYS[settled] not in found
    writing.share()
    assert torch.equal(writing.row(KEYS[150]), values[150])
    assert not list(tmp_path.rglob("*.lock"))


def test_rows_that_are_shorter_than_their_keys_say_do_not_count(tmp_path: Path) -> None:
    fill(table(tmp_path), range(4), rows(torch.float32))
    (path,) = tmp_path.rglob("*.rows")
    path.write_bytes(path.read_bytes()[:-1])
    assert KEYS[0] not in table(tmp_path)


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
        table(None).reserve(1 << 50)
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    """Later, the system would end the process without a word."""
    made = table(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UsageError, match="do not fit into"):
            made.reserve(1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["settings.json"]
