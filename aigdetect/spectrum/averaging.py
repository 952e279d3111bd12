"""Folders of images become average spectra: any number of files in constant memory, stopped and resumed."""

# paths stay strings as given, as in images/find.py
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from aigdetect.errors import ImageError, UsageError
from aigdetect.images.decode import decode
from aigdetect.images.find import LINK, Found, find_files
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import read_bytes, why_failed
from aigdetect.images.views import Pixels
from aigdetect.spectrum.analysis import average_tiles
from aigdetect.spectrum.fourier import Average
from aigdetect.spectrum.progress import Keeper, Progress, load
from aigdetect.spectrum.residual import SMALLEST_TILE, tile_size
from aigdetect.spectrum.sets import Failure, Method, SetSpectrum


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
    progress = Progress(settings)
    if state is not None and state.exists():
        progress = load(state, settings)
        for failure in progress.failures:
            failed(failure)
        advance(progress.position)
    members = _members(roots, depth, follow_symlinks)
    progress.skip(members, state)
    keeper = Keeper(state)
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


def _members(roots: Sequence[str], depth: int | None, follow_symlinks: bool) -> Iterator[tuple[str, Found]]:
    """What to look at, each with the folder whose set it belongs to."""
    for found in find_files(roots, follow_symlinks=follow_symlinks):
        if found.kind != "other":
            yield _set_folder(found.path, roots, depth), found


def _set_folder(path: str, roots: Sequence[str], depth: int | None) -> str:
    folder = os.path.dirname(path)
    if depth is None:
        return folder
    if path in roots:  # a folder that cannot be read: nothing around it was asked for
        folder = path
    # a shell ends the names of folders that it completes with a slash, and files have none of it
    named = [root.rstrip(os.sep) or root for root in roots]
    root = next(root for root in named if folder == root or folder.startswith(os.path.join(root, "")))
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
