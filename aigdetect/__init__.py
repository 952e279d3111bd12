"""Forensics for images: find out whether a generative model made them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aigdetect.data.layouts import find_samples
    from aigdetect.library import evaluate, train
    from aigdetect.methods.loading import load_detector
    from aigdetect.model.detector import Detector, Score

__version__ = "0.1.0"
__all__ = ["Detector", "Score", "__version__", "evaluate", "find_samples", "load_detector", "train"]

_HOMES = {
    "Detector": "aigdetect.model.detector",
    "Score": "aigdetect.model.detector",
    "load_detector": "aigdetect.methods.loading",
    "evaluate": "aigdetect.library",
    "train": "aigdetect.library",
    "find_samples": "aigdetect.data.layouts",
}


def __getattr__(name: str) -> object:
    # torch takes seconds to import: only what needs the model pays for it
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
