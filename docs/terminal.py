"""Runs a command in a terminal of its own, and draws what it shows there as SVG.

``python docs/terminal.py docs/pictures/scan.svg aigdetect scan examples``
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 120
"""Columns of the terminal."""


def shown(command: list[str]) -> str:
    """What a command shows on standard output, a terminal, with its colours; messages are not kept."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment):
        os.close(theirs)
        parts = []
        while True:
            try:
                parts.append(os.read(ours, 1 << 16))
            except OSError:  # how Linux says that nobody has the other end open
                break
    os.close(ours)
    return b"".join(parts).decode("utf-8").replace("\r\n", "\n")


def draw(command: list[str], out: Path) -> None:
    """Write the picture of a command and what it shows."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(
            record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor"
        )
        console.print(f"$ {' '.join(command)}", style="bold", highlight=False)
        console.print(Text.from_ansi(shown(command)))
        console.save_svg(str(out), title="aigdetect")


if __name__ == "__main__":
    draw(sys.argv[2:], Path(sys.argv[1]))
