"""The program ``aigdetect``: gathers the commands and turns what ends them into an exit status."""

from __future__ import annotations

import sys
from typing import Annotated, ClassVar

import typer

import aigdetect
from aigdetect.cli.completions import InstallCompletion, ShowCompletion, listen_to_shells
from aigdetect.cli.console import run
from aigdetect.cli.lazy import LazyGroup
from aigdetect.cli.options import terminal
from aigdetect.cli.printing import put


class Program(LazyGroup):
    """All commands, in the order in which they are shown."""

    places: ClassVar[dict[str, tuple[str, str]]] = {
        "scan": (
            "aigdetect.cli.scan:scan",
            "Say of each image whether it is AI-generated, and how sure that is.",
        ),
        "inspect": (
            "aigdetect.cli.inspect:inspect",
            "Show what the metadata of images claims, how JPEGs are built, and open watermarks.",
        ),
        "verify": (
            "aigdetect.cli.verify:verify",
            "Compare every input and every output of a case with its manifest.",
        ),
        "merge": ("aigdetect.cli.merge:merge", "Join the parts that scan --shard made into one result."),
        "train": ("aigdetect.cli.train:train", "Train a detector on folders of real and generated images."),
        "eval": (
            "aigdetect.cli.evaluate:evaluate",
            "Measure detectors on labelled images, generator by generator.",
        ),
        "calibrate": (
            "aigdetect.cli.calibrate:calibrate",
            "Set a model's thresholds and scores on your own images.",
        ),
        "spectrum": (
            "aigdetect.cli.spectrum:spectrum",
            "Show periodic traces in images: what stands out of the spectrum, "
            "and what that is consistent with.",
        ),
        "export": (
            "aigdetect.cli.export:export",
            "Write a model, its backbone included, as one file: views in, logits out.",
        ),
        "models": (
            "aigdetect.cli.models:app",
            "The shipped models and the backbones under them: list, describe, fetch, verify.",
        ),
    }


app = typer.Typer(
    name="aigdetect",
    cls=Program,
    help="Forensics for images: find out whether a generative model made them.",
    epilog="Exit status: 0 all done, 1 some inputs failed, 2 nothing done, "
    "3 flagged (scan --fail-on ai), 130 interrupted, 141 reader of the output gone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,  # Typer's own options for it load what checks values, whatever is asked for
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(value: bool) -> None:
    if value:
        put(f"aigdetect {aigdetect.__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    install_completion: InstallCompletion = False,
    show_completion: ShowCompletion = False,
) -> None:
    """Find out whether a generative model made an image."""


def main() -> None:
    """Run the program and end with its exit status."""
    listen_to_shells()
    sys.exit(run(app, terminal))


if __name__ == "__main__":
    main()
