"""What digests and provenance cost beside plain scoring: ``python benchmarks/scan_overhead.py FOLDER``.

Scans the same files with the shipped model in turns, each time in a process of its own: once reading,
decoding and scoring them only, once as a scan does, which also takes the SHA-256 and reads all metadata of
each. Prints processor time per image and the highest memory of each process, the least of the rounds, and
their ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from rich.console import Console
from rich.table import Table

from aigdetect.images.find import Found, find_files
from aigdetect.model.card import DEFAULT_MODEL

NAMES = {"plain": "decoding and scoring alone", "whole": "with SHA-256 and provenance"}


def scan(paths: list[str], model: str, *, plain: bool) -> tuple[float, int]:
    """Seconds of the processors for a scan in this process, and its highest memory in bytes."""
    from aigdetect.methods.loading import load_detector
    from aigdetect.scanning.pipeline import scan_found

    detector = load_detector(model, device="cpu")
    items = [Found(path, "image") for path in paths]
    nothing = SimpleNamespace(hexdigest=lambda: None)
    with (
        mock.patch("aigdetect.scanning.preparation.read_provenance", return_value=None)
        if plain
        else nullcontext(),
        mock.patch.object(hashlib, "sha256", return_value=nothing) if plain else nullcontext(),
    ):
        deque(scan_found(items[:1], detector, workers=1), maxlen=0)  # what is loaded once
        start = time.process_time()
        deque(scan_found(items, detector, workers=1), maxlen=0)
        spent = time.process_time() - start
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(paths: list[str], model: str, variant: str) -> tuple[float, int]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "-", "--model", model, "--variant", variant]
    done = subprocess.run(command, input=json.dumps(paths), text=True, stdout=subprocess.PIPE, check=True)
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


def table(paths: list[str], measured: dict[str, list[tuple[float, int]]]) -> Table:
    """One row per variant."""
    result = Table(title=f"{len(paths)} images, the least of {len(measured['plain'])} rounds")
    for title in ("scan", "ms of a processor per image", "ratio", "highest memory, MiB", "ratio"):
        result.add_column(title, justify="left" if title == "scan" else "right")
    least = {name: [min(column) for column in zip(*rounds, strict=True)] for name, rounds in measured.items()}
    for name, (seconds, memory) in least.items():
        result.add_row(
            NAMES[name],
            f"{1e3 * seconds / len(paths):.1f}",
            f"{seconds / least['plain'][0]:.3f}",
            f"{memory / 2**20:.0f}",
            f"{memory / least['plain'][1]:.3f}",
        )
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="images to scan; - for a JSON list on standard input")
    parser.add_argument("--images", type=int, default=60, help="how many, evenly out of the folder's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--variant", choices=NAMES, help="only this one, in this process, as JSON")
    options = parser.parse_args()
    if options.variant:
        measured = scan(json.load(sys.stdin), options.model, plain=options.variant == "plain")
        json.dump(measured, sys.stdout)
        return
    found = [str(Path(item.path)) for item in find_files([options.folder]) if item.kind == "image"]
    if not found:
        parser.error(f"{options.folder}: no images in it")
    paths = found[:: max(1, len(found) // options.images)][: options.images]
    turns: dict[str, list[tuple[float, int]]] = {name: [] for name in NAMES}
    for _ in range(options.rounds):
        for name, rounds in turns.items():
            rounds.append(measure(paths, options.model, name))
    Console(width=110).print(table(paths, turns))


if __name__ == "__main__":
    main()
