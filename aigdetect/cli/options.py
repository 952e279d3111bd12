"""Options that several commands share, and the terminal that some of them fill."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from aigdetect.cli.console import Terminal

#: the one terminal of the process
terminal = Terminal()


class Device(str, Enum):
    """Where the model runs."""

    AUTO = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"


class Precision(str, Enum):
    """What the model calculates in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


@dataclass(frozen=True)
class Loading:
    """How models are loaded; arguments are those of :func:`aigdetect.methods.loading.load_detector`."""

    device: str
    precision: str
    batch_size: int | None
    weights: Path | None
    offline: bool


def command_line() -> str:
    """The command line; a run that was resumed is told of as if it had not been."""
    return shlex.join(["aigdetect", *(word for word in sys.argv[1:] if word != "--resume")])


def _if_given(act: Callable[[], None]) -> Callable[[bool], bool]:
    def callback(value: bool) -> bool:
        if value:
            act()
        return value

    return callback


def _quiet() -> None:
    terminal.quiet = True


def _verbose() -> None:
    terminal.show_log(logging.INFO)


def _debug() -> None:
    terminal.debug = True
    terminal.show_log(logging.DEBUG)


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only errors.", callback=_if_given(_quiet))]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Say what runs: device, precision, thresholds.", callback=_if_given(_verbose)
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show tracebacks of errors.", callback=_if_given(_debug))
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

FollowSymlinks = Annotated[
    bool, typer.Option("--follow-symlinks", help="Follow symbolic links inside folders.")
]

MaxPixels = Annotated[
    int | None, typer.Option("--max-pixels", metavar="N", min=1, help="Refuse images of more pixels.")
]

#: panel of the options that say how a command runs, not what it does
RUN = "Run"

DeviceChoice = Annotated[Device, typer.Option("--device", help="Where the model runs.", rich_help_panel=RUN)]
PrecisionChoice = Annotated[
    Precision, typer.Option("--precision", help="What the model calculates in.", rich_help_panel=RUN)
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", metavar="N", min=1, help="Images per pass of the model.", rich_help_panel=RUN
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, max=256, help="Threads that read and decode.", rich_help_panel=RUN
    ),
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="File with the backbone's weights, instead of searching for them.",
        rich_help_panel=RUN,
    ),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Look for weights on this machine only.", rich_help_panel=RUN),
]
RealFolder = Annotated[
    list[Path] | None,
    typer.Option(
        "--real", metavar="FOLDER", help="Folder in which all images are real; may be given several times."
    ),
]
FakeFolder = Annotated[
    list[Path] | None,
    typer.Option(
        "--fake", metavar="FOLDER", help="Folder in which all are generated; may be given several times."
    ),
]
