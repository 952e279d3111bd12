"""Who turns files into results: a model in this process here, many of them on a cluster elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aigdetect.images.find import Found
from aigdetect.scanning.engines import Engine
from aigdetect.scanning.heat import HeatMap, draw_heat_map
from aigdetect.scanning.in_use import ModelInUse
from aigdetect.scanning.pipeline import Result, scan_with
from aigdetect.scanning.scoring import Known

if TYPE_CHECKING:  # it imports torch
    from aigdetect.model.detector import Detector


@dataclass(frozen=True)
class Wanted:
    """A model as asked for; the attributes are those of :func:`aigdetect.model.detector.load_detector`.

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
        from aigdetect.model.detector import load_detector

        return load_detector(
            self.model,
            device=self.device,
            precision=self.precision,
            batch_size=self.batch_size,
            fpr=self.fpr,
            weights=self.weights,
            offline=self.offline,
            say=say,
            warn=warn,
        )


class Scanner(Protocol):
    """Turns files into results."""

    @property
    def model(self) -> ModelInUse:
        """The model that scores."""

    def results(self, found: Iterable[Found], known: Known) -> Generator[Result, None, None]:
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
    """

    def __init__(self, detector: Detector, engine: Engine) -> None:
        self.model = ModelInUse.of(detector)
        self._detector = detector
        self._engine = engine

    def results(self, found: Iterable[Found], known: Known | None) -> Generator[Result, None, None]:
        """See :class:`Scanner`; None scores every file."""
        return scan_with(self._engine, found, self._detector, known=known)

    def heat_map(self, result: Result) -> HeatMap | None:
        """See :class:`Scanner`."""
        return draw_heat_map(self._detector, self._engine, result.record)

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()
