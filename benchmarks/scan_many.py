"""Memory of scans of more and more files: ``python benchmarks/scan_many.py [COUNT...] [--model M]``.

Makes small images, scans them into CSV and JSON Lines in a process of its own, and prints rows, seconds, peak
memory and its ratio to that of the first count. Without ``--model`` a stand-in scores in no time, so that the
scan itself is measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stub import make_images

COUNTS = (100, 10_000, 100_000)


def main() -> None:
    """Measure each count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--model")
    parser.add_argument("--weights")
    parser.add_argument("--precision")
    args = parser.parse_args()
    names = ("model", "weights", "precision")
    options = [f"--{name}={getattr(args, name)}" for name in names if getattr(args, name)]
    first = 0
    for count in args.counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_images(folder / "images", count)
            command = [str(Path(__file__).with_name("stub.py")), f"{folder}/images", f"{folder}/out"]
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, *command, "--workers", args.workers, *options],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds = time.monotonic() - start
            made, peak = map(int, done.stdout.split()[:2])
            rows = sum(1 for _ in (folder / "out.jsonl").open("rb"))
            journal = (folder / "out.jsonl.journal").stat().st_size
        if not made == rows == count:
            raise SystemExit(f"{count} files gave {rows} rows")
        first = first or peak
        print(
            f"{count:>9,} files: {seconds:8.1f} s, {count / seconds:7.1f} files/s, peak memory "
            f"{peak / 2**20:6.1f} MiB ({peak / first:.3f} of the first), "
            f"journal {journal / count:.0f} bytes a row",
            flush=True,
        )


if __name__ == "__main__":
    main()
