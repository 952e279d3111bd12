"""Average spectra of folders of images: any number of files in constant memory, stopped and resumed.

Images of a set differ in size, and nothing is ever resized. Every image is therefore averaged at each power
of two that it can give a tile of, and a set is shown at the largest that nearly all of its images reach. This
also lets sets of different sizes be compared: at the size that both have.
"""

# paths stay strings as given, as in images/find.py
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import ImageError, UsageError
from aigdetect.files import write_atomically
from aigdetect.images.decode import decode
from aigdetect.images.find import LINK, Found, find_files
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import read_bytes, why_failed
from aigdetect.images.views import Pixels
from aigdetect.spectrum.analysis import average_tiles
from aigdetect.spectrum.distance import difference, distance_by_chance, log_spectral_distance
from aigdetect.spectrum.fourier import Average, Mode, Power, Window
from aigdetect.spectrum.peaks import Peak, find_peaks
from aigdetect.spectrum.residual import SMALLEST_TILE, Channel, Tiling, tile_size

NEARLY_ALL = 0.9
"""Share of a set's images that must be large enough for the size at which the set is shown."""

_SAVING = 0.05  # share of the time that may go into saving the state


@dataclass(frozen=True)
class Method:
    """How a spectrum is made.

    Attributes:
        residual: one of :data:`aigdetect.spectrum.residual.RESIDUALS`.
        channel: ``luminance`` or ``rgb``.
        tile: largest side of a tile in pixels.
        tiles: ``center`` or ``average``, see :func:`aigdetect.spectrum.residual.residual_tiles`.
        window: ``hann`` or None.
        average: ``power`` or ``coherent``, see :class:`aigdetect.spectrum.fourier.Average`.
    """

    residual: str = "median"
    channel: Channel = "luminance"
    tile: int = 512
    tiles: Tiling = "center"
    window: Window | None = None
    average: Mode = "power"


def method_facts(method: Method) -> dict[str, str]:
    """How spectra were made, as pairs of text for the metadata of a file."""
    return {
        "Averaging": method.average,
        "Residual": method.residual,
        "Channel": method.channel,
        "Tile": str(method.tile),
        "Tiles": method.tiles,
        "Window": method.window or "none",
    }


@dataclass(frozen=True)
class Failure:
    """A file that could not be taken in: its path as found, and one line that says why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class SetSpectrum:
    """The average spectrum of the images of one folder.

    Attributes:
        folder: path, as found.
        failed: files that could not be taken in.
        averages: by tile size: 64, 128 and so on.
        reached: by tile size, how many images give no larger tile than this.
    """

    folder: str
    failed: int = 0
    averages: dict[int, Average] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images that were averaged at some size."""
        return sum(self.reached.values())

    @property
    def size(self) -> int:
        """The largest tile size that nearly all images reach."""
        return max(size for size in self.averages if self.images_at(size) >= NEARLY_ALL * self.images)

    @property
    def mixed(self) -> bool:
        """Whether the images' own tile sizes differ."""
        return len(self.reached) > 1

    def images_at(self, size: int) -> int:
        """How many images the average at this tile size holds."""
        return sum(count for largest, count in self.reached.items() if largest >= size)

    def power(self, size: int | None = None) -> Power:
        """Average power spectrum, ``(size, size)`` centred; without a size at :attr:`size`."""
        return self.averages[size or self.size].power()

    def with_image(self, parts: Sequence[Average]) -> SetSpectrum:
        """The set with one more image, given by its averages at all its sizes."""
        averages = dict(self.averages)
        for part in parts:
            averages[part.size] = averages[part.size].merged(part) if part.size in averages else part
        largest = max(part.size for part in parts)
        reached = {**self.reached, largest: self.reached.get(largest, 0) + 1}
        return replace(self, averages=averages, reached=reached)


@dataclass(frozen=True, eq=False)
class Comparison:
    """How a set differs from a reference.

    Attributes:
        size: tile size at which they were compared.
        difference: ``(size, size)`` float64, dB, see :func:`aigdetect.spectrum.distance.difference`.
        distance_db: see :func:`aigdetect.spectrum.distance.log_spectral_distance`.
        by_chance_db: see :func:`aigdetect.spectrum.distance.distance_by_chance`.
    """

    size: int
    difference: NDArray[np.float64]
    distance_db: float
    by_chance_db: float


