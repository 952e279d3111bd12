from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aigdetect.cli.completions import FILES, completion_script

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "completions"


@pytest.mark.parametrize("shell", sorted(FILES))
def test_shipped_files_are_what_the_program_generates(shell: str) -> None:
    shipped = (FOLDER / FILES[shell]).read_text(encoding="utf-8")
    assert shipped == completion_script(shell), "run: python -m aigdetect.cli.completions completions"


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """Environment in which ``aigdetect`` is this checkout's program."""
    script = tmp_path / "bin" / "aigdetect"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom aigdetect.cli.app import main\nmain()\n")
    script.chmod(0o755)
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}


def run(shell: str, code: str, environment: dict[str, str]) -> set[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell.upper()} IS NOT INSTALLED: its completion was not run")
    done = subprocess.run(
        [shell, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split("\n"))


def bash(words: list[str], environment: dict[str, str]) -> set[str]:
    array = " ".join(f"'{word}'" for word in words)
    code = (
        f"source '{FOLDER / FILES['bash']}'; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; "
        '_aigdetect_completion aigdetect; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return run("bash", code, environment)


def test_bash_offers_the_commands(program: dict[str, str]) -> None:
    assert {"scan", "train", "eval", "spectrum", "models"} <= bash(["aigdetect", ""], program)
    assert bash(["aigdetect", "mod"], program) >= {"models"}
    assert "scan" not in bash(["aigdetect", "mod"], program)


def test_bash_offers_subcommands_and_options(program: dict[str, str]) -> None:
    assert {"list", "info", "pull", "verify"} <= bash(["aigdetect", "models", ""], program)
    assert {"--csv", "--jsonl", "--model", "--fpr"} <= bash(["aigdetect", "scan", "--"], program)
    assert {"--reference", "--average", "--npz"} <= bash(["aigdetect", "spectrum", "--"], program)
    assert {"--blocks", "--symmetric"} <= bash(["aigdetect", "train", "--"], program)


def test_the_program_says_and_installs_what_the_shell_that_called_it_needs(
    program: dict[str, str], tmp_path: Path
) -> None:
    script = (FOLDER / FILES["bash"]).read_text(encoding="utf-8")
    # a command behind it keeps the shell, which the program looks for among those that called it
    assert run("bash", "aigdetect --show-completion; true", program) >= set(script.splitlines())
    home = {**program, "HOME": str(tmp_path)}
    run("bash", "aigdetect --install-completion; true", home)
    installed = tmp_path / ".bash_completions" / "aigdetect.sh"
    assert installed.read_text(encoding="utf-8").strip() == script.strip()
    assert str(installed) in (tmp_path / ".bashrc").read_text(encoding="utf-8")


def test_fish_offers_the_commands(program: dict[str, str]) -> None:
    code = f"source '{FOLDER / FILES['fish']}'; complete -C 'aigdetect '"
    offered = {line.split("\t")[0] for line in run("fish", code, program)}
    assert {"scan", "train", "eval", "models"} <= offered


def test_zsh_script_loads(program: dict[str, str]) -> None:
    code = (
        f"fpath=('{FOLDER}' $fpath); autoload -Uz compinit; "
        f"compinit -u -d {program['PATH'].split(':')[0]}/dump; "
        "print ${_comps[aigdetect]}"
    )
    assert "_aigdetect" in run("zsh", code, program)
