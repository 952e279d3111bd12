"""The real program with a stand-in for the model: starts in no time, and says what its views' red says.

Run by the tests as ``python fake_aigdetect.py scan ...``. A first pixel of red 200 or more is ``ai``,
100 or more ``uncertain``, else ``real``. ``FAKE_DELAY`` slows each batch down, in seconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np


@dataclass(frozen=True)
class Score:
    logit: float
    score: float
    log10_lr: float
    verdict: str


class Detector:
    card = SimpleNamespace(name="fake")
    precision = "float32"
    batch_size = 2

    def view(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[:8, :8]

    def score_views(self, views: Sequence[np.ndarray]) -> list[Score]:
        time.sleep(float(os.environ.get("FAKE_DELAY", "0")))
        return [_score(int(view[0, 0, 0])) for view in views]


def _score(red: int) -> Score:
    verdict = "ai" if red >= 200 else "uncertain" if red >= 100 else "real"
    return Score((red - 150) / 10, red / 255, (red - 150) / 100, verdict)


def main() -> None:
    detector = ModuleType("aigdetect.model.detector")
    detector.load_detector = lambda *_, **__: Detector()  # type: ignore[attr-defined]
    sys.modules["aigdetect.model.detector"] = detector

    from aigdetect.model import card

    card.find_model_folder = card.read_card = lambda folder: folder  # type: ignore[assignment]

    from aigdetect.cli.app import main as program

    program()


if __name__ == "__main__":
    main()
