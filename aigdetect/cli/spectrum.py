"""``aigdetect spectrum``: periodic traces of images and of folders, as pictures and numbers."""

# paths stay strings as given, as in images/find.py
# ruff: noqa: PTH112, PTH119

from __future__ import annotations

import json as jsonlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import Debug, Json, Quiet, Verbose, terminal
from aigdetect.errors import ImageError, UsageError
from aigdetect.text import printable

if TYPE_CHECKING:
    from aigdetect.images.views import Pixels
    from aigdetect.spectrum.analysis import Analysis
    from aigdetect.spectrum.sets import Failure, Method, SetSpectrum

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
        _Target(given, suffix, labels)
        for given, suffix in ((out, ".png"), (npz, ".npz"))
        if given is not None
    ]
    state = _state(targets, folders, resume=resume, force=force)
    run = _Run(
        method=_method(residual, channel, tile, tiles, window, average),
        false_alarm_rate=_rate(false_alarm_rate),
        max_pixels=_max_pixels(max_pixels),
        follow_symlinks=follow_symlinks,
        workers=workers,
        json=json,
        png=next((target for target in targets if target.suffix == ".png"), None),
        npz=next((target for target in targets if target.suffix == ".npz"), None),
        state=state,
        tally=_Tally(),
    )
    for target in targets:
        target.prepare(paths, force=force or bool(state and state.exists()))
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


def _state(targets: Sequence[_Target], folders: Sequence[str], *, resume: bool, force: bool) -> Path | None:
    """Where the progress on folders is kept, beside what is written of them; ready for this run."""
    from aigdetect.replacing import Form, require_own

    if not folders or not targets:
        if resume:
            raise UsageError(
                "--resume: needs --out or --npz, beside which an interrupted run leaves its state"
            )
        return None
    state = Path(f"{targets[-1].files()[-1]}.state")
    if resume and not state.exists():
        terminal.say("nothing to resume: starting anew")
    if state.exists() and not resume:
        if not force:
            raise UsageError(
                f"{state}: holds an interrupted run; go on with --resume, or start anew with --force"
            )
        require_own(state, Form.ARRAYS)
        state.unlink()
        _of_reference(state).unlink(missing_ok=True)
    return state


def _of_reference(state: Path) -> Path:
    return Path(f"{state}-reference")


# -- what comes out ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """Where the files of one kind go: one file as given, or one for each label in a folder as given."""

    given: str
    suffix: str
    labels: Sequence[str]

    @property
    def is_folder(self) -> bool:
        return len(self.labels) > 1 or os.path.isdir(self.given)

    def files(self) -> list[Path]:
        """One for each label; no two are the same."""
        if not self.is_folder:
            return [Path(self.given)]
        names: dict[str, None] = {}
        for label in self.labels:
            name, number = _file_name(label, self.suffix), 1
            while name in names:
                number += 1
                name = _file_name(label, f"-{number}{self.suffix}")
            names[name] = None
        return [Path(self.given, name) for name in names]

    def prepare(self, evidence: Sequence[str], *, force: bool) -> None:
        """Refuse what cannot be written or must not be overwritten; make the folder.

        Args:
            evidence: what is read.
            force: overwrite files of earlier runs.

        Raises:
            UsageError: with what to do.
        """
        from aigdetect.replacing import Form, refuse_inputs
        from aigdetect.scanning.writers import STDOUT, check_output

        if self.given == STDOUT:
            raise UsageError("-: neither pictures nor arrays go to standard output; name a file")
        if self.is_folder:
            try:
                Path(self.given).mkdir(exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"{self.given}: cannot be made a folder for {len(self.labels)} files ({error.strerror})"
                ) from error
        refuse_inputs(self.files(), evidence)
        for file in self.files():
            check_output(str(file), force=force, form=Form.PICTURE if self.suffix == ".png" else Form.ARRAYS)


def _file_name(label: str, end: str) -> str:
    """A file name that begins with a label, cut to what file systems allow."""
    return os.fsdecode(os.fsencode(label)[: 255 - len(end)]) + end


