"""What a large image costs before the tower sees it: ``python benchmarks/image_sizes.py [MEGAPIXELS...]``.

Makes a photograph of each size in each format, and does with it what a scan does: read, hash, metadata,
decode, colour, views. Prints the milliseconds of one processor, the same per megapixel, and the ratio to
Pillow decoding the pixels and nothing else: medians of several rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage import data as photographs

from aigdetect.images.find import Found
from aigdetect.images.views import take_views
from aigdetect.model.card import DEFAULT_MODEL, find_model_folder, read_card
from aigdetect.scanning.preparation import Preparation

FORMATS = {
    "JPEG": {"quality": 90, "subsampling": 2},
    "PNG": {"compress_level": 6},
    "WEBP": {"quality": 85, "method": 0},
}
SIZES = (0.5, 2.0, 12.0, 48.0)


def photograph(megapixels: float) -> Image.Image:
    """A photograph of 4:3, enlarged, with the noise of a sensor."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    small = Image.fromarray(photographs.coffee())  # type: ignore[no-untyped-call]
    large = small.resize((width, width * 3 // 4), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (large.height, large.width, 1))
    return Image.fromarray((np.asarray(large) + noise).clip(0, 255).astype(np.uint8))


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Median of the processor time of the rounds, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times[1:])


def prepared(prepare: Preparation, path: Path) -> None:
    """What a scan does with a file before it is scored."""
    done = prepare(Found(str(path), "image"))
    if done.view is None:
        raise SystemExit(f"{path}: {done.record.error}")


def pixels(path: Path) -> None:
    """The least it takes to have the pixels."""
    with Image.open(path) as image:
        image.convert("RGB")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sizes", type=float, nargs="*", default=SIZES, metavar="MEGAPIXELS")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    preprocess = read_card(find_model_folder(options.model)).preprocess
    prepare = Preparation(partial(take_views, names=preprocess.views, size=preprocess.size))
    table = Table(title=f"one processor, views of {options.model}")
    for title in ("format", "megapixels", "ms per image", "ms per megapixel", "Pillow alone, ms", "ratio"):
        table.add_column(title, justify="left" if title == "format" else "right")
    with TemporaryDirectory() as folder:
        for megapixels in options.sizes:
            image = photograph(megapixels)
            for name, settings in FORMATS.items():
                path = Path(folder) / f"image.{name.lower()}"
                image.save(path, name, **settings)
                scan = milliseconds(partial(prepared, prepare, path), options.rounds)
                least = milliseconds(partial(pixels, path), options.rounds)
                figures = [scan, scan / megapixels, least]
                table.add_row(
                    name, f"{megapixels:g}", *(f"{each:.1f}" for each in figures), f"{scan / least:.2f}"
                )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
