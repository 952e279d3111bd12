"""ruff and the type checker are part of the tests."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "tool",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda tool: "-".join(tool),
)
def test_style(tool: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *tool], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_name_of_a_module_stands_twice() -> None:
    names = Counter(path.stem for path in (REPOSITORY / "aigdetect").rglob("*.py") if path.stem != "__init__")
    assert not {name for name, count in names.items() if count > 1}
