from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from aigdetect.model.precision.memory import give_back_freed_memory

# in a process of its own: in one that has long run, what is freed lies in holes of before
PROGRAM = """
from pathlib import Path
from aigdetect.model.precision.memory import give_back_freed_memory

def resident():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) << 10

large, small = [], []
for _ in range(2000):
    large.append(b"x" * (40 << 10))
    small.append(b"x" * 1000)
large.clear()
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GIVING BACK NOT TESTED: no glibc")
def test_what_was_freed_between_what_stays_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 20 << 20  # of 80 MiB that were freed, pages that hold nothing else


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_where_there_is_no_way_to_ask_nothing_happens(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def library(name: object) -> object:
        asked.append(name)
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    give_back_freed_memory()
    assert asked == [None]
