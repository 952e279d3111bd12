"""Average spectra beside a plain loop, and false peaks: ``python benchmarks/spectrum.py [FOLDER]``.

Measures, in turns so that a drifting machine hurts all alike, how many images of 512 pixels a second go into
an average spectrum: here, on all threads, and in a plain loop of ``scipy.ndimage.median_filter`` and
``numpy.fft``; compares the two averages; prints the median of the rounds. Then counts in how many images of
white noise, and in how many of the folder's, ``analyse`` reports a peak.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from aigdetect.errors import ImageError
from aigdetect.images.decode import decode
from aigdetect.images.find import find_files
from aigdetect.images.views import Pixels
from aigdetect.spectrum.analysis import analyse, average_tiles
from aigdetect.spectrum.explain import NOTHING_KNOWN
from aigdetect.spectrum.fourier import Average, Power

SIZE = 512


def photographs(count: int) -> list[Pixels]:
    """Smooth fields with noise, which cost what photographs cost: nothing here depends on the content."""
    rng = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE, 3)), (8, 8, 0)) for _ in range(count)]
    return [
        np.clip(128 + 800 * field + rng.normal(0, 5, field.shape), 0, 255).astype(np.uint8)
        for field in fields
    ]


def plain_loop(images: Sequence[Pixels]) -> Power:
    """The average as anyone would write it."""
    total: NDArray[Any] = np.zeros((SIZE, SIZE))
    for image in images:
        grey = image @ np.array([0.299, 0.587, 0.114])
        left = grey - ndimage.median_filter(grey, 3)
        total += np.abs(np.fft.fftshift(np.fft.fft2(left, norm="ortho"))) ** 2
    return total / len(images)


def threaded(images: Sequence[Pixels], threads: int) -> Power:
    """The average as ``aigdetect spectrum`` makes it."""
    with ThreadPoolExecutor(threads) as pool:
        return reduce(Average.merged, pool.map(average_tiles, images)).power()


def measure(works: dict[str, Callable[[], Power]], images: int, rounds: int) -> dict[str, float]:
    """Images per second of each work: the median of the rounds, in which the works take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            speeds[name].append(images / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in speeds.items()}


def false_peaks(count: int, size: int) -> int:
    """Of so many images of white noise, those in which a peak is reported."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count))
    return sum(bool(analyse(image).peaks) for image in images)


def peaks_of_folder(folder: str) -> tuple[int, int, int]:
    """Images of a folder that were analysed, those with a peak, and those with one that nothing explains."""
    found = [item for item in find_files([folder]) if item.kind == "image"]
    images = marked = unexplained = 0
    for item in found:
        try:
            peaks = analyse(decode(Path(item.path).read_bytes()).pixels).peaks
        except ImageError:
            continue
        images += 1
        unexplained += any(peak.explanation.startswith(NOTHING_KNOWN) for peak in peaks)
        marked += bool(peaks)
    return images, marked, unexplained


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="*", help="photographs in which to count peaks")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--noise", type=int, default=1000, help="images of white noise")
    options = parser.parse_args()
    images = photographs(options.images)
    works = {
        "plain loop": lambda: plain_loop(images),
        "aigdetect, 1 thread": lambda: threaded(images, 1),
        f"aigdetect, {options.threads} threads": lambda: threaded(images, options.threads),
    }
    expected, ours = plain_loop(images), threaded(images, options.threads)
    speeds = measure(works, options.images, options.rounds)
    table = Table(title=f"{options.images} images of {SIZE} pixels, median of {options.rounds} rounds")
    for title in ("what", "images/s", "to the plain loop"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for name, speed in speeds.items():
        table.add_row(name, f"{speed:.1f}", f"{speed / speeds['plain loop']:.2f}")
    console = Console(width=110)
    console.print(table)
    console.print(f"largest relative difference of a bin: {np.max(np.abs(ours / expected - 1)):.1e}")
    for size in (64, 128):
        console.print(
            f"white noise, {size} pixels: peaks in {false_peaks(options.noise, size)} of {options.noise}"
        )
    for folder in options.folder:
        console.print(
            "{}: {} images, {} with a peak, {} with one that nothing explains".format(
                folder, *peaks_of_folder(folder)
            )
        )


if __name__ == "__main__":
    main()
