"""Who turns files into results: a model in this process here, many of them on a cluster elsewhere."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from aigdetect.errors import AigdetectError
from aigdetect.images.find import Found
from aigdetect.model.card import find_model_folder, read_card
from aigdetect.model.weights.find_weights import Weights, find_weights
from aigdetect.scanning.engines import Engine
from aigdetect.scanning.heat import HeatMap, draw_heat_map
from aigdetect.scanning.model_in_use import ModelInUse
from aigdetect.scanning.opinion import numbered
from aigdetect.scanning.pipeline import Result, scan_with
from aigdetect.scanning.scoring import EarlierRecords

if TYPE_CHECKING:  # it imports torch
    from aigdetect.model.detector import Detector


@dataclass(frozen=True)
class ModelRequest:
    """A model as asked for; the attributes are those of :func:`aigdetect.methods.loading.load_detector`.

    Attributes:
        model: a shipped model by name, or a model folder.
        device: see there, like all that follows.
        precision: see there.
        batch_size: see there.
        fpr: see there.
        weights: see there.
        offline: see there.
    """

    model: str
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    fpr: float | None = None
    weights: Path | None = None
    offline: bool = False

    def load(self, *, say: Callable[[str], None], warn: Callable[[str], None]) -> Detector:
        """Load it; arguments and errors are those of ``load_detector``."""
        with ThreadPoolExecutor(max_workers=1) as beside:
            # hashing leaves Python to the import of torch, which takes five times as long
            cached = beside.submit(self._cached_weights)
            with _without_collection():
                from aigdetect.methods.loading import load_detector

            return load_detector(
                self.model,
                device=self.device,
                precision=self.precision,
                batch_size=self.batch_size,
                fpr=self.fpr,
                weights=self.weights or cached.result(),
                offline=self.offline,
                say=say,
                warn=warn,
            )

    def beside(self, model: str) -> ModelRequest:
        """A further model, asked for in the same way as far as it can be.

        What has no tower calculates in float32, and given weights are those of one backbone.

        Raises:
            UsageError: if there is no such model.
            ModelError: if a card is damaged.
        """
        own, other = (read_card(find_model_folder(name)) for name in (self.model, model))
        return replace(
            self,
            model=model,
            precision=self.precision if other.has_backbone else "auto",
            weights=self.weights if other.backbone == own.backbone else None,
        )

    def _cached_weights(self) -> Weights | None:
        """What the search would find in the cache, checked; None leaves the search, and its errors, to it."""
        if self.weights:
            return None
        try:
            card = read_card(find_model_folder(self.model))
            if not card.has_backbone:
                return None
            return find_weights(card.backbone, digest=card.backbone_digest, offline=True)
        except AigdetectError:
            return None


def load_others(
    also: Sequence[ModelRequest], *, say: Callable[[str], None], warn: Callable[[str], None]
) -> dict[str, Detector]:
    """Load further models, by what they are called; arguments and errors are those of ``load_detector``."""
    loaded = [wanted.load(say=say, warn=warn) for wanted in also]
    return dict(zip(numbered(detector.card.name for detector in loaded), loaded, strict=True))


class Scanner(Protocol):
    """Turns files into results."""

    @property
    def model(self) -> ModelInUse:
        """The model that scores."""

    @property
    def also(self) -> Mapping[str, ModelInUse]:
        """Further models by what they are called, in order."""

    def results(self, found: Iterable[Found], known: EarlierRecords) -> Generator[Result, None, None]:
        """See :func:`aigdetect.scanning.pipeline.scan_with`."""

    def heat_map(self, result: Result) -> HeatMap | None:
        """Where the evidence lies in the image of a result; None if that cannot be had any more."""

    def close(self) -> None:
        """Give back what it holds."""


class LocalScanner:
    """Scans with a model in this process; see :class:`Scanner`.

    Args:
        detector: the model.
        engine: who reads and decodes; closed with the scanner.
        also: further models by what they are called.
    """

    def __init__(
        self,
        detector: Detector,
        engine: Engine,
        also: Mapping[str, Detector] = MappingProxyType({}),
    ) -> None:
        self.model = ModelInUse.of(detector)
        self.also = {name: ModelInUse.of(other) for name, other in also.items()}
        self._others = also
        self._detector = detector
        self._engine = engine

    def results(self, found: Iterable[Found], known: EarlierRecords | None) -> Generator[Result, None, None]:
        """See :class:`Scanner`; None scores every file."""
        return scan_with(self._engine, found, self._detector, known=known, also=self._others)

    def heat_map(self, result: Result) -> HeatMap | None:
        """See :class:`Scanner`."""
        return draw_heat_map(self._detector, self._engine, result.record)

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()


@contextmanager
def _without_collection() -> Generator[None, None, None]:
    """Garbage is not looked for while something large is imported, and never again in what was there then.

    Imports leave next to none, and the search costs a quarter of the start and of the end of the program.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()
