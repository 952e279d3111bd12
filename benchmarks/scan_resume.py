"""Scans that are killed at random moments: ``python benchmarks/scan_resume.py [--kills N] [--files N]``.

A scan of small files is killed with SIGKILL again and again and taken up with ``resume`` each time. In the
end every file must have exactly one row in CSV and in JSON Lines, and both files must equal, byte for byte,
those of a scan that was left alone. Also counts processes that outlive their scan.

``--mixed`` also changes the times of some files between the scans, lets some run into a time limit, and tries
errors again now and then: rows then move to the end, and both files must hold the same rows in any order.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stub import make_images

_STUB = Path(__file__).with_name("stub.py")


def members(group: int) -> int:
    """Living processes of a session."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        count += state != "Z" and int(session) == group
    return count


def main() -> int:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument(
        "--gone", type=float, default=3.0, help="seconds after which no process of a killed scan may be left"
    )
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "images", args.files)

        def command(out: str, *more: str) -> list[str]:
            return [
                sys.executable,
                str(_STUB),
                f"{folder}/images",
                f"{folder}/{out}",
                "--workers",
                args.workers,
                *more,
            ]

        def disturbed() -> list[str]:
            """A scan as it goes in between."""
            if not args.mixed:
                return command("cut")
            for path in rng.sample(sorted((folder / "images").rglob("*.png")), 3):
                path.touch()
            late = ["--slow", "60", "--timeout", "0.3"] if rng.random() < 0.5 else []
            return command("cut", *late, *(["--retry-errors"] if rng.random() < 0.3 else []))

        start = time.monotonic()
        subprocess.run(command("whole"), check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        kills = early = orphans = 0
        while kills < args.kills:
            process = subprocess.Popen(disturbed(), stdout=subprocess.DEVNULL, start_new_session=True)
            try:
                # spread over start-up and rows alike
                process.wait(timeout=rng.uniform(0, min(seconds, 3 * seconds / args.kills + seconds / 2)))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                end = time.monotonic() + args.gone
                while members(process.pid) and time.monotonic() < end:
                    time.sleep(0.02)
                orphans += members(process.pid)
            else:
                # all rows were there: begin anew, so that every kill meets a scan at work
                early += 1
                for path in folder.glob("cut*"):
                    path.unlink()
        subprocess.run(command("cut", "--retry-errors"), check=True, stdout=subprocess.DEVNULL)

        def rows(name: str) -> list[bytes]:
            lines = (folder / name).read_bytes().splitlines(keepends=True)
            return sorted(lines) if args.mixed else lines

        same = all(rows(f"cut{kind}") == rows(f"whole{kind}") for kind in (".jsonl", ".csv"))
        paths = [json.loads(line)["path"] for line in (folder / "cut.jsonl").read_bytes().splitlines()]
        with (folder / "cut.csv").open(encoding="utf-8", newline="") as file:
            in_csv = sum(1 for _ in csv.DictReader(file))
    once = len(paths) == len(set(paths)) == in_csv == args.files
    print(
        f"{kills} kills ({early} scans were over before): "
        f"every row {'exactly once' if once else 'NOT once'}, "
        f"files {'equal' if same else 'NOT equal'} to those of an undisturbed scan, "
        f"{orphans} processes outlived theirs"
    )
    return 0 if once and same and not orphans else 1


if __name__ == "__main__":
    raise SystemExit(main())