@dataclass(frozen=True)
class Survey:
    """What there is to average: folders in the order met, how many files are looked at, links passed over."""

    folders: tuple[str, ...]
    files: int
    links: int = 0


def survey_folders(
    roots: Sequence[str], *, depth: int | None = None, follow_symlinks: bool = False
) -> Survey:
    """Walk folders once without reading an image.

    Args:
        roots: folders.
        depth: join the images further down than so many levels with those of the folder at that level; None
            makes a set of every folder that holds images itself.
        follow_symlinks: also take in what symbolic links inside folders lead to.

    Raises:
        UsageError: there is no image.
    """
    folders: dict[str, None] = {}
    files, links = 0, 0
    for found in find_files(roots, follow_symlinks=follow_symlinks):
        links += found.reason == LINK
        if found.kind != "other":
            folders.setdefault(_set_folder(found.path, roots, depth))
            files += 1
    if not files:
        hint = f" but {links} symbolic links, which --follow-symlinks follows" if links else ""
        raise UsageError(f"no image in {', '.join(roots)}{hint}")
    return Survey(tuple(folders), files, links)


def compare(one: SetSpectrum, reference: SetSpectrum) -> Comparison:
    """A set against a reference, at the largest size at which both are shown or could be."""
    size = min(one.size, reference.size)
    first, second = one.averages[size], reference.averages[size]
    return Comparison(
        size=size,
        difference=difference(first.power(), second.power()),
        distance_db=log_spectral_distance(first.power(), second.power()),
        by_chance_db=distance_by_chance(first.independent, second.independent),
    )


def set_peaks(one: SetSpectrum, false_alarm_rate: float) -> tuple[Peak, ...]:
    """What stands out of a set's average spectrum, see :func:`aigdetect.spectrum.peaks.find_peaks`."""
    average = one.averages[one.size]
    return find_peaks(average.power(), averaged=average.independent, false_alarm_rate=false_alarm_rate)


