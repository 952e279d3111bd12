"""Shell completions, generated from the program: ``python -m aigdetect.cli.completions FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

PROGRAM = "aigdetect"
#: file name by shell, as the shells' own completion folders expect them
FILES = {"bash": "aigdetect.bash", "zsh": "_aigdetect", "fish": "aigdetect.fish"}
#: environment variable in which a shell asks the program what may follow
_ASKED = f"_{PROGRAM.upper()}_COMPLETE"


def _install(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> bool:
    from typer.completion import install_callback

    return bool(install_callback(ctx, param, value))


def _show(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> bool:
    from typer.completion import show_callback

    return bool(show_callback(ctx, param, value))


InstallCompletion = Annotated[
    bool,
    typer.Option(
        "--install-completion", callback=_install, help="Install completion for the current shell, and exit."
    ),
]
ShowCompletion = Annotated[
    bool,
    typer.Option("--show-completion", callback=_show, help="Print the script of that completion, and exit."),
]


def listen_to_shells() -> None:
    """Be ready to answer, if a shell asks what may follow."""
    if _ASKED in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def completion_script(shell: str) -> str:
    """Script that makes a shell ask the program for its completions.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name=PROGRAM, complete_var=_ASKED, shell=shell)
    return script.strip() + "\n"


def write_completions(folder: Path) -> None:
    """Write the scripts of all shells into a folder."""
    for shell, name in FILES.items():
        (folder / name).write_text(completion_script(shell), encoding="utf-8")


if __name__ == "__main__":
    write_completions(Path(sys.argv[1]))
