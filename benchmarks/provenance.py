"""Time that provenance costs per file, and what it finds: ``python benchmarks/provenance.py FOLDER``.

Times, in turns on the same files in one run, the digest that a scan takes of every file, camera facts
alone, and all of provenance; the shortest of the rounds counts for each file. Then counts the files in which
each kind of metadata was found, and those that it says are AI-generated, AI-edited or captured.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from aigdetect.evidence.exif import read_exif
from aigdetect.evidence.findings import Says
from aigdetect.evidence.provenance import Provenance, read_provenance
from aigdetect.images.find import find_files

WORK: dict[str, Callable[[bytes], object]] = {
    "SHA-256": lambda data: hashlib.sha256(data).digest(),
    "camera facts": read_exif,
    "all provenance": read_provenance,
}


def spend(work: Callable[[bytes], object], data: bytes) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    work(data)
    return 1000 * (time.perf_counter() - start)


def measure(paths: list[Path], rounds: int) -> dict[str, list[float]]:
    """Milliseconds for each file, by kind of work."""
    spent: dict[str, list[float]] = {name: [] for name in WORK}
    for path in paths:
        data = path.read_bytes()
        turns = [{name: spend(work, data) for name, work in WORK.items()} for _ in range(rounds)]
        for name in WORK:
            spent[name].append(min(turn[name] for turn in turns))
    return spent


def said(found: Provenance) -> list[str]:
    """What one file counts as: each kind of metadata, and what the findings say."""
    says = {finding.says for finding in found.findings} - {Says.NOTHING}
    return [*found.as_dict(), *sorted(f"says {each.value}" for each in says)]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="folder of images")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paths = [Path(item.path) for item in find_files([options.folder]) if item.kind == "image"]
    if not paths:
        parser.error(f"{options.folder}: no images in it")
    spent = measure(paths, options.rounds)
    times = Table(title=f"milliseconds per file, {len(paths)} files")
    times.add_column("what")
    for title in ("median", "mean", "95 % below", "most"):
        times.add_column(title, justify="right")
    for name, each in spent.items():
        figures = (np.median(each), np.mean(each), np.quantile(each, 0.95), np.max(each))
        times.add_row(name, *(f"{figure:.3f}" for figure in figures))
    counts = Counter(name for path in paths for name in said(read_provenance(path.read_bytes())))
    kinds = Table(title="what was found")
    kinds.add_column("kind")
    kinds.add_column("files", justify="right")
    for name, count in counts.most_common():
        kinds.add_row(name, str(count))
    console = Console(width=100)
    console.print(times)
    console.print(kinds)


if __name__ == "__main__":
    main()
