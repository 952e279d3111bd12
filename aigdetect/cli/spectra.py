"""What ``aigdetect spectrum`` does with each image and folder, and where what comes out goes."""

# paths stay strings as given, as in images/find.py
# ruff: noqa: PTH112

from __future__ import annotations

import json as jsonlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigdetect.cli.console import Exit
from aigdetect.cli.options import terminal
from aigdetect.cli.printing import put
from aigdetect.errors import ImageError, UsageError
from aigdetect.text import printable

if TYPE_CHECKING:
    from aigdetect.images.views import Pixels
    from aigdetect.spectrum.analysis import Analysis
    from aigdetect.spectrum.sets import Failure, Method, SetSpectrum

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Where the files of one kind go: one file as given, or one for each label in a folder as given."""

    given: str
    suffix: str
    labels: Sequence[str]

    @property
    def is_folder(self) -> bool:
        """Whether it is one in which each label gets a file of its own."""
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
class Tally:
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
class Spectra:
    """One call of the command: its settings, and what it does with each input."""

    method: Method
    false_alarm_rate: float
    max_pixels: int
    follow_symlinks: bool
    workers: int | None
    json: bool
    png: Target | None
    npz: Target | None
    state: Path | None
    tally: Tally

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
        from aigdetect.spectrum.plain_data import as_npz, error_row, image_arrays, image_row
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
        from aigdetect.spectrum.figures import as_png, draw_sheet
        from aigdetect.spectrum.plain_data import as_npz, set_arrays, set_row
        from aigdetect.spectrum.sets import compare, method_facts, set_peaks, short_names

        sets = self._averages(roots, depth, self.state)
        if not sets:
            self._forget()  # the run is over, and nothing is to go on with
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
        self._forget()  # what it was for is on disk
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
        found = self._averages([folder], 0, state_of_reference(self.state) if self.state else None)
        if not found:
            self._forget()
            raise UsageError(f"--reference: no image in {folder} could be read")
        return found[0]

    def _averages(
        self, roots: Sequence[str], depth: int | None, state: Path | None
    ) -> tuple[SetSpectrum, ...]:
        from aigdetect.spectrum.averaging import average_folders, survey_folders
        from aigdetect.spectrum.figures import MAX_SETS
        from aigdetect.spectrum.plain_data import error_row

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

    def _forget(self) -> None:
        """Delete what is kept of the progress."""
        for each in left_behind(self.state) if self.state else ():
            each.unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        from aigdetect.files import write_atomically

        write_atomically(path, data)
        _log.info("written to %s", path)


def state_of_reference(state: Path) -> Path:
    """Where the progress on the reference is kept, beside that on the other folders."""
    return Path(f"{state}-reference")


def left_behind(state: Path) -> list[Path]:
    """What an unfinished run has left of its progress: on folders, on the reference, or on both."""
    return [each for each in (state, state_of_reference(state)) if each.exists()]


def _smaller(sets: Sequence[SetSpectrum]) -> int:
    return sum(one.images - one.images_at(one.size) for one in sets)


def _print_json(row: dict[str, Any]) -> None:
    """One object a line, in ASCII: bytes of a path that are no text come back with ``os.fsencode``."""
    put(jsonlib.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
