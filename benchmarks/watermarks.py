"""Open watermarks, false alarms and finds: ``python benchmarks/watermarks.py LIST.csv ...``.

Each list has the columns ``path`` (from where it lies), ``label`` (0 real, 1 generated), perhaps ``kind``.

Of every photograph in turn, windows of random size and place are cut, reduced or not, and kept or encoded as
JPEG or WebP, until there are as many as wanted. No photograph carries a mark: what is found in them is a
false alarm, to be compared with the chance that is claimed. Beside it stands how well the messages fit all of
them, as the images whose chance falls below 0.1, 0.01 and so on: where the law holds, no count is above its
bound.

Others are marked by invisible-watermark's own encoder (``pip install invisible-watermark``; without it, by
the same steps here), and read as they are and after JPEG. Generated images are read as they are.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pywt
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from aigdetect.errors import ImageError
from aigdetect.evidence.watermarks import MAX_CHANCE, MESSAGES, MIN_SIDE, compare, read_watermarks
from aigdetect.images.decode import decode

Pixels = NDArray[np.uint8]
_WINDOWS = 4  # of one photograph at a time
_LARGEST = 1024
_BOUNDS = (0.1, 0.01, 0.001, 1e-4, 1e-6)


def mark(pixels: Pixels, bits: str) -> Pixels:
    """Write a message as invisible-watermark's ``dwtDct`` does, to the last bit.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, of at least 256 x 256 pixels.
        bits: ``"0"`` and ``"1"``.
    """
    red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
    luma = (red * 4899 + green * 9617 + blue * 1868 + 8192) >> 14
    u = np.clip(((blue - luma) * 8061 + (128 << 14) + 8192) >> 14, 0, 255).astype(np.uint8)
    v = np.clip(((red - luma) * 14369 + (128 << 14) + 8192) >> 14, 0, 255)
    rows, columns = (side // 4 * 4 for side in u.shape)
    means, (across, down, diagonal) = pywt.dwt2(u[:rows, :columns], "haar")
    number = 0
    for row in range(0, means.shape[0] // 4 * 4, 4):
        for column in range(0, means.shape[1] // 4 * 4, 4):
            block = means[row : row + 4, column : column + 4]
            at = divmod(int(np.argmax(np.abs(block.flatten()[1:]))) + 1, 4)
            bit = int(bits[number % len(bits)])
            block[at] = (block[at] // 36 + 0.25 + 0.5 * bit) * 36
            number += 1
    # the two details change places, as they do there
    u[:rows, :columns] = pywt.idwt2((means, (down, across, diagonal)), "haar")
    u_off, v_off = u.astype(np.int64) - 128, v - 128
    colours = (
        luma + ((v_off * 18678 + 8192) >> 14),
        luma + ((u_off * -6472 + v_off * -9519 + 8192) >> 14),
        luma + ((u_off * 33292 + 8192) >> 14),
    )
    return np.stack([np.clip(colour, 0, 255).astype(np.uint8) for colour in colours], axis=-1)


def encoder() -> tuple[str, Callable[[Pixels, str], Pixels]]:
    """The package's encoder, by name, or the one here."""
    try:
        from imwatermark import WatermarkEncoder
    except ImportError:
        return "the steps of invisible-watermark", mark

    def encode(pixels: Pixels, bits: str) -> Pixels:
        writer = WatermarkEncoder()
        writer.set_watermark("bits", [int(bit) for bit in bits])
        encoded: Pixels = writer.encode(np.ascontiguousarray(pixels[..., ::-1]), "dwtDct")[..., ::-1]
        return encoded

    return "invisible-watermark", encode


