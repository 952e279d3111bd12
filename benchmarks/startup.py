"""What it costs to start: ``python benchmarks/startup.py IMAGE``.

Runs ``aigdetect scan IMAGE``, ``inspect IMAGE`` and the ``--help`` of every command again and again, in turn,
each in a process of its own, beside a Python that does nothing. Prints the medians: seconds until the first
line of output (the first score), until the end, and of the processors (which a busy machine disturbs less),
the peak of memory, and the ratios to the Python that does nothing; then the slowest imports of one scan.
``--before CHECKOUT`` runs another version of the program in turns with this one, and adds the ratios to it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processes import Took, middle, run_alone
from rich.console import Console
from rich.table import Table

from aigdetect.cli.app import Program
from aigdetect.model.card import DEFAULT_MODEL

HERE = Path(__file__).resolve().parents[1]
_IMPORT = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|(\s*)(\S+)")


@dataclass
class Start:
    """Something that is started.

    Attributes:
        name: what to call it.
        command: what runs.
        checkout: the version of the program that runs; None where it is not ours.
        before: the same of the other version, if there is one.
        runs: what each run took.
    """

    name: str
    command: list[str]
    checkout: Path | None = None
    before: Start | None = None
    runs: list[Took] = field(default_factory=list)

    def measure(self) -> None:
        """Run once."""
        environment = {"PYTHONPATH": str(self.checkout)} if self.checkout else None
        self.runs.append(run_alone(self.command, folder=self.checkout, environment=environment))


def program(*arguments: str, flags: Sequence[str] = ()) -> list[str]:
    """The command that runs the program, with flags for Python."""
    return [sys.executable, *flags, "-m", "aigdetect", *arguments]


def scan(options: argparse.Namespace) -> list[str]:
    """What the program is told to scan an image."""
    chosen = ["--model", options.model, "--precision", options.precision, "--device", "cpu"]
    return ["scan", str(options.image.resolve()), "--json", "--offline", *chosen]


def starts(options: argparse.Namespace) -> Iterator[Start]:
    """All that is measured; the Python that does nothing is the first."""
    yield Start("python -c pass", [sys.executable, "-c", "pass"])
    told = [[], *([name] for name in Program.places)]
    inspect = ["inspect", str(options.image.resolve()), "--json"]
    for arguments in [scan(options), inspect, *([*names, "--help"] for names in told)]:
        name = " ".join(arguments) if arguments[-1] == "--help" else f"{arguments[0]} of one image"
        before = None
        if options.before:
            before = Start(f"{name}, before", program(*arguments), options.before.resolve())
            yield before
        yield Start(name, program(*arguments), HERE, before)


def slowest_imports(options: argparse.Namespace, count: int) -> list[tuple[str, float]]:
    """Packages that a scan imports and the seconds each takes with all it imports first, slowest first."""
    command = program(*scan(options), flags=["-X", "importtime"])
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    ran = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=True)
    found = [match.groups() for match in map(_IMPORT.match, ran.stderr.splitlines()) if match]
    packages = {name: int(total) / 1e6 for _, total, _, name in found if "." not in name}
    return sorted(packages.items(), key=lambda item: -item[1])[:count]


def table(title: str, all_starts: list[Start]) -> Table:
    """One row for each, with its ratios to the Python that does nothing and to the version before."""
    result = Table(title=title)
    columns = (
        *("what", "first line, s", "end, s", "least", "processors, s", "peak, MiB"),
        *("end, to nothing", "processors", "end, to before", "processors", "peak"),
    )
    for column in columns:
        result.add_column(column, justify="left" if column == "what" else "right")
    nothing = middle(all_starts[0].runs)
    for start in all_starts:
        took = middle(start.runs)
        least = min(run.clock for run in start.runs)
        times = (f"{each:.3f}" for each in (took.first, took.clock, least, took.processors))
        ratios = [f"{took.clock / nothing.clock:.1f}", f"{took.processors / nothing.processors:.1f}"]
        if start.before:
            other = middle(start.before.runs)
            pairs = (
                (took.clock, other.clock),
                (took.processors, other.processors),
                (took.peak, other.peak),
            )
            ratios += [f"{one / two:.2f}" for one, two in pairs]
        result.add_row(start.name, *times, f"{took.peak:.0f}", *ratios)
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path, nargs="?", default=HERE / "examples" / "rocket.jpg")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another version, in turns with this")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    all_starts = list(starts(options))
    for start in all_starts:
        start.measure()  # the disk is warm from here on
        start.runs.clear()
    for _ in range(options.rounds):
        for start in all_starts:
            start.measure()
    console = Console(width=150)
    console.print(table(f"median of {options.rounds} rounds, each in a process of its own", all_starts))
    imports = slowest_imports(options, 8)
    console.print("slowest imports: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in imports))


if __name__ == "__main__":
    main()
