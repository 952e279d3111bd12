"""The program as a whole: help, version, start-up, style."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image
from typer import Context
from typer.main import get_command

import aigdetect
from aigdetect.cli.app import Program, app, main
from aigdetect.cli.lazy import StandIn
from aigdetect.cli.options import terminal

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = [
    [],
    ["scan"],
    ["inspect"],
    ["verify"],
    ["merge"],
    ["train"],
    ["calibrate"],
    ["eval"],
    ["export"],
    ["spectrum"],
    ["models"],
    ["models", "list"],
    ["models", "info"],
    ["models", "pull"],
    ["models", "verify"],
]
PROGRAM: Any = get_command(app)
PLACES = list(Program.places.values())
HEAVY = {
    *("torch", "numpy", "PIL", "open_clip", "timm", "sklearn", "scipy", "skimage", "matplotlib", "onnx"),
    *("rich", "pygments", "markdown_it", "pydantic", "pydantic_core", "yaml", "jinja2", "safetensors"),
    *("cryptography", "email", "http", "importlib.metadata", "secrets", "socket", "ssl", "asyncio"),
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_loads_nothing_heavy_and_no_other_command(command: list[str]) -> None:
    code = (
        "import sys\n"
        "from aigdetect.cli.app import main\n"
        f"sys.argv = ['aigdetect', *{command!r}, '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    status = end.code\n"
        f"print('STATUS', status, 'LOADED', sorted({HEAVY!r} & set(sys.modules)))\n"
        f"print(sum(place.partition(':')[0] in sys.modules for place, _ in {PLACES!r}))\n"
    )
    done = python("-c", code)
    assert "Usage: " in done.stdout
    *_, loaded, commands = done.stdout.splitlines()
    assert loaded == "STATUS 0 LOADED []", done.stderr
    assert int(commands) == len(command[:1])


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_a_stand_in_says_what_its_command_says(name: str) -> None:
    command = PROGRAM.commands[name]
    assert isinstance(command, StandIn)
    assert command.get_short_help_str(1000) == command.load().get_short_help_str(1000)


def test_help_shows_options_by_panel() -> None:
    panels = command_forks.run("scan", "--help").stdout.split("\n\n")
    starts = {panel.splitlines()[0]: panel for panel in panels if panel.strip()}
    assert "--csv FILE" in starts["Options:"]
    assert "--precision <auto|float32|bfloat16|int8>" in starts["Run:"]
    assert "[default: auto]" in starts["Run:"]
    assert "PATH" in starts["Arguments:"]


def test_help_has_colours_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        return PROGRAM.get_help(Context(PROGRAM))  # type: ignore[no-any-return]

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in shown()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "\x1b[36m--version\x1b[0m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown()


def test_an_interrupt_while_it_loads_ends_it_like_any_other() -> None:
    code = (
        "import sys, runpy\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "runpy.run_module('aigdetect', run_name='__main__')\n"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_end_after_an_interrupt_waits_for_no_thread_but_for_what_was_asked_for() -> None:
    code = (
        "import atexit, threading, time\n"
        "from aigdetect.cli.console import end_at_once\n"
        "atexit.register(print, 'cleared away')\n"
        "threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "print('rows', end='; ')\n"
        "end_at_once(130)\n"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "rows; cleared away\n", "")


def test_every_end_is_at_once_but_does_what_was_asked_for() -> None:
    code = (
        "import atexit, sys, threading, time\n"
        "import aigdetect.cli.app\n"
        "from aigdetect.__main__ import main\n"
        "def program():\n"
        "    atexit.register(print, 'cleared away')\n"
        "    threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "    print('rows', end='; ')\n"
        "    sys.exit(1)\n"
        "aigdetect.cli.app.main = program\n"
        "main()\n"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (1, "rows; cleared away\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["scan", "a.png"],
        ["scan", "a.png", "--json"],
        ["scan", "a.png", "--csv", "-"],
        ["inspect", "a.png"],
        ["inspect", "a.png", "--json"],
        ["spectrum", "a.png"],
        ["spectrum", "a.png", "--json"],
        ["models", "list"],
        ["models", "list", "--json"],
        ["train", "--list-methods"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_one_clear_error(
    arguments: list[str], unbuffered: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    program = [str(command_forks.FAKE)] if arguments[0] == "scan" else ["-m", "aigdetect"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if re.search("error|fault|Exception", line, re.I)]
    assert told == ["error: -: cannot be written (No space left on device)"]


def test_version() -> None:
    done = python("-m", "aigdetect", "--version")
    assert (done.returncode, done.stdout) == (0, f"aigdetect {aigdetect.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sing"],
        ["scan", "--no-such-option", "x"],
        ["train"],
        ["train", "--data", "x", "--out", "m", "--device", "abacus"],
        ["scan"],
    ],
)
def test_bad_usage_is_status_2_and_says_so(arguments: list[str]) -> None:
    done = command_forks.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readme_names_every_command_and_no_page_an_option_that_is_none() -> None:
    import re

    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    others = [*REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("models/*/README.md")]
    text = readme + "".join(page.read_text(encoding="utf-8") for page in others)
    for command in (
        "scan",
        "train",
        "calibrate",
        "eval",
        "export",
        "spectrum",
        "models",
        "inspect",
        "verify",
    ):
        assert f"aigdetect {command}" in readme
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = "".join(
        command_forks.run(*command, "--help", env={"COLUMNS": "300"}).stdout for command in COMMANDS
    )
    known += "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "benchmarks").glob("*.py"))
    assert not {option for option in shown if option not in known} - {"--extra-index-url"}


def test_ci_runs_the_readmes_test_command() -> None:
    import re

    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python3 -m venv .*pytest$", readme, flags=re.MULTILINE)
    assert command in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_common_options_end_with_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    none = str(tmp_path / "none.png")
    monkeypatch.setattr(sys, "argv", ["aigdetect", "inspect", "--debug", "--quiet", none])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert (terminal.quiet, terminal.debug) == (False, False)
    log = logging.getLogger("aigdetect")
    assert log.handlers == []
    assert not log.isEnabledFor(logging.INFO)
