"""``aigdetect spectrum``: periodic traces of images and of folders, as pictures and numbers."""

# paths stay strings as given, as in images/find.py
# ruff: noqa: PTH112, PTH119

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigdetect.cli.options import Debug, Json, Quiet, Verbose, terminal
from aigdetect.cli.spectra import Spectra, Tally, Target, left_behind
from aigdetect.errors import UsageError

if TYPE_CHECKING:
    from aigdetect.spectrum.sets import Method

_log = logging.getLogger(__name__)
_SETS = "sets"  # file name of what is written of folders beside files on single images


class Averaging(str, Enum):
    """What is averaged over a set."""

    POWER = "power"
    COHERENT = "coherent"


class Residual(str, Enum):
    """What is taken from the image to leave the residual."""

    MEDIAN = "median"
    GAUSSIAN = "gaussian"
    WAVELET = "wavelet"
    NLM = "nlm"


class Channel(str, Enum):
    """What of the colours is looked at."""

    LUMINANCE = "luminance"
    RGB = "rgb"


class Tiles(str, Enum):
    """What of an image is looked at."""

    CENTER = "center"
    AVERAGE = "average"


class Window(str, Enum):
    """What tapers the edges of a tile."""

    NONE = "none"
    HANN = "hann"


_METHOD = "How spectra are made"
_FOLDERS = "Folders"


def spectrum(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Images, each by itself, and folders: one average for each folder in them.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="F.png",
            help="Draw into a PNG file: one image, or all folders on one sheet. With several images, or with "
            "images and folders: a folder, with a PNG for each image, and sets.png.",
        ),
    ] = None,
    json: Json = False,
    npz: Annotated[
        str | None,
        typer.Option(
            "--npz", metavar="F.npz", help="Write the arrays to a NumPy file; several as with --out."
        ),
    ] = None,
    average: Annotated[
        Averaging | None,
        typer.Option(
            "--average",
            help="power (default) shows every periodic trace; coherent only what has the same phase in all "
            "images.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="FOLDER",
            help="Show how every folder differs from the average of all images in this one; beside an image, "
            "its profile.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="N",
            min=0,
            help="Join what lies deeper than N levels below a PATH; 0: one average for each PATH.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    follow_symlinks: Annotated[
        bool,
        typer.Option(
            "--follow-symlinks", help="Follow symbolic links inside folders.", rich_help_panel=_FOLDERS
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on after an interruption; needs --out or --npz.", rich_help_panel=_FOLDERS
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=256,
            help="Threads (default: one per processor).",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    residual: Annotated[
        Residual,
        typer.Option(
            "--residual", help="Filter whose result is taken from the image.", rich_help_panel=_METHOD
        ),
    ] = Residual.MEDIAN,
    channel: Annotated[
        Channel, typer.Option("--channel", help="Luminance, or red, green and blue.", rich_help_panel=_METHOD)
    ] = Channel.LUMINANCE,
    tile: Annotated[
        int,
        typer.Option(
            "--tile",
            metavar="N",
            help="Side in pixels, a power of two from 64 on; smaller images take the largest that fits.",
            rich_help_panel=_METHOD,
        ),
    ] = 512,
    tiles: Annotated[
        Tiles,
        typer.Option("--tiles", help="The one at the centre, or all of an image.", rich_help_panel=_METHOD),
    ] = Tiles.CENTER,
    window: Annotated[
        Window, typer.Option("--window", help="Taper the edges of tiles.", rich_help_panel=_METHOD)
    ] = Window.NONE,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            "--false-alarm-rate",
            metavar="X",
            help="Share of spectra without a periodic trace in which a peak may be reported (default: 0.01).",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", metavar="N", min=1, help="Refuse images of more pixels.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite output files of earlier runs.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Show periodic traces in images: what stands out of the spectrum, and what that is consistent with.

    An image minus its smoothed self leaves a residual; its spectrum shows
    traces of JPEG blocks, resizing, demosaicing and of generators' upsampling.
    No trace proves anything by itself, and the absence of one even less.
    A folder gives the average spectrum of each folder of images inside it.

    Exit status: 0 all done; 1 some inputs failed, each of them named;
    2 nothing done; 130 interrupted.
    """
    images = [path for path in paths if not os.path.isdir(path)]
    folders = [path for path in paths if os.path.isdir(path)]
    if not folders:
        for name, value in (("average", average), ("resume", resume or None), ("depth", depth)):
            if value is not None:
                raise UsageError(f"--{name}: is for folders, and no PATH is one")
    labels = [os.path.basename(path) for path in images] + ([_SETS] if folders else [])
    targets = [
        Target(given, suffix, labels) for given, suffix in ((out, ".png"), (npz, ".npz")) if given is not None
    ]
    state = _state(targets, folders, resume=resume, force=force)
    run = Spectra(
        method=_method(residual, channel, tile, tiles, window, average),
        false_alarm_rate=_rate(false_alarm_rate),
        max_pixels=_max_pixels(max_pixels),
        follow_symlinks=follow_symlinks,
        workers=workers,
        json=json,
        png=next((target for target in targets if target.suffix == ".png"), None),
        npz=next((target for target in targets if target.suffix == ".npz"), None),
        state=state,
        tally=Tally(),
    )
    for target in targets:
        target.prepare(paths, force=force or bool(state and left_behind(state)))
    chosen = run.reference(reference) if reference is not None else None
    run.images(images, chosen)
    if folders:
        run.folders(folders, depth, chosen, reference or "")
    return run.tally.status()


# -- options to settings -----------------------------------------------------------------------------------


def _method(
    residual: Residual, channel: Channel, tile: int, tiles: Tiles, window: Window, average: Averaging | None
) -> Method:
    from aigdetect.spectrum.residual import tile_size
    from aigdetect.spectrum.sets import Method

    tile_size(tile, tile, tile)  # refuses what is no size of a tile
    return Method(
        residual=residual.value,
        channel=channel.value,
        tile=tile,
        tiles=tiles.value,
        window=None if window is Window.NONE else window.value,
        average=(average or Averaging.POWER).value,
    )


def _rate(given: float | None) -> float:
    from aigdetect.spectrum.peaks import FALSE_ALARM_RATE

    if given is not None and not 0 < given < 1:
        raise UsageError(f"--false-alarm-rate: {given} is not between 0 and 1")
    return FALSE_ALARM_RATE if given is None else given


def _max_pixels(given: int | None) -> int:
    from aigdetect.images.opening import MAX_PIXELS

    return given or MAX_PIXELS


def _state(targets: Sequence[Target], folders: Sequence[str], *, resume: bool, force: bool) -> Path | None:
    """Where the progress on folders is kept, beside what is written of them; ready for this run."""
    from aigdetect.replacing import Form, require_own

    if not folders or not targets:
        if resume:
            raise UsageError(
                "--resume: needs --out or --npz, beside which an interrupted run leaves its state"
            )
        return None
    state = Path(f"{targets[-1].files()[-1]}.state")
    left = left_behind(state)
    if resume and not left:
        terminal.say("nothing to resume: starting anew")
    if left and not resume:
        if not force:
            raise UsageError(
                f"{left[0]}: holds an interrupted run; go on with --resume, or start anew with --force"
            )
        for each in left:
            require_own(each, Form.ARRAYS)
        for each in left:
            each.unlink()
    return state
