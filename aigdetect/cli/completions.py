"""Shell completions, generated from the program: ``python -m aigdetect.cli.completions FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.completion import get_completion_script  # type: ignore[attr-defined]

PROGRAM = "aigdetect"
#: file name by shell, as the shells' own completion folders expect them
FILES = {"bash": "aigdetect.bash", "zsh": "_aigdetect", "fish": "aigdetect.fish"}


def completion_script(shell: str) -> str:
    """Script that makes a shell ask the program for its completions.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
    """
    script = get_completion_script(
        prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell
    )
    return script.strip() + "\n"


def write_completions(folder: Path) -> None:
    """Write the scripts of all shells into a folder."""
    for shell, name in FILES.items():
        (folder / name).write_text(completion_script(shell), encoding="utf-8")


if __name__ == "__main__":
    write_completions(Path(sys.argv[1]))
