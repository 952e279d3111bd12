"""What a page, a manifest and the settings of a scan say of the model that scored: all but the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigdetect.model.calibration import Thresholds
from aigdetect.model.card import ModelCard

if TYPE_CHECKING:  # it imports torch
    from aigdetect.model.detector import Detector


@dataclass(frozen=True)
class ModelInUse:
    """A loaded model as its rows depend on it.

    Attributes:
        card: what the model is.
        thresholds: logits between which the verdict is uncertain.
        weights_digest: digest of the backbone's weights; None if that is not known.
        device: where the model runs.
        precision: precision in which it runs.
        batch_size: images handed over at once.
    """

    card: ModelCard
    thresholds: Thresholds
    weights_digest: str | None
    device: str
    precision: str
    batch_size: int

    @classmethod
    def of(cls, detector: Detector) -> ModelInUse:
        """That of a detector, as it is now."""
        return cls(
            card=detector.card,
            thresholds=detector.thresholds,
            weights_digest=detector.weights_digest,
            device=str(detector.device),
            precision=detector.precision,
            batch_size=detector.batch_size,
        )
