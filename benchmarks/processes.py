"""Programs in processes of their own: when the first line comes, how long all takes, and the memory of it.

As a script it runs the command that its arguments are, and prints what it took as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Took:
    """One run.

    Attributes:
        first: seconds until the first line of its output.
        clock: seconds until it has ended.
        processors: seconds of all processors together.
        peak: MiB that its largest process held at most, with what it shares with others.
    """

    first: float
    clock: float
    processors: float
    peak: float


def run_alone(
    command: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Took:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        folder: where it runs; None for here.
        environment: what differs from this program's.

    Raises:
        SystemExit: if it fails.
    """
    ran = subprocess.run(
        # from a small process: Linux counts the memory of the one that starts another as the other's, too
        [sys.executable, __file__, *command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stderr.strip().splitlines()[-1:]}")
    return Took(**json.loads(ran.stdout))


def middle(runs: Sequence[Took]) -> Took:
    """The median of each figure by itself."""
    return Took(*(statistics.median(getattr(run, field.name) for run in runs) for field in fields(Took)))


def main() -> None:
    """Run the command."""
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout
        with process.stdout as output:
            output.readline()
            first = time.perf_counter() - begin
            output.read()
        _, status, used = os.wait4(process.pid, 0)
        clock = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(errors.read().decode(errors="replace") or f"status {process.returncode}")
    peak = used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    json.dump(asdict(Took(first, clock, used.ru_utime + used.ru_stime, peak)), sys.stdout)


if __name__ == "__main__":
    main()
