"""The real program with a stand-in for the model: starts in no time, and says what its views' red says.

Run by the tests as ``python fake_aigdetect.py scan ...``. A first pixel of red 200 or more is ``ai``,
100 or more ``uncertain``, else ``real``. ``FAKE_DELAY`` slows each batch down, in seconds.

A further model of the name ``green`` says the same of green, and sees more of an image; it fails where green
is ``FAKE_FAILURE``, and its trained part has the digest that ``FAKE_ADAPTER`` begins with.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np

from aigdetect.errors import WeightsError
from aigdetect.model.calibration import Calibration, Thresholds
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess


@dataclass(frozen=True)
class Score:
    logit: float
    score: float
    log10_lr: float
    verdict: str
    kind: str | None = None
    notes: tuple[str, ...] = ()


CARD = ModelCard(
    name="fake",
    backbone="none",
    backbone_digest="b" * 64,
    preprocess=Preprocess(8, (0.5,) * 3, (0.5,) * 3, ("center_crop",)),
    adapter=AdapterCard(0, (), 0, (), None, 0),
    adapter_sha256="a" * 64,
    calibration=Calibration(1.0, 0.0, 100, 100, (-1.0,), (1.0,)),
)


GREEN = replace(
    CARD,
    name="green",
    preprocess=Preprocess(16, (0.5,) * 3, (0.5,) * 3, ("center_crop", "whole")),
    adapter_sha256=os.environ.get("FAKE_ADAPTER", "c").ljust(64, "0"),
)


class Detector:
    card = CARD
    device = "cpu"
    precision = os.environ.get("FAKE_PRECISION", "float32")
    batch_size = 2
    weights_digest = "b" * 64
    thresholds = Thresholds(ai=5.0, real=-5.0)
    half_rates = Thresholds(ai=6.0, real=-6.0)

    def score_views(self, views: Sequence[np.ndarray]) -> list[Score]:
        time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
        return [_score(int(view[0, 0, 0, 0])) for view in views]


class GreenDetector(Detector):
    card = GREEN

    def score_views(self, views: Sequence[np.ndarray]) -> list[Score]:
        assert {view.shape for view in views} == {(2, 16, 16, 3)}
        greens = [int(view[0, 0, 0, 1]) for view in views]
        if int(os.environ.get("FAKE_FAILURE", "-1")) in greens:
            raise RuntimeError("green will not do")
        return [_score(green) for green in greens]


def _score(red: int) -> Score:
    verdict = "ai" if red >= 200 else "uncertain" if red >= 100 else "real"
    return Score((red - 150) / 10, red / 255, (red - 150) / 100, verdict)


def _load_detector(model: str, **_: object) -> Detector:
    return GreenDetector() if Path(model).name == "green" else Detector()


def _find_weights(*_: object, **__: object) -> NoReturn:
    raise WeightsError("a stand-in has none")


def main() -> None:
    loading = ModuleType("aigdetect.methods.loading")
    loading.load_detector = _load_detector  # type: ignore[attr-defined]
    sys.modules["aigdetect.methods.loading"] = loading

    from aigdetect.model import card
    from aigdetect.model.weights import find_weights as weights

    card.find_model_folder = lambda name: Path(name)
    card.read_card = lambda folder: GREEN if folder.name == "green" else CARD
    weights.find_weights = _find_weights  # the search would load open_clip, to look the backbone up

    from aigdetect.cli.app import main as program

    program()


if __name__ == "__main__":
    main()
