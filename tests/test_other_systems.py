"""What Windows and macOS lack is not needed: simulated here, by taking it away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAM = [sys.executable, str(REPOSITORY / "tests" / "cli" / "fake_aigdetect.py")]

# read by every process of the test as it starts: the program's own, and those that decode
WITHOUT = """
import builtins, multiprocessing, multiprocessing.context, os, signal, sys

_MODULES = {"fcntl", "resource", "termios", "pwd", "grp", "pty", "multiprocessing.forkserver"}
_import = builtins.__import__

def _without(name, globals=None, locals=None, fromlist=(), level=0):
    asked = {name, *(f"{name}.{each}" for each in fromlist or ())}
    if asked & _MODULES and (globals or {}).get("__name__", "").startswith("aigdetect"):
        raise ImportError(f"no module named {name}")
    return _import(name, globals, locals, fromlist, level)

builtins.__import__ = _without
for name in ("O_NONBLOCK", "O_NOCTTY", "O_ASYNC", "O_NOFOLLOW", "geteuid", "mkfifo"):
    delattr(os, name)
for name in ("SIGIO", "SIGHUP", "SIGQUIT"):
    delattr(signal, name)
multiprocessing.get_all_start_methods = lambda: ["spawn"]
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "without"
    place.mkdir()
    (place / "sitecustomize.py").write_text(WITHOUT)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(REPOSITORY)])}


def test_every_module_can_be_imported(environment: dict[str, str]) -> None:
    code = (
        "import importlib, pkgutil, signal, aigdetect\n"
        "del signal.SIGKILL\n"
        f"assert aigdetect.__file__.startswith({str(REPOSITORY)!r}), aigdetect.__file__\n"
        "for module in pkgutil.walk_packages(aigdetect.__path__, 'aigdetect.'):\n"
        "    if module.name not in ('aigdetect.__main__', 'aigdetect.scanning.dispatch'):  # that needs Ray\n"
        "        importlib.import_module(module.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_scan_and_its_resumption(tmp_path: Path, environment: dict[str, str], workers: str) -> None:
    images, out = tmp_path / "images", tmp_path / "out.jsonl"
    images.mkdir()
    for index in range(3):
        Image.new("RGB", (40, 40), (index, 0, 0)).save(images / f"{index}.png")
    command = [*PROGRAM, "scan", str(images), "--jsonl", str(out), "--workers", workers]
    for options in ([], ["--resume"], ["--force"]):
        (images / "0.png").write_bytes((images / f"{len(options)}.png").read_bytes())
        done = subprocess.run(
            [*command, *options], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        assert sorted(Path(row["path"]).name for row in rows) == ["0.png", "1.png", "2.png"]
        assert {row["status"] for row in rows} == {"scored"}


def test_how_a_worker_of_windows_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    from aigdetect.scanning.decoding.pool import WorkerDiedError
    from aigdetect.scanning.decoding.workers import Processes
    from aigdetect.scanning.preparation import Preparation

    engine = Processes(Preparation(lambda picture: picture), 1)  # type: ignore[arg-type,return-value]
    monkeypatch.delattr(signal, "SIGKILL")

    def why(code: int) -> str:
        return engine._why_lost(WorkerDiedError(code))[0]

    assert why(0xC0000005) == "the decoder crashed (0xC0000005)"
    assert why(7) == "the decoder ended its process (status 7)"
    assert why(-11) == "the decoder crashed (SIGSEGV)"
    assert why(-63) == "the decoder crashed (signal 63)"
