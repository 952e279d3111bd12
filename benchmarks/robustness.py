"""How long ``aigdetect eval --robustness`` takes: ``python benchmarks/robustness.py DATA --before CHECKOUT``.

Draws some images of a labelled data set, and runs ``aigdetect eval`` with all operations on them, in a
process of its own, with this version of the program and with another one, in turns. Prints the least time by
the clock and by the processors, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from processes import Took, run_alone
from rich.console import Console
from rich.table import Table
from startup import HERE, program

from aigdetect.data.facts import choose_some
from aigdetect.data.layouts import find_samples


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another version, in turns with this")
    parser.add_argument("--model", default="mole-vit-b16-fast")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--operations", default="all", help="as eval --robustness takes them")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    checkouts = {"this version": HERE}
    if options.before:
        checkouts["before"] = options.before.resolve()
    times: dict[str, list[Took]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as place:
        chosen = choose_some(find_samples(options.data).samples, per_class=(options.images + 1) // 2)
        for number, sample in enumerate(chosen[: options.images]):
            folder = Path(place) / sample.generator / ("1_fake" if sample.label else "0_real")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, folder / f"{number:04}{os.path.splitext(sample.path)[1]}")  # noqa: PTH122
        command = ["eval", "--data", place, "--model", options.model, "--robustness", options.operations]
        for _ in range(options.rounds):
            for name, checkout in checkouts.items():
                times[name].append(
                    run_alone(
                        program(*command, "--bootstrap", "0", "--offline", "-q"),
                        folder=checkout,
                        environment={"PYTHONPATH": str(checkout)},
                    )
                )
    table = Table(title=f"eval --robustness {options.operations}: {len(chosen)} images, seconds")
    for title in ("what", "clock", "processors"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for name, runs in times.items():
        table.add_row(
            name, *(f"{min(getattr(run, each) for run in runs):.1f}" for each in ("clock", "processors"))
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
