"""The program ``aigdetect``: gathers the commands and turns what ends them into an exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import aigdetect
from aigdetect.cli import calibrate, evaluate, export, inspect, merge, models, scan, spectrum, train, verify
from aigdetect.cli.console import run
from aigdetect.cli.options import terminal

app = typer.Typer(
    name="aigdetect",
    help="Forensics for images: find out whether a generative model made them.",
    epilog="Exit status: 0 all done, 1 some inputs failed, 2 nothing done, "
    "3 flagged (scan --fail-on ai), 130 interrupted, 141 reader of the output gone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("scan")(scan.scan)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("merge")(merge.merge)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("spectrum")(spectrum.spectrum)
app.command("export")(export.export)
app.add_typer(models.app, name="models")


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"aigdetect {aigdetect.__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find out whether a generative model made an image."""


def main() -> None:
    """Run the program and end with its exit status."""
    sys.exit(run(app, terminal))


if __name__ == "__main__":
    main()
