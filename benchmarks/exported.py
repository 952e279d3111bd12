"""What an exported model does beside a scan: ``python benchmarks/exported.py DATA [MODEL...]``.

Exports each model to ONNX, runs the file under onnxruntime on the views of some images, and prints the
largest difference of a logit from the model's own, the size of the file, and images per second of both,
decoding left out, then with it. Both have the same number of threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from aigdetect.data.dataset import load_pixels
from aigdetect.data.facts import choose_some
from aigdetect.data.layouts import find_samples
from aigdetect.images.views import Pixels
from aigdetect.methods.loading import load_detector, load_network
from aigdetect.model.card import find_model_folder, read_card
from aigdetect.model.standalone import export_model


def timed(act: Callable[[], Any], rounds: int) -> float:
    """The least seconds that something takes in some rounds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        act()
        times.append(time.perf_counter() - begin)
    return min(times)


def open_session(path: Path, threads: int) -> Callable[[Sequence[Pixels]], list[float]]:
    """A function from the views ``(V, S, S, 3)`` of images to their logits, one image at a time."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])

    def logits(images: Sequence[Pixels]) -> list[float]:
        return [float(session.run(None, {"views": views[None]})[0][0]) for views in images]

    return logits


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that train takes")
    parser.add_argument("models", nargs="*", default=["mole-vit-b16", "mole-vit-b16-fast"], metavar="MODEL")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    samples = choose_some(find_samples(options.data).samples, per_class=(options.images + 1) // 2)
    begin = time.perf_counter()
    pixels = [load_pixels(sample) for sample in samples[: options.images]]
    decoding = time.perf_counter() - begin
    table = Table(title=f"{len(pixels)} images of {options.data}, {options.threads} threads, float32")
    for title in ("model", "largest difference", "MB", "ONNX, images/s", "program, images/s", "and decoding"):
        table.add_column(title, justify="left" if title == "model" else "right")
    with tempfile.TemporaryDirectory() as place:
        for name in options.models:
            folder, path = find_model_folder(name), Path(place) / f"{Path(name).name}.onnx"
            card = read_card(folder)
            network, _ = load_network(folder, card, weights=None, offline=False, say=print, warn=print)
            export_model(network, card, path, "onnx")
            detector = load_detector(name, device="cpu", precision="float32")
            views = [detector.view(image) for image in pixels]
            run = open_session(path, options.threads)
            difference = np.abs(np.subtract(run(views), detector.logits(views))).max()
            seconds = [timed(lambda: run(views), options.rounds)]  # noqa: B023 - called at once
            seconds.append(timed(lambda: detector.logits(views), options.rounds))  # noqa: B023
            speeds = [len(pixels) / each for each in (*seconds, seconds[0] + decoding, seconds[1] + decoding)]
            table.add_row(
                *(name, f"{difference:.1e}", f"{path.stat().st_size / 1e6:.0f}"),
                *(f"{speed:.2f}" for speed in speeds[:2]),
                f"{speeds[2]:.2f}, {speeds[3]:.2f}",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
