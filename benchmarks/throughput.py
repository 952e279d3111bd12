"""Images per second, all on the same images in one run: ``python benchmarks/throughput.py FOLDER``.

Measures, in turns so that a drifting machine hurts all alike: ``scan`` as a whole (reading, decoding,
hashing, scoring), the bare image tower and the tower with bypasses in each precision, and the int8 encoder of
the wheel that the package index offers, run by onnxruntime. Prints the median of the rounds and the ratio to
that encoder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from aigdetect.data.dataset import validation_views
from aigdetect.data.layouts import Sample
from aigdetect.images.find import Found, find_files
from aigdetect.images.views import Pixels
from aigdetect.model.build import load_tower
from aigdetect.model.card import DEFAULT_MODEL
from aigdetect.model.detector import PRECISIONS, Detector, load_detector
from aigdetect.model.index import fetch_wheel, take_member
from aigdetect.model.wheel import OPENAI_VIT_B_16
from aigdetect.scanning.pipeline import scan_found

Work = Callable[[], None]


def scan_work(found: list[Found], detector: Detector) -> Work:
    """Scan all files."""

    def work() -> None:
        errors = [record for record in scan_found(found, detector) if record.error]
        if errors:
            raise SystemExit(f"{errors[0].path}: {errors[0].error}")

    return work


def detector_work(views: list[Pixels], detector: Detector) -> Work:
    """Score views that are decoded already, as many to an image as the model takes."""
    count = len(detector.card.preprocess.views)
    images = [
        np.stack(views[first : first + count]) for first in range(0, len(views) // count * count, count)
    ]

    def work() -> None:
        detector.logits(images)

    return work


def tower_work(views: list[Pixels], precision: str, batch_size: int) -> Work:
    """Run the frozen tower alone."""
    tower, _ = load_tower("ViT-B-16")
    tower.set_precision(PRECISIONS[precision])
    images = _normalised(views, tower.mean, tower.std)

    def work() -> None:
        with torch.inference_mode():
            for batch in torch.split(images, batch_size):
                tower(batch)

    return work


def onnx_work(views: list[Pixels], batch_size: int, threads: int, file: Path) -> Work:
    """Run the wheel's int8 encoder."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    images = _normalised(views, mean, std).numpy()

    def work() -> None:
        for first in range(0, len(images), batch_size):
            session.run(None, {name: images[first : first + batch_size]})

    return work


def _normalised(views: list[Pixels], mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    images = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def measure(works: dict[str, Work], images: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of each work in each round; the works take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            speeds[name].append(images / (time.perf_counter() - start))
    return speeds


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="images to score")
    parser.add_argument(
        "--images", type=int, default=200, help="how many (the folder's are repeated if need be)"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--onnx-batch", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    found = [item for item in find_files([options.folder]) if item.kind == "image"]
    found = list(islice(cycle(found), options.images))
    views = [validation_views(Sample(item.path, 0, "any"), size=224)[0] for item in found]
    with tempfile.TemporaryDirectory() as folder, threads(options.threads):
        works: dict[str, Work] = {}
        for precision in ("bfloat16", "float32"):
            detector: Any = load_detector(options.model, device="cpu", precision=precision)
            works[f"scan, {precision}"] = scan_work(found, detector)
            works[f"tower with bypasses, {precision}"] = detector_work(views, detector)
            works[f"bare tower, {precision}"] = tower_work(views, precision, detector.batch_size)
        file = take_member(fetch_wheel(OPENAI_VIT_B_16, Path(folder)), OPENAI_VIT_B_16, Path(folder))
        for batch in options.onnx_batch:
            name = f"int8 encoder, onnxruntime, batch {batch}"
            works[name] = onnx_work(views, batch, options.threads, file)
        speeds = measure(works, len(found), options.rounds)
    best = max(statistics.median(values) for name, values in speeds.items() if name.startswith("int8"))
    table = Table(title=f"{len(found)} images, {options.threads} threads, median of {options.rounds} rounds")
    for title in ("what", "images/s", "lowest", "highest", "to the best int8 encoder"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for name, values in speeds.items():
        median = statistics.median(values)
        cells = (median, min(values), max(values))
        table.add_row(name, *(f"{value:.1f}" for value in cells), f"{median / best:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