def short_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Names of folders without what they all begin with; the last part of a single one."""
    absolute = [os.path.realpath(folder) for folder in folders]
    start = os.path.commonpath(absolute)
    if start in absolute:
        start = os.path.dirname(start)
    return tuple(os.path.relpath(folder, start) for folder in absolute)


def average_folders(
    roots: Sequence[str],
    method: Method,
    *,
    depth: int | None = None,
    follow_symlinks: bool = False,
    state: Path | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    advance: Callable[[int], None] = lambda files: None,
    failed: Callable[[Failure], None] = lambda failure: None,
) -> tuple[SetSpectrum, ...]:
    """The average spectrum of each folder that holds images.

    Images are read, decoded and transformed by threads and added up in the order found, so that the averages
    are the same bit for bit whatever the number of threads, and after an interruption.

    Args:
        roots: folders.
        method: how the spectra are made.
        depth: see :func:`survey_folders`.
        follow_symlinks: see there.
        state: file that holds what is done so far. If it is there, work goes on from it; it is kept up to
            date, and left behind at the end for the caller to delete once the results are safe.
        workers: threads; None for one per processor.
        max_pixels: images of more pixels are failures.
        advance: told of every so many files dealt with.
        failed: told of every file that cannot be taken in; also, first, of those before an interruption.

    Returns:
        sets in the order met, without those that have no usable image.

    Raises:
        UsageError: the state belongs to other settings, folders or files, or cannot be read or written.
    """
    tile_size(method.tile, method.tile, method.tile)  # a bad tile size is no fault of the first image
    settings = {
        "method": asdict(method),
        "depth": depth,
        "follow_symlinks": follow_symlinks,
        "roots": list(roots),
        "max_pixels": max_pixels,
    }
    progress = _Progress(settings)
    if state is not None and state.exists():
        progress = _load(state, settings)
        for failure in progress.failures:
            failed(failure)
        advance(progress.position)
    members = _members(roots, depth, follow_symlinks)
    progress.skip(members, state)
    keeper = _Keeper(state)
    workers = workers or _processors()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="spectrum")
    try:
        for folder, found, outcome in _in_order(pool, members, method, max_pixels, ahead=2 * workers):
            # in one assignment: an interruption must not find one half done
            progress = progress.plus(folder, found, outcome)
            if isinstance(outcome, str):
                failed(progress.failures[-1])
            advance(1)
            keeper.perhaps_save(progress)
    finally:
        # whatever ends this: what is done is on disk
        pool.shutdown(wait=True, cancel_futures=True)
        keeper.save(progress)
    return tuple(one for one in progress.sets.values() if one.images)


# -- files in their order ----------------------------------------------------------------------------------


def _members(roots: Sequence[str], depth: int | None, follow_symlinks: bool) -> Iterator[tuple[str, Found]]:
    """What to look at, each with the folder whose set it belongs to."""
    for found in find_files(roots, follow_symlinks=follow_symlinks):
        if found.kind != "other":
            yield _set_folder(found.path, roots, depth), found


def _set_folder(path: str, roots: Sequence[str], depth: int | None) -> str:
    folder = os.path.dirname(path)
    if depth is None:
        return folder
    root = next(root for root in roots if folder == root or folder.startswith(os.path.join(root, "")))
    return os.path.join(root, *Path(os.path.relpath(folder, root)).parts[:depth])


def _in_order(
    pool: ThreadPoolExecutor,
    members: Iterable[tuple[str, Found]],
    method: Method,
    max_pixels: int,
    *,
    ahead: int,
) -> Iterator[tuple[str, Found, tuple[Average, ...] | str]]:
    """Transform files in the pool, at most ``ahead`` of them before they are asked for."""
    pending: deque[tuple[str, Found, Future[tuple[Average, ...] | str]]] = deque()
    for folder, found in members:
        pending.append((folder, found, pool.submit(_transform, found, method, max_pixels)))
        if len(pending) >= ahead:
            first, item, future = pending.popleft()
            yield first, item, future.result()
    while pending:
        first, item, future = pending.popleft()
        yield first, item, future.result()


def _transform(found: Found, method: Method, max_pixels: int) -> tuple[Average, ...] | str:
    """Averages of one image at all its sizes, or why there are none; never raises."""
    if found.kind == "error":
        return found.reason
    try:
        pixels = decode(read_bytes(found.path), max_pixels=max_pixels).pixels
        height, width = pixels.shape[:2]
        largest, *smaller = _sizes(tile_size(height, width, method.tile))
        first = _average_at(largest, pixels, method)
        return first, *(_average_or_zero(size, pixels, method) for size in smaller)
    except BaseException as error:  # noqa: BLE001 - a panic in a decoder written in Rust is no Exception
        return why_failed(error)


def _average_at(size: int, pixels: Pixels, method: Method) -> Average:
    return average_tiles(
        pixels,
        residual=method.residual,
        channel=method.channel,
        tile=size,
        tiles=method.tiles,
        window=method.window,
        mode=method.average,
    )


def _average_or_zero(size: int, pixels: Pixels, method: Method) -> Average:
    """Average of smaller tiles: an image that holds something may hold nothing at its very centre."""
    try:
        return _average_at(size, pixels, method)
    except ImageError:
        channels = () if method.channel == "luminance" else (3,)
        return Average(size, method.average, method.window).plus(
            np.zeros((size, size, *channels), np.float32)
        )


def _sizes(largest: int) -> list[int]:
    """Powers of two, from the largest down."""
    return [largest >> level for level in range((largest // SMALLEST_TILE).bit_length())]


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- what is done so far -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Progress:
    """Everything that an interrupted run needs to go on.

    Attributes:
        settings: plain data that must be the same when it goes on.
        position: files dealt with.
        digest: hexadecimal, over path, size and time of change of these files in their order.
        failures: those among them that could not be taken in.
        sets: by folder.
    """

    settings: dict[str, Any]
    position: int = 0
    digest: str = ""
    failures: tuple[Failure, ...] = ()
    sets: dict[str, SetSpectrum] = field(default_factory=dict)

    def plus(self, folder: str, found: Found, outcome: tuple[Average, ...] | str) -> _Progress:
        """The progress with one more file."""
        one = self.sets.get(folder) or SetSpectrum(folder)
        failures = self.failures
        if isinstance(outcome, str):
            one = replace(one, failed=one.failed + 1)
            failures = (*failures, Failure(found.path, outcome))
        else:
            one = one.with_image(outcome)
        return replace(
            self,
            position=self.position + 1,
            digest=_chained(self.digest, found.path),
            failures=failures,
            sets={**self.sets, folder: one},
        )

    def skip(self, members: Iterator[tuple[str, Found]], state: Path | None) -> None:
        """Pass over the files that are done, after making sure that they are still the same.

        Raises:
            UsageError: they are not.
        """
        digest = ""
        for _ in range(self.position):
            _, found = next(members, (None, None))
            digest = _chained(digest, found.path if found else "")
        if digest != self.digest:
            raise UsageError(
                f"{state}: the files have changed since the interruption; start anew with --force"
            )


@dataclass
class _Keeper:
    """Saves the progress as often as may be without costing much."""

    state: Path | None
    saved: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    def perhaps_save(self, progress: _Progress) -> None:
        """Save if the last time is long enough ago."""
        if time.monotonic() - self.saved > self.cost / _SAVING:
            self.save(progress)

    def save(self, progress: _Progress) -> None:
        """Write the state, if there is a file for it."""
        if self.state is None:
            return
        start = time.monotonic()
        write_atomically(self.state, _dump(progress))
        self.saved = time.monotonic()
        self.cost = self.saved - start


def _chained(digest: str, path: str) -> str:
    try:
        info = os.stat(path)  # noqa: PTH116
        facts = f"{info.st_size} {info.st_mtime_ns}"
    except (OSError, ValueError):
        facts = "gone"
    return hashlib.sha256(f"{digest} {facts} ".encode() + os.fsencode(path)).hexdigest()


def _dump(progress: _Progress) -> bytes:
    head = {
        "settings": progress.settings,
        "position": progress.position,
        "digest": progress.digest,
        "failures": [asdict(failure) for failure in progress.failures],
        "sets": [
            {"folder": one.folder, "failed": one.failed, "reached": one.reached, "sizes": list(one.averages)}
            for one in progress.sets.values()
        ],
    }
    # plain ASCII, so that names that are no valid text survive
    arrays: dict[str, NDArray[Any]] = {"head": np.frombuffer(json.dumps(head).encode("ascii"), np.uint8)}
    for index, one in enumerate(progress.sets.values()):
        for size, average in one.averages.items():
            arrays |= {f"{index}/{size}/{name}": array for name, array in average.arrays().items()}
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    return data.getvalue()


def _load(state: Path, settings: dict[str, Any]) -> _Progress:
    try:
        with np.load(state, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            sets = {
                one["folder"]: SetSpectrum(
                    folder=one["folder"],
                    failed=int(one["failed"]),
                    averages={size: _average(stored, index, size) for size in one["sizes"]},
                    reached={int(size): int(count) for size, count in one["reached"].items()},
                )
                for index, one in enumerate(head["sets"])
            }
            progress = _Progress(
                settings=head["settings"],
                position=int(head["position"]),
                digest=str(head["digest"]),
                failures=tuple(Failure(**failure) for failure in head["failures"]),
                sets=sets,
            )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        AttributeError,
        BadZipFile,
        UsageError,
    ) as error:
        raise UsageError(
            f"{state}: is not the state of an interrupted run ({why_failed(error)}); start anew with --force"
        ) from error
    if changed := [name for name, value in settings.items() if progress.settings.get(name) != value]:
        raise UsageError(
            f"{state}: belongs to a run with another {' and '.join(changed).replace('_', ' ')}; repeat its "
            "options to go on with it, or start anew with --force"
        )
    return progress


def _average(stored: Any, index: int, size: int) -> Average:
    names = ("size", "mode", "window", "count", "total")
    return Average.from_arrays({name: stored[f"{index}/{size}/{name}"] for name in names})
