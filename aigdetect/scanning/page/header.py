"""What a page says about the whole scan: what scored, how it was calibrated, how it was called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

import aigdetect
from aigdetect.model.calibration import Thresholds
from aigdetect.model.card import ModelCard
from aigdetect.scanning.settings import Other
from aigdetect.text import score_text, shorten

_VIEWS = {
    "center_crop": "a crop at the centre at full resolution",
    "whole": "the whole image, reduced until its short side fits",
}
_LONGEST_NAME = 40  # characters of the name of a further model above its column


@dataclass(frozen=True)
class PageHeader:
    """Facts about a scan.

    Attributes:
        model: name of the model.
        backbone: name of the backbone.
        backbone_digest: digest of the backbone's weights that the model was trained on, hexadecimal.
        adapter_sha256: SHA-256 of the file with the trained part.
        views: names of the views that the score rests on.
        view_size: side of a view in pixels.
        real_count: real images that the calibration rests on.
        generated_count: generated ones.
        highest_lr: decimal logarithm of the highest likelihood ratio that it supports.
        lowest_lr: of the lowest one.
        fpr: share of real images that the verdict ``ai`` may flag.
        fnr: share of generated images that the verdict ``real`` may miss.
        fpr_supported: whether there are enough real images to keep ``fpr``.
        ai_above: calibrated score above which the verdict is ``ai``, 0..1.
        real_below: calibrated score below which it is ``real``, 0..1.
        command: the command line, as typed; empty if there was none.
        precision: precision of the arithmetic.
        started: when the scan began, with a time zone.
        finished: when it ended, or None if it was cut short.
        passed_over: other files that were met and passed over.
        weights_digest: digest of the backbone's weights in use, hexadecimal; None if it is not known.
        also: further models that have columns of their own.
        program: program and version.
    """

    model: str
    backbone: str
    backbone_digest: str
    adapter_sha256: str
    views: tuple[str, ...]
    view_size: int
    real_count: int
    generated_count: int
    highest_lr: float
    lowest_lr: float
    fpr: float
    fnr: float
    fpr_supported: bool
    ai_above: float
    real_below: float
    command: str
    precision: str
    started: datetime
    finished: datetime | None
    passed_over: int = 0
    weights_digest: str | None = None
    also: tuple[Other, ...] = ()
    program: str = f"aigdetect {aigdetect.__version__}"

    @classmethod
    def of_card(
        cls,
        card: ModelCard,
        thresholds: Thresholds,
        *,
        fpr: float | None = None,
        precision: str,
        command: str,
        started: datetime,
        finished: datetime | None,
        passed_over: int = 0,
        weights_digest: str | None = None,
        also: tuple[Other, ...] = (),
    ) -> PageHeader:
        """The header of a scan with a model.

        Args:
            card: of the model.
            thresholds: those in use (``detector.thresholds``).
            fpr: the rate behind them; None for the card's.
            precision: see the attributes, like the rest.
            command: see there.
            started: see there.
            finished: see there.
            passed_over: see there.
            weights_digest: see there (``detector.weights_digest``).
            also: see there.
        """
        calibration = card.calibration
        fpr = calibration.fpr if fpr is None else fpr
        return cls(
            model=card.name,
            backbone=card.backbone,
            backbone_digest=card.backbone_digest,
            adapter_sha256=card.adapter_sha256,
            views=card.preprocess.views,
            view_size=card.preprocess.size,
            real_count=calibration.real_count,
            generated_count=calibration.generated_count,
            highest_lr=math.log10(calibration.real_size),
            lowest_lr=-math.log10(calibration.generated_size),
            fpr=fpr,
            fnr=calibration.fnr,
            fpr_supported=calibration.supports(fpr),
            ai_above=calibration.score(thresholds.ai),
            real_below=calibration.score(thresholds.real),
            command=command,
            precision=precision,
            started=started,
            finished=finished,
            passed_over=passed_over,
            weights_digest=weights_digest,
            also=also,
        )


@dataclass(frozen=True)
class HeaderTexts:
    """The facts of a header in words, as the page has them."""

    began: str
    ended: str
    ai_above: str
    real_below: str
    real_rate: str
    generated_rate: str
    highest_lr: str
    lowest_lr: str
    views: str
    spectrum: str
    also: tuple[str, ...]


def header_texts(header: PageHeader) -> HeaderTexts:
    """The facts of a header in words."""
    from aigdetect.spectrum.small_picture import CAPTION  # spectra take a while to import

    views = [_VIEWS.get(name, name.replace("_", " ")) for name in header.views]
    return HeaderTexts(
        began=_utc(header.started),
        ended="cut short" if header.finished is None else _utc(header.finished),
        ai_above=score_text(header.ai_above),
        real_below=score_text(header.real_below),
        real_rate=f"{100 * header.fpr:g}",
        generated_rate=f"{100 * header.fnr:g}",
        highest_lr=f"+{header.highest_lr:.2f}",
        lowest_lr=f"−{-header.lowest_lr:.2f}",
        views=f"{' and '.join(views)} ({header.view_size} × {header.view_size} pixels each)",
        spectrum=CAPTION,
        also=tuple(shorten(other.model, _LONGEST_NAME) for other in header.also),
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
