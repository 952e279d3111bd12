"""Contradictions of metadata, on honest images: ``python benchmarks/contradictions.py LIST.csv ...``.

Each list has the columns ``path`` (from where it lies) and ``label`` (0 real, 1 generated). For each rule it
counts the real images to which it applies, and its alarms among them: these are false. Two rules that were
not kept are counted beside them. Then thumbnails are compared with pictures of other files: how often that is
seen.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from aigdetect.errors import ImageError
from aigdetect.evidence.consistency import claims_untouched
from aigdetect.evidence.containers import find_blocks
from aigdetect.evidence.jpeg_structure import thumbnail_of
from aigdetect.evidence.provenance import read_provenance
from aigdetect.evidence.thumbnails import LEAST_ALIKE, similarity
from aigdetect.formats.tiff import entries
from aigdetect.images.decode import decode
from aigdetect.images.thumbnail import reduced

_RULES = {
    "dates": ("taken in the future", "before taken"),
    "thumbnail": ("the thumbnail",),
    "tables of Photoshop in an untouched file": ("the tables are",),
}
_KEPT = 256  # pixels a side of a picture that is kept to be compared with other thumbnails

Pixels = NDArray[np.uint8]


def real_images(lists: list[str]) -> list[Path]:
    """The real images of the lists."""
    paths = []
    for name in lists:
        with Path(name).open(encoding="utf-8", newline="") as file:
            paths += [Path(name).parent / row["path"] for row in csv.DictReader(file) if row["label"] == "0"]
    return paths


def drafted(data: bytes) -> Pixels:
    """The pixels of a JPEG, reduced by its decoder to no less than is compared."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * _KEPT, 2 * _KEPT))
        return np.asarray(image.convert("RGB"))


def stated_size(exif: bytes) -> tuple[int, ...]:
    """Width and height that EXIF states; empty if it does not."""
    values = {entry.tag: entry.numbers() for entry in entries(exif) if entry.directory == "ExifIFD"}
    sides = [values.get(tag, ()) for tag in (0xA002, 0xA003)]
    return tuple(int(side[0]) for side in sides) if all(sides) else ()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lists", nargs="+", help="lists of images")
    parser.add_argument("--pairs", type=int, default=500, help="thumbnails compared with other pictures")
    options = parser.parse_args()
    applies: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    kept: list[tuple[Pixels, Pixels]] = []
    console = Console(width=100)
    for path in real_images(options.lists):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        blocks = find_blocks(data)
        applies["files"] += 1
        if not blocks.exif:  # all rules are of EXIF
            continue
        found = read_provenance(data)
        said = list(found.contradictions)
        if found.jpeg and found.jpeg.thumbnail:
            try:
                picture = drafted(data)
                thumbnail = decode(thumbnail_of(bytes(blocks.exif[0].data))).pixels
            except (OSError, ImageError):
                continue
            alike = similarity(thumbnail, picture)
            if alike is not None:
                applies["thumbnail"] += 1
                kept.append((thumbnail, reduced(picture, _KEPT)))
                said += [f"the thumbnail of {path.name} ({alike:.2f})"] if alike < LEAST_ALIKE else []
        applies["dates"] += bool(found.exif and found.exif.taken)
        facts, built = found.exif, found.jpeg
        untouched = bool(facts and built and claims_untouched(facts, built, bool(blocks.xmp)))
        applies["tables of Photoshop in an untouched file"] += untouched
        size = stated_size(bytes(blocks.exif[0].data))
        if found.jpeg and size and found.jpeg.width:
            applies["not kept: size in EXIF"] += 1
            alarms["not kept: size in EXIF"] += {*size} != {found.jpeg.width, found.jpeg.height}
        if untouched and found.jpeg:
            applies["not kept: standard tables in an untouched file"] += 1
            alarms["not kept: standard tables in an untouched file"] += found.jpeg.tables == "standard"
        for rule, words in _RULES.items():
            alarmed = [each for each in said if any(word in each for word in words)]
            alarms[rule] += bool(alarmed)
            for each in alarmed:
                console.print(f"{path}: {each}", markup=False)
    table = Table(title=f"{applies.pop('files')} real images")
    for title in ("rule", "applies to", "alarms"):
        table.add_column(title, justify="left" if title == "rule" else "right")
    for rule, count in applies.items():
        table.add_row(rule, str(count), str(alarms[rule]))
    console.print(table)
    if len(kept) > 1 and options.pairs:
        rng = random.Random(0)
        pairs = (rng.sample(kept, 2) for _ in range(options.pairs))
        likenesses = [similarity(one[0], other[1]) for one, other in pairs]
        told = [each for each in likenesses if each is not None]
        seen = sum(each < LEAST_ALIKE for each in told)
        console.print(f"thumbnails of other pictures: {seen} of {len(told)} seen (below {LEAST_ALIKE:g})")


if __name__ == "__main__":
    main()
