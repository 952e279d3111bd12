"""How long a scan of one image takes from the command line: ``python benchmarks/startup.py IMAGE``.

Runs ``aigdetect scan IMAGE`` again and again in a process of its own and prints the median and the least time
of the clock and of the processors (which a busy machine disturbs less), then the slowest imports of one run.
``--inspect`` does the same with ``aigdetect inspect``; ``--before CHECKOUT`` runs another version of the
program in turns with this one.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parents[1]
_IMPORT = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|(\s*)(\S+)")


@dataclass(frozen=True)
class Took:
    """One run: seconds of the clock and of all processors together."""

    clock: float
    processors: float


def run(checkout: Path, arguments: Sequence[str], *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the program of a checkout, with flags for Python.

    Raises:
        SystemExit: if it fails.
    """
    command = [sys.executable, *flags, "-m", "aigdetect", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{checkout}: {ran.stderr.strip().splitlines()[-1:]}")
    return ran


def scan(image: Path) -> list[str]:
    """What the program is told to scan an image."""
    return ["scan", str(image), "--json", "--offline"]


def timed(checkout: Path, arguments: Sequence[str]) -> Took:
    """Time one run."""
    clock, before = time.perf_counter(), os.times()
    run(checkout, arguments)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(time.perf_counter() - clock, used)


def slowest_imports(checkout: Path, arguments: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Packages that a run imports and the seconds each takes with all it imports first, slowest first."""
    ran = run(checkout, arguments, "-X", "importtime")
    found = [match.groups() for match in map(_IMPORT.match, ran.stderr.splitlines()) if match]
    packages = {name: int(total) / 1e6 for _, total, _, name in found if "." not in name}
    return sorted(packages.items(), key=lambda item: -item[1])[:count]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path, nargs="?", default=HERE / "examples" / "rocket.jpg")
    parser.add_argument("--inspect", action="store_true", help="inspect the image, with no model")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another version, in turns with this")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    image = options.image.resolve()
    arguments = ["inspect", str(image), "--json"] if options.inspect else scan(image)
    checkouts = {"this version": HERE}
    if options.before:
        checkouts["before"] = options.before.resolve()
    times: dict[str, list[Took]] = {name: [] for name in checkouts}
    for checkout in checkouts.values():
        run(checkout, arguments)  # the disk is warm from here on
    for _ in range(options.rounds):
        for name, checkout in checkouts.items():
            times[name].append(timed(checkout, arguments))
    table = Table(title=f"{arguments[0]} of one image, seconds, {options.rounds} rounds")
    for title in ("what", "clock, median", "least", "processors, median", "least"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for name, runs in times.items():
        clocks, processors = [run.clock for run in runs], [run.processors for run in runs]
        cells = (statistics.median(clocks), min(clocks), statistics.median(processors), min(processors))
        table.add_row(name, *(f"{cell:.2f}" for cell in cells))
    console = Console(width=110)
    console.print(table)
    imports = slowest_imports(HERE, arguments, 8)
    console.print("slowest imports: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in imports))


if __name__ == "__main__":
    main()