@dataclass
class _Tally:
    """Counts what was done, and names what was not."""

    done: int = 0
    failed: int = 0

    def fail(self, path: str, error: BaseException | str) -> None:
        """Name a file that could not be taken in, and count it."""
        from aigdetect.images.read import why_failed

        self.failed += 1
        reason = error if isinstance(error, str) else why_failed(error)
        failure = ImageError(f"{path}: {reason}")
        if isinstance(error, BaseException):
            failure = failure.with_traceback(error.__traceback__)
        terminal.error(failure)

    def status(self) -> Exit:
        """How the command ends."""
        if not self.done:
            return Exit.NOTHING_DONE
        return Exit.SOME_FAILED if self.failed else Exit.DONE


@dataclass(frozen=True)
class _Run:
    """One call of the command: its settings, and what it does with each input."""

    method: Method
    false_alarm_rate: float
    max_pixels: int
    follow_symlinks: bool
    workers: int | None
    json: bool
    png: _Target | None
    npz: _Target | None
    state: Path | None
    tally: _Tally

    # -- single images

    def images(self, paths: Sequence[str], reference: SetSpectrum | None) -> None:
        """Analyse images one after the other, each written before the next is read."""
        with terminal.progress("analysing", len(paths), hidden=len(paths) < 2 or sys.stdout.isatty()) as bar:
            for place, path in enumerate(paths):
                self._image(place, path, reference)
                bar.advance(bar.task_ids[0])

    def _image(self, place: int, path: str, reference: SetSpectrum | None) -> None:
        from aigdetect.images.decode import decode
        from aigdetect.images.read import read_bytes, why_failed
        from aigdetect.spectrum.analysis import analyse
        from aigdetect.spectrum.export import as_npz, error_row, image_arrays, image_row
        from aigdetect.spectrum.sets import method_facts

        try:
            pixels = decode(read_bytes(path), max_pixels=self.max_pixels).pixels
            analysis = analyse(
                pixels,
                residual=self.method.residual,
                channel=self.method.channel,
                tile=self.method.tile,
                tiles=self.method.tiles,
                window=self.method.window,
                false_alarm_rate=self.false_alarm_rate,
            )
        except (KeyboardInterrupt, SystemExit, UsageError):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic in a decoder written in Rust is no Exception
            self.tally.fail(path, error)
            if self.json:
                _print_json(error_row(path, why_failed(error)))
            return
        self.tally.done += 1
        facts = {"Title": printable(path), **method_facts(self.method), "Tile": str(analysis.size)}
        draw = partial(self._panel, pixels, analysis, facts, reference)
        png = None
        if self.png:
            png = draw()
            self._write(self.png.files()[place], png)
        if self.npz:
            self._write(self.npz.files()[place], as_npz(image_arrays(analysis), facts))
        if self.json:
            _print_json(image_row(path, analysis))
        else:
            from aigdetect.cli.drawing import show_image

            show_image(terminal.results(), path, analysis, lambda: png or draw())

    def _panel(
        self, pixels: Pixels, analysis: Analysis, facts: dict[str, str], reference: SetSpectrum | None
    ) -> bytes:
        from aigdetect.spectrum.figures import as_png, draw_panel
        from aigdetect.spectrum.fourier import radial_profile
        from aigdetect.spectrum.reference import camera_band

        band = camera_band(analysis.residual, analysis.channel)
        profile = radial_profile(reference.power()) if reference else None
        return as_png(draw_panel(pixels, analysis, band, title=facts["Title"], reference=profile), facts)

    # -- folders

    def folders(
        self, roots: Sequence[str], depth: int | None, reference: SetSpectrum | None, reference_name: str
    ) -> None:
        """Average the images of folders, and write and show all at the end."""
        from aigdetect.spectrum.export import as_npz, set_arrays, set_row
        from aigdetect.spectrum.figures import as_png, draw_sheet
        from aigdetect.spectrum.sets import compare, method_facts, set_peaks, short_names

        sets = self._averages(roots, depth, self.state)
        if not sets:
            return
        self.tally.done += len(sets)
        names = short_names([one.folder for one in sets])
        comparisons = [compare(one, reference) for one in sets] if reference else []
        facts = {"Title": "average spectra", **method_facts(self.method)}
        if reference:
            facts["Reference"] = printable(reference_name)
        if self.png:
            figure = draw_sheet(
                sets,
                [printable(name) for name in names],
                self.method,
                reference=printable(reference_name),
                comparisons=comparisons,
            )
            self._write(self.png.files()[-1], as_png(figure, facts))
        if self.npz:
            self._write(self.npz.files()[-1], as_npz(set_arrays(sets, names, comparisons), facts))
        if self.state:  # what it was for is on disk
            self.state.unlink(missing_ok=True)
            _of_reference(self.state).unlink(missing_ok=True)
        peaks = [set_peaks(one, self.false_alarm_rate) for one in sets]
        if self.json:
            for place, one in enumerate(sets):
                _print_json(
                    set_row(
                        one,
                        names[place],
                        self.method,
                        peaks[place],
                        self.false_alarm_rate,
                        reference=reference_name or None,
                        comparison=comparisons[place] if comparisons else None,
                    )
                )
        else:
            from aigdetect.cli.drawing import show_sets

            show_sets(terminal.results(), sets, names, peaks, comparisons)

    def reference(self, folder: str) -> SetSpectrum:
        """The average of all images in a folder, whatever folders they are in.

        Raises:
            UsageError: there is none.
        """
        if not os.path.isdir(folder):
            raise UsageError(f"--reference: {folder} is not a folder")
        found = self._averages([folder], 0, _of_reference(self.state) if self.state else None)
        if not found:
            raise UsageError(f"--reference: no image in {folder} could be read")
        return found[0]

    def _averages(
        self, roots: Sequence[str], depth: int | None, state: Path | None
    ) -> tuple[SetSpectrum, ...]:
        from aigdetect.spectrum.export import error_row
        from aigdetect.spectrum.figures import MAX_SETS
        from aigdetect.spectrum.sets import average_folders, survey_folders

        survey = survey_folders(roots, depth=depth, follow_symlinks=self.follow_symlinks)
        if len(survey.folders) > MAX_SETS:
            raise UsageError(
                f"{len(survey.folders)} folders hold images, and {MAX_SETS} fit on a sheet: "
                "join some with --depth, or name fewer"
            )

        def failed(failure: Failure) -> None:
            self.tally.fail(failure.path, failure.reason)
            if self.json:
                _print_json(error_row(failure.path, failure.reason))

        with terminal.progress("averaging", survey.files) as bar:
            sets = average_folders(
                roots,
                self.method,
                depth=depth,
                follow_symlinks=self.follow_symlinks,
                state=state,
                workers=self.workers,
                max_pixels=self.max_pixels,
                advance=lambda files: bar.advance(bar.task_ids[0], files),
                failed=failed,
            )
        images, smaller = sum(one.images for one in sets), _smaller(sets)
        terminal.say(
            f"{len(sets)} folder{'s' * (len(sets) != 1)}, {images} images"
            + (f"; {smaller} smaller than the tile of their folder, left out" if smaller else "")
            + (f"; {survey.files - images} could not be used" if survey.files > images else "")
            + (
                f"; {survey.links} symbolic links passed over (--follow-symlinks follows them)"
                if survey.links
                else ""
            )
        )
        return sets

    def _write(self, path: Path, data: bytes) -> None:
        from aigdetect.files import write_atomically

        write_atomically(path, data)
        _log.info("written to %s", path)


def _smaller(sets: Sequence[SetSpectrum]) -> int:
    return sum(one.images - one.images_at(one.size) for one in sets)


def _print_json(row: dict[str, Any]) -> None:
    """One object a line, in ASCII: bytes of a path that are no text come back with ``os.fsencode``."""
    sys.stdout.write(jsonlib.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()
