"""Options that several commands share, and the terminal that some of them fill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from aigdetect.cli.console import Terminal

#: the one terminal of the process
terminal = Terminal()


def _fill(name: str) -> Callable[[bool], bool]:
    def callback(value: bool) -> bool:
        if value:
            setattr(terminal, name, True)
        return value

    return callback


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only errors.", callback=_fill("quiet"))]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", callback=_fill("verbose"))]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", callback=_fill("debug"))]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
WeightsFile = Annotated[
    Path | None,
    typer.Option("--weights", help="File with the backbone's weights, instead of searching for them."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Look for weights on this machine only.")]
