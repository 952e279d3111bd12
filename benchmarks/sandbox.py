"""What the sandbox of the workers costs: ``python benchmarks/sandbox.py [FOLDER] [--rounds N] [--files N]``.

The same images are read and decoded by worker processes that give up files, network and other programs before
the first of them, and by workers that do not, in turn; and by threads of one process, without any boundary.
Told are medians of the rounds: time until the first file is done, time for each further file, and processor
time for each file, all processes together, which tells more where others use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
from PIL import Image

from aigdetect.images.find import Found, find_files
from aigdetect.images.views import Picture, Pixels, take_views
from aigdetect.scanning.decoding import limits, pool, workers
from aigdetect.scanning.engines import Engine, Threads
from aigdetect.scanning.preparation import Preparation

KINDS = ("with", "without", "threads")
_SIDE = 1024


def view(picture: Picture) -> Pixels:
    """What a model would see."""
    return take_views(picture, ("center_crop", "whole"), 224)


def make_photographs(folder: Path, count: int) -> None:
    """Write JPEG files of noise, none like another, of a common size."""
    rng = np.random.default_rng(0)
    for index in range(count):
        small = Image.fromarray(rng.integers(0, 256, (_SIDE // 8, _SIDE // 8, 3), np.uint8))
        small.resize((_SIDE, _SIDE)).save(folder / f"{index:05}.jpg", quality=90)


def one_round(kind: str, folder: Path) -> Mapping[str, float]:
    """Prepare all files once; runs in a process of its own, and a session."""
    prepare = Preparation(view)
    if kind == "without":
        pool.preload([workers._PRELOAD, "sandbox"])
    start = time.monotonic()
    engine: Engine = Threads(prepare, 1) if kind == "threads" else workers.Processes(prepare, 1)
    found: list[Found] = [item for item in find_files([folder]) if item.kind == "image"]
    with closing(engine), closing(engine.prepared(found, ahead=4)) as prepared:
        failures = int(next(prepared).view is None)
        first = time.monotonic()
        failures += sum(each.view is None for each in prepared)
        end = time.monotonic()
        processor = processor_time()
    if failures:
        raise RuntimeError(f"{failures} files were not decoded")
    return {
        "first": first - start,
        "each": (end - first) / (len(found) - 1),
        "processor": processor / len(found),
    }


def processor_time() -> float:
    """Seconds of processor time of all processes of this session so far."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == os.getsid(0):
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Take turns, and print what each costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--files", type=int, default=200, help="images to make where no folder is given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.round:
        print(json.dumps(one_round(args.round, args.folder)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        if not args.folder:
            make_photographs(folder, args.files)
        seen: dict[str, list[Mapping[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(args.rounds):
            for kind in KINDS:
                command = [sys.executable, __file__, str(folder), "--round", kind]
                environment = {
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)]),
                }
                done = subprocess.run(
                    command, check=True, stdout=subprocess.PIPE, env=environment, start_new_session=True
                )
                seen[kind].append(json.loads(done.stdout))
    figures = {
        kind: {name: median(each[name] for each in rounds) for name in rounds[0]}
        for kind, rounds in seen.items()
    }
    for kind, label in zip(KINDS, ("sandbox", "no sandbox", "threads"), strict=True):
        told = figures[kind]
        print(
            f"{label:<11} first file {told['first']:.2f} s, each further one {1000 * told['each']:.1f} ms, "
            f"processor time {1000 * told['processor']:.1f} ms a file"
        )
    ratios = {name: figures["with"][name] / figures["without"][name] for name in figures["with"]}
    print(
        f"sandbox / no sandbox: first file {ratios['first']:.2f}, each further one {ratios['each']:.2f}, "
        f"processor time {ratios['processor']:.2f} ({args.rounds} rounds)"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
elif __name__ == "sandbox":
    # loaded by the process that workers are forked from: these give up nothing
    mock.patch.object(limits, "enclose", return_value=()).start()