def listed(lists: list[str], label: str) -> list[Path]:
    """The images of a class: of real ones, the photographs."""
    paths = []
    for name in lists:
        with Path(name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["label"] == label and (label == "1" or row.get("kind", "photograph") == "photograph"):
                    paths.append(Path(name).parent / row["path"])
    return paths


def images(paths: list[Path], *, limit: int = 1 << 62) -> Iterator[Pixels]:
    """The pixels of those that can be read and are not too large to do so quickly."""
    for path in paths:
        try:
            yield decode(path.read_bytes(), max_pixels=min(limit, 12_000_000)).pixels
        except (OSError, ImageError):
            continue


def windows(pixels: Pixels, rng: random.Random) -> Iterator[Pixels]:
    """Windows of one photograph, reduced and encoded at random, none smaller than what is read."""
    height, width = pixels.shape[:2]
    shortest = min(height, width)
    for _ in range(_WINDOWS if shortest >= MIN_SIDE else 0):
        side = rng.randint(MIN_SIDE, min(shortest, 2 * _LARGEST))
        wide = rng.randint(side, min(width, 2 * side))
        top, left = rng.randint(0, height - side), rng.randint(0, width - wide)
        image = Image.fromarray(pixels[top : top + side, left : left + wide])
        scale = rng.uniform(MIN_SIDE / side, min(1, _LARGEST / wide)) if rng.random() < 0.5 else 1.0
        if round(side * scale) >= MIN_SIDE and (scale < 1 or wide <= _LARGEST):
            image = image.resize((round(wide * scale), round(side * scale)), Image.Resampling.BICUBIC)
            kind = rng.choice(("PNG", "JPEG", "JPEG", "WEBP"))
            yield np.asarray(image) if kind == "PNG" else encoded(image, kind, rng.randint(50, 98))


def encoded(image: Image.Image, kind: str, quality: int) -> Pixels:
    """An image after lossy encoding by Pillow, its defaults otherwise."""
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def false_alarms(paths: list[Path], wanted: int, rng: random.Random, console: Console) -> None:
    """Read as many unmarked images as wanted."""
    chances: list[float] = []
    agree: Counter[int] = Counter()
    alarms, spent, begun = 0, 0.0, time.perf_counter()
    sources: set[Path] = set()
    # photographs come again, in other windows, until there are enough
    for path in itertools.cycle(paths):
        for pixels in images([path]):
            for window in windows(pixels, rng):
                sources.add(path)
                start = time.process_time()
                alarms += bool(read_watermarks(window))
                spent += time.process_time() - start
                fits = compare(window)
                chances.append(min(fit.chance for fit in fits))
                agree[fits[0].agree] += 1
        if len(chances) >= wanted or (path == paths[-1] and not chances):
            break
    if not chances:
        raise SystemExit("the lists hold no photograph that is large enough")
    table = Table(title=f"{len(chances)} unmarked images made of {len(sources)} photographs")
    table.add_column("chance of the best message, below")
    table.add_column("images", justify="right")
    table.add_column("bound", justify="right")
    for bound in _BOUNDS:
        count = sum(chance <= bound for chance in chances)
        table.add_row(f"{bound:g}", str(count), f"{bound * len(chances):g}")
    console.print(table)
    console.print(f"false alarms at the bound of {MAX_CHANCE:g}: {alarms} of {len(chances)}")
    console.print(f"smallest chance: {min(chances):.2g}; CPU per image {1000 * spent / len(chances):.1f} ms")
    console.print(f"SDXL's bits that agree: {min(agree)} to {max(agree)} of {fits[0].bits}")
    console.print(f"wall {time.perf_counter() - begun:.0f} s", style="dim")


def finds(paths: list[Path], wanted: int, console: Console) -> None:
    """Mark photographs, and read them as they are and after JPEG."""
    name, encode = encoder()
    ways: dict[str, Callable[[Pixels], Pixels]] = {
        "as they are": lambda pixels: pixels,
        "JPEG 90": lambda pixels: encoded(Image.fromarray(pixels), "JPEG", 90),
        "JPEG 75": lambda pixels: encoded(Image.fromarray(pixels), "JPEG", 75),
    }
    found: Counter[tuple[str, str]] = Counter()
    made: Counter[str] = Counter()
    for number, pixels in enumerate(large(paths)):
        if number == wanted:
            break
        message = MESSAGES[number % 2]
        marked = encode(pixels, message.bits)
        made[message.pipeline] += 1
        for way, change in ways.items():
            seen = {each.pipeline for each in read_watermarks(change(marked))}
            found[way, message.pipeline] += message.pipeline in seen
            found[way, "another"] += bool(seen - {message.pipeline})
    table = Table(title=f"marked by {name}: found")
    table.add_column("")
    for pipeline in (*made, "another"):
        table.add_column(
            f"{pipeline}" + (f" of {made[pipeline]}" if pipeline in made else ""), justify="right"
        )
    for way in ways:
        table.add_row(way, *(str(found[way, pipeline]) for pipeline in (*made, "another")))
    console.print(table)


def large(paths: list[Path]) -> Iterator[Pixels]:
    """Middles of photographs, as large as such pipelines' images as far as they go."""
    for pixels in images(paths):
        height, width = pixels.shape[:2]
        if min(height, width) >= 2 * MIN_SIDE:
            top, left = max(0, height - _LARGEST) // 2, max(0, width - _LARGEST) // 2
            yield pixels[top : top + _LARGEST, left : left + _LARGEST]


def generated(paths: list[Path], console: Console) -> None:
    """Read generated images as they are."""
    marks: Counter[str] = Counter()
    read = 0
    for path in paths:
        for pixels in images([path]):
            read += 1
            for each in read_watermarks(pixels):
                marks[f"{path.parent.name}: {each.pipeline}"] += 1
    console.print(f"{read} generated images as they are: {sum(marks.values())} marks")
    for name, count in marks.most_common():
        console.print(f"  {name} {count}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lists", nargs="+", help="lists of images")
    parser.add_argument("--images", type=int, default=10_000, help="unmarked images")
    parser.add_argument("--marked", type=int, default=200)
    parser.add_argument(
        "--generated", action="store_true", help="also read the generated images of the lists"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    paths = listed(options.lists, "0")
    rng.shuffle(paths)
    console = Console(width=100)
    if options.marked:
        finds(paths, options.marked, console)
    if options.images:
        false_alarms(paths, options.images, rng, console)
    if options.generated:
        generated(listed(options.lists, "1"), console)


if __name__ == "__main__":
    main()
