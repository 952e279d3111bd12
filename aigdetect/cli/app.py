"""The program ``aigdetect``: gathers the commands and turns what ends them into an exit status."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

import aigdetect
from aigdetect.cli.console import run
from aigdetect.cli.options import terminal

# name, and the module with its function, in the order of the help
_COMMANDS = {
    "scan": "scan",
    "inspect": "inspect",
    "verify": "verify",
    "merge": "merge",
    "train": "train",
    "eval": "evaluate",
    "calibrate": "calibrate",
    "spectrum": "spectrum",
    "export": "export",
    "models": "models",
}


def program(asked: str = "") -> typer.Typer:
    """The program with all its commands, or, as loading them takes a while, with the one that is asked for.

    Args:
        asked: the first argument, whatever it is.
    """
    app = typer.Typer(
        name="aigdetect",
        help="Forensics for images: find out whether a generative model made them.",
        epilog="Exit status: 0 all done, 1 some inputs failed, 2 nothing done, "
        "3 flagged (scan --fail-on ai), 130 interrupted, 141 reader of the output gone.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_main)
    for name in [asked] if asked in _COMMANDS else _COMMANDS:
        module = import_module(f"aigdetect.cli.{_COMMANDS[name]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, _COMMANDS[name]))
    return app


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"aigdetect {aigdetect.__version__}\n")
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find out whether a generative model made an image."""


def main() -> None:
    """Run the program and end with its exit status."""
    sys.exit(run(program(*sys.argv[1:2]), terminal))


if __name__ == "__main__":
    main()
