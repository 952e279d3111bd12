"""What programs in processes of their own are said to take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import processes

    return processes


def test_first_line_end_and_memory_are_those_of_the_program(processes) -> None:
    mine = bytearray(b"x" * (200 << 20))  # of this process, and none of the program's
    small = processes.run_alone([sys.executable, "-c", "pass"])
    code = "import time; print('row', flush=True); x = b'x' * (90 << 20); time.sleep(0.2); print(len(x))"
    large = processes.run_alone([sys.executable, "-c", code])
    assert len(mine) > 0
    assert small.peak < 100
    assert 80 < large.peak - small.peak < 110
    assert large.clock - large.first > 0.2
    assert 0 < small.first <= small.clock
    assert large.processors < large.clock


def test_folder_and_environment_are_the_programs(processes, tmp_path: Path) -> None:
    code = (
        "import os, pathlib; assert os.environ['WHICH'] == 'this'; "
        f"assert pathlib.Path.cwd().samefile({str(tmp_path)!r})"
    )
    processes.run_alone([sys.executable, "-c", code], folder=tmp_path, environment={"WHICH": "this"})


def test_a_program_that_fails_is_named_with_what_it_said(processes) -> None:
    with pytest.raises(SystemExit, match=r"-c import sys.*no such image"):
        processes.run_alone([sys.executable, "-c", "import sys; sys.exit('no such image')"])


def test_each_figure_has_a_median_of_its_own(processes) -> None:
    runs = [processes.Took(1, 9, 4, 5), processes.Took(2, 8, 6, 1), processes.Took(3, 7, 5, 3)]
    assert processes.middle(runs) == processes.Took(2, 8, 5, 3)
