"""Make the band of camera photographs that ``aigdetect spectrum`` draws profiles against.

    python benchmarks/camera_band.py OUT.json "cameras=FOLDER" "stock photographs=FOLDER" ...

Only JPEG files are taken: what is stored in another format may have been resized or rendered before. Of each
photograph the tile at its centre counts, 512 pixels wide or as large as fits.
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import ImageError
from aigdetect.images.decode import decode
from aigdetect.images.find import find_files
from aigdetect.images.read import read_bytes
from aigdetect.spectrum.analysis import average_tiles
from aigdetect.spectrum.fourier import radial_profile
from aigdetect.spectrum.reference import bands_as_json, make_band, normalised
from aigdetect.spectrum.residual import RESIDUALS, Channel

Kind = tuple[str, Channel]
Levels = NDArray[np.float64]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
KINDS = [(residual, channel) for residual in RESIDUALS for channel in CHANNELS]


def main() -> None:
    """Read the folders named on the command line, write the file."""
    out, *folders = sys.argv[1:]
    measured: list[tuple[str, dict[Kind, Levels]]] = []
    with ThreadPoolExecutor() as pool:
        for source, _, folder in (argument.partition("=") for argument in folders):
            paths = [found.path for found in find_files([folder]) if found.kind == "image"]
            measured += [(source, levels) for levels in pool.map(measure, paths) if levels]
    bands = {}
    for kind in KINDS:
        counts = Counter(source for source, levels in measured if kind in levels)
        sources = ", ".join(f"{count} {source}" for source, count in counts.items())
        bands[kind] = make_band([levels[kind] for _, levels in measured if kind in levels], sources)
        print(*kind, sources)
    Path(out).write_text(bands_as_json(bands), encoding="utf-8")


def measure(path: str) -> dict[Kind, Levels]:
    """Normalised profiles of one photograph by kind; none if it is no JPEG file."""
    data = read_bytes(path)
    if not data.startswith(b"\xff\xd8\xff"):
        return {}
    pixels = decode(data).pixels
    levels: dict[Kind, Levels] = {}
    for residual, channel in KINDS:
        with suppress(ImageError):  # where a denoiser finds no noise, it leaves no residual
            average = average_tiles(pixels, residual=residual, channel=channel)
            levels[residual, channel] = normalised(radial_profile(average.power()))
    return levels


if __name__ == "__main__":
    main()
