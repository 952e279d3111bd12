"""Forensics for images: find out whether a generative model made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aigdetect.model.detector import Detector, Score, load_detector

__version__ = "0.1.0"
__all__ = ["Detector", "Score", "__version__", "load_detector"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import: only what needs the model pays for it
    if name in {"Detector", "Score", "load_detector"}:
        from aigdetect.model import detector

        return getattr(detector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
