"""A scan of small files with a stand-in for the model: what the benchmarks of scanning itself run.

``python benchmarks/stub.py FOLDER OUT`` scans FOLDER into OUT.jsonl and OUT.csv, or goes on there, and prints
how many rows it made and the peak memory of its process in bytes. ``--model``, ``--weights`` and
``--precision`` take a model. ``--slow S`` makes some of the images take S seconds to decode.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aigdetect.images.find import find_files
from aigdetect.images.views import Picture, Pixels, take_views
from aigdetect.model.calibration import NEVER, Verdict
from aigdetect.scanning.decoding.workers import TIMEOUT, Processes
from aigdetect.scanning.engines import Engine, Threads, default_workers
from aigdetect.scanning.ledger import Ledger, Targets, journal_beside
from aigdetect.scanning.pipeline import scan_with
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.settings import Settings

_SLOW_BELOW = 4  # of 256 values of red: about one image of 64

SETTINGS = Settings("benchmark", "stub", "", "", None, "cpu", "float32", 8, 0.01, 1_000_000, False)


@dataclass(frozen=True)
class StubScore:
    """What the stand-in says."""

    logit: float
    score: float = 0.5
    log10_lr: float = 0.0
    verdict: Verdict = "uncertain"
    kind: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StubCard:
    """What the stand-in is."""

    name: str = "stub"


class Stub:
    """A detector whose logit is the mean of the view."""

    card = StubCard()
    precision = "float32"
    batch_size = 8
    half_rates = NEVER

    def view(self, picture: Picture, /) -> Pixels:
        """A small view."""
        return take_views(picture, ("center_crop",), 32)

    def score_views(self, views: Sequence[Pixels], /) -> list[StubScore]:
        """One score per view."""
        return [StubScore(float(view.mean())) for view in views]


def slow_views(picture: Picture, *, seconds: float) -> Pixels:
    """A small view, for some images only after a time; it runs in a worker."""
    if seconds and np.asarray(picture)[0, 0, 0] < _SLOW_BELOW:
        time.sleep(seconds)
    return take_views(picture, ("center_crop",), 32)


def make_images(folder: Path, count: int) -> None:
    """Write small images of different contents, a thousand to a folder."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"{index // 1000:04}" / f"{index:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path, compress_level=0)


def scan(
    folder: Path,
    out: Path,
    *,
    workers: int,
    detector: Any = None,
    slow: float = 0.0,
    timeout: float = TIMEOUT,
    retry_errors: bool = False,
) -> int:
    """Scan a folder, or go on with it; how many rows were made."""
    seen = detector.card.preprocess if detector else None
    view: Callable[[Picture], Pixels] = partial(slow_views, seconds=slow)
    if seen:
        view = partial(take_views, names=seen.views, size=seen.size)
    prepare = Preparation(view)
    engine: Engine = (
        Processes(prepare, workers, timeout=timeout) if workers else Threads(prepare, default_workers())
    )
    jsonl = out.with_suffix(".jsonl")
    targets = Targets(jsonl, out.with_suffix(".csv"), journal_beside(jsonl))
    ledger = Ledger(targets, resume=True, retry_errors=retry_errors)
    made = 0
    with ledger.open(SETTINGS), closing(engine):
        fresh = ledger.fresh(enumerate(find_files([folder])))
        with closing(scan_with(engine, fresh, detector or Stub(), known=ledger)) as results:
            for result in results:
                ledger.write(result.record)
                made += 1
    return made


def main() -> None:
    """Scan, and print peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--model")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--slow", type=float, default=0.0, metavar="S")
    parser.add_argument("--timeout", type=float, default=TIMEOUT)
    parser.add_argument("--retry-errors", action="store_true")
    args = parser.parse_args()
    detector = None
    if args.model:
        from aigdetect.methods.loading import load_detector

        detector = load_detector(args.model, weights=args.weights, precision=args.precision)
    made = scan(
        args.folder,
        args.out,
        workers=args.workers,
        detector=detector,
        slow=args.slow,
        timeout=args.timeout,
        retry_errors=args.retry_errors,
    )
    print(made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()
