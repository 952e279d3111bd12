"""What an exported model does beside a scan: ``python benchmarks/exported.py DATA [MODEL...]``.

Exports each model to ONNX, and runs the file on the views of some images under onnxruntime and, where it is
installed, OpenVINO, in turns with the program itself in float32 and with as many threads. Prints the largest
difference of a logit from the program's, the size of the file, and images per second, without and with
decoding.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

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

#: from the views ``(V, S, S, 3)`` of images to their logits
Run = Callable[[Sequence[Pixels]], Sequence[float]]
PROGRAM = "program"


def in_turns(runs: dict[str, Run], views: Sequence[Pixels], rounds: int) -> dict[str, float]:
    """The least seconds that each takes in some rounds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(views)
            times[name].append(time.perf_counter() - begin)
    return {name: min(each) for name, each in times.items()}


def under_onnxruntime(path: Path, threads: int) -> Run:
    """A file of ONNX under onnxruntime, one image at a time."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda images: [float(session.run(None, {"views": views[None]})[0][0]) for views in images]


def under_openvino(path: Path, threads: int) -> Run:
    """A file of ONNX under OpenVINO in float32, one image at a time."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(path, "CPU", settings)
    return lambda images: [float(compiled({"views": views[None]})[0][0]) for views in images]


RUNTIMES = {"onnxruntime": under_onnxruntime, "openvino": under_openvino}


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
    for title in (
        "model",
        "run by",
        "largest difference",
        "MB",
        "images/s",
        "and decoding",
        "to the program",
    ):
        table.add_column(title, justify="left" if title in ("model", "run by") else "right")
    with tempfile.TemporaryDirectory() as place:
        for name in options.models:
            folder, path = find_model_folder(name), Path(place) / f"{Path(name).name}.onnx"
            card = read_card(folder)
            network, _ = load_network(folder, card, weights=None, offline=False, say=print, warn=print)
            export_model(network, card, path, "onnx")
            detector = load_detector(name, device="cpu", precision="float32")
            views = [detector.view(image) for image in pixels]
            runs: dict[str, Run] = {PROGRAM: detector.logits}
            runs |= {each: make(path, options.threads) for each, make in RUNTIMES.items() if find_spec(each)}
            logits = {each: np.array(run(views)) for each, run in runs.items()}
            seconds = in_turns(runs, views, options.rounds)
            for each, took in seconds.items():
                table.add_row(
                    *(name, each, f"{np.abs(logits[each] - logits[PROGRAM]).max():.1e}"),
                    "" if each == PROGRAM else f"{path.stat().st_size / 1e6:.0f}",
                    *(f"{len(pixels) / time_:.2f}" for time_ in (took, took + decoding)),
                    f"{seconds[PROGRAM] / took:.2f}",
                )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
