"""Where the time of a scan goes: ``python benchmarks/scan_profile.py FOLDER``.

Does what a scan does, one part after the other and without threads, and prints for each part the milliseconds
of one processor per image, its share, and a floor: the least that the same result could take with the
libraries at hand. Colour is what comes after the decoder: orientation, profile, alpha.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from floor import products
from PIL import Image
from rich.console import Console
from rich.table import Table

from aigdetect.evidence.provenance import read_provenance
from aigdetect.images.decode import decode
from aigdetect.images.find import find_files
from aigdetect.images.opening import MAX_PIXELS, open_image
from aigdetect.images.read import MAX_BYTES, read_bytes
from aigdetect.images.views import crop
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import DEFAULT_MODEL
from aigdetect.model.detector import Detector
from aigdetect.scanning.record import Record
from aigdetect.scanning.writers import CsvWriter, RecordWriter

T = TypeVar("T")

FLOORS = {
    "read": "copying the bytes",
    "hash": "the hash, nothing else does it",
    "provenance": "none",
    "decode": "Pillow, pixels only",
    "colour": "none: most images need nothing",
    "views": "Pillow, reducing once, and a copy of the crop",
    "tower": "its matrix products alone",
    "write": "none",
}


class Clock:
    """Processor seconds by part, and by the floor of a part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)
        self.floors: dict[str, float] = defaultdict(float)

    def part(self, name: str, work: Callable[[], T]) -> T:
        """Do a part."""
        return self._timed(self.parts, name, work)

    def floor(self, name: str, work: Callable[[], object]) -> None:
        """Do the least that a part could be."""
        self._timed(self.floors, name, work)

    @staticmethod
    def _timed(seconds: dict[str, float], name: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        result = work()
        seconds[name] += time.process_time() - start
        return result


def profile(
    path: str, detector: Detector, writer: RecordWriter, clock: Clock, floor: Callable[[], None]
) -> None:
    """All parts for one image."""
    data = clock.part("read", lambda: read_bytes(path, MAX_BYTES))
    clock.floor("read", lambda: bytearray(data))
    digest = clock.part("hash", lambda: hashlib.sha256(data).hexdigest())
    provenance = clock.part("provenance", lambda: read_provenance(data))
    clock.floor("decode", lambda: Image.open(io.BytesIO(data)).load())
    start = time.process_time()
    clock.part("decode", lambda: open_image(data, MAX_PIXELS).load())
    opened = time.process_time() - start
    image = clock.part("colour", lambda: decode(data))
    clock.parts["colour"] -= opened  # decode() did that once more
    views = clock.part("views", lambda: detector.view(image.image))
    side = views.shape[1]
    whole = image.image
    clock.floor(
        "views",
        lambda: (
            whole.resize((side, side), Image.Resampling.BICUBIC),
            crop(whole, top=0, left=0, size=side),
        ),
    )
    (score,) = clock.part("tower", lambda: detector.score_views([views]))
    for _ in views:
        clock.floor("tower", floor)
    record = Record(path, sha256=digest, provenance=provenance, format=image.format)
    record = record.scored(score, model=detector.card.name, precision=detector.precision)
    clock.part("write", lambda: writer.write(record))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="images to scan")
    parser.add_argument(
        "--images", type=int, default=50, help="how many; the folder's are repeated if need be"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_detector(options.model, device="cpu", precision=options.precision)
    found = [item.path for item in find_files([options.folder]) if item.kind == "image"]
    if not found:
        raise SystemExit(f"{options.folder}: no images")
    paths = list(islice(cycle(found), options.images))
    clock, floor = Clock(), products(detector)
    with TemporaryDirectory() as folder, CsvWriter(str(Path(folder) / "out.csv"), force=True) as writer:
        profile(paths[0], detector, writer, Clock(), floor)  # what is done once
        for path in paths:
            profile(path, detector, writer, clock, floor)
    Console(width=110).print(table(clock, len(paths), detector.precision))


def table(clock: Clock, images: int, precision: str) -> Table:
    """One row per part."""
    total = sum(clock.parts.values())
    result = Table(
        title=f"{images} images, {precision}, one processor; {1e3 * total / images:.1f} ms per image"
    )
    for title in ("part", "ms per image", "share", "floor, ms", "floor is"):
        result.add_column(title, justify="left" if title in ("part", "floor is") else "right")
    for name, seconds in clock.parts.items():
        least = clock.floors.get(name)
        result.add_row(
            name,
            f"{1e3 * seconds / images:.2f}",
            f"{seconds / total:.1%}",
            "" if least is None else f"{1e3 * least / images:.2f}",
            FLOORS[name],
        )
    return result


if __name__ == "__main__":
    main()
