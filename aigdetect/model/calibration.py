"""From a logit to a calibrated score, a likelihood ratio and a verdict.

Everything rests on the logits of held-out images: Platt scaling turns a logit into the probability that the
image was generated at equal priors, order statistics turn an error rate into a threshold, and the number of
images bounds what may be claimed. `aigdetect.model.calibration_fit` makes one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from aigdetect.parsing import STRICT_KEYS

Verdict = Literal["ai", "uncertain", "real"]

DEFAULT_FPR = 0.01
DEFAULT_FNR = 0.05
#: a threshold for a kind of pictures takes real images of so many sources, and so many of them
LEAST_SOURCES = 5
LEAST_IMAGES = 50


@dataclass(frozen=True)
class Thresholds:
    """Logits between which the verdict is uncertain.

    Attributes:
        ai: above this the verdict is ``ai``.
        real: below this the verdict is ``real``.
    """

    ai: float
    real: float

    def verdict(self, logit: float) -> Verdict:
        """Verdict for a logit."""
        if logit > self.ai:
            return "ai"
        return "real" if logit < self.real else "uncertain"


NEVER = Thresholds(ai=math.inf, real=-math.inf)
"""Thresholds that no logit reaches."""


@dataclass(frozen=True)
class KindCalibration:
    """Held-out real images of one kind of picture.

    Attributes:
        real_count: number of them.
        real_sources: number of sources that they come from.
        real_logits: as of :class:`Calibration`, like the rest.
        real_above: see there.
        real_effective: see there.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    real_count: int
    real_sources: int
    real_logits: tuple[float, ...]
    real_above: tuple[float, ...]
    real_effective: float

    def threshold(self, fpr: float) -> float:
        """The logit above which at most a share ``fpr`` of such images lies; infinite if they are too few.

        A threshold takes :data:`LEAST_IMAGES` images of :data:`LEAST_SOURCES` sources: of one or two sources,
        nobody knows what the next one would do. Where the images are too few for the rate, it is the highest
        of them.
        """
        if self.real_sources < LEAST_SOURCES or self.real_count < LEAST_IMAGES:
            return math.inf
        return _furthest(
            self.real_logits[::-1], self.real_above[::-1], self.real_count, self.real_effective, fpr
        )


@dataclass(frozen=True)
class Calibration:
    """Platt scaling and the held-out logits behind it.

    Attributes:
        slope: factor on the logit; 0 if the model ranks the held-out images backwards: then no logit says
            anything, see :attr:`informative`.
        intercept: added after it.
        real_count: number of held-out real images.
        generated_count: number of held-out generated images.
        real_logits: their logits, ascending; thinned if there were very many.
        generated_logits: likewise.
        real_above: share of the real images, weighted, with a logit above each of ``real_logits``; empty: all
            images count alike, and the share follows from the place.
        generated_below: share of the generated images below each of ``generated_logits``, likewise.
        real_effective: number of images of equal weight that carry as much as the weighted ones do; None: all
            count alike.
        generated_effective: likewise.
        real_sources: number of sources that the real images come from; None: not known.
        generators: number of generators that the generated ones come from; None: not known.
        fpr: rate at which real images may be called ``ai``, unless another one is asked for.
        fnr: rate at which generated images may be called ``real``, likewise.
        kinds: held-out real images by kind of picture.
        fitted_real_count: number of real images, of equal weight, that slope and intercept were fitted to,
            where ``real_logits`` are of others; None if they are the same.

    Raises:
        ValueError: if the slope is below 0, a rate is not in 0..1, or there are no logits of one class.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    slope: float
    intercept: float
    real_count: int
    generated_count: int
    real_logits: tuple[float, ...]
    generated_logits: tuple[float, ...]
    real_above: tuple[float, ...] = ()
    generated_below: tuple[float, ...] = ()
    real_effective: float | None = None
    generated_effective: float | None = None
    real_sources: int | None = None
    generators: int | None = None
    fpr: float = DEFAULT_FPR
    fnr: float = DEFAULT_FNR
    fitted_real_count: float | None = None
    kinds: Mapping[str, KindCalibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.slope >= 0:
            raise ValueError(f"slope {self.slope} is below 0")
        for name, shares in (("real", self.real_above), ("generated", self.generated_below)):
            logits = getattr(self, f"{name}_logits")
            if not logits or getattr(self, f"{name}_count") < 1:
                raise ValueError(f"{name}_logits is empty")
            if shares and len(shares) != len(logits):
                raise ValueError(f"{name}_logits: {len(logits)} of them, but {len(shares)} shares")
        for name in ("fpr", "fnr"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not in 0..1")

    @property
    def informative(self) -> bool:
        """Whether a higher logit speaks for generated at all; else scores are 0.5, and verdicts uncertain."""
        return self.slope > 0

    @property
    def even(self) -> float:
        """The logit whose score is 0.5; infinite if none speaks for generated."""
        return (0 - self.intercept) / self.slope if self.informative else math.inf  # no negative zero

    def score(self, logit: float) -> float:
        """Probability, 0..1, that the image was generated if both classes were equally likely before."""
        return float(logit > 0) if math.isinf(logit) else _sigmoid(self._log_odds(logit))

    def log10_lr(self, logit: float) -> float:
        """Decimal logarithm of the likelihood ratio, generated over real.

        Capped at the logarithm of the number of held-out images of the class it speaks against: ``n`` images
        cannot show that something happens less often than about once in ``n``.
        """
        value = self._log_odds(logit) / math.log(10)
        return min(max(value, -math.log10(self.generated_size)), math.log10(self.real_size))

    @property
    def real_size(self) -> float:
        """Real images that a likelihood ratio rests on, counted as if all had the same weight."""
        return self.fitted_real_count or self.real_effective or self.real_count

    @property
    def generated_size(self) -> float:
        """Generated ones, likewise."""
        return self.generated_effective or self.generated_count

    def thresholds(self, *, fpr: float | None = None, fnr: float | None = None) -> Thresholds:
        """Thresholds that keep error rates on new images like the held-out ones.

        Split conformal prediction: if ``k`` of ``n`` held-out images lie beyond a threshold, a new image of
        the same kind does with a probability of at most ``(k + 1) / (n + 1)``. So the threshold is the
        furthest one for which that is within the rate asked for; if there is none, the sample is too small
        to show the rate, and the threshold cannot be reached, see :meth:`lacks`. Where the images are
        weighted, ``k / n`` is their weighted share, and ``n`` the number of images of equal weight that
        carry as much.

        Args:
            fpr: rate at which real images may lie above ``ai``; None for the calibration's own.
            fnr: rate at which generated images may lie below ``real``; None likewise.

        Returns:
            thresholds that never contradict the score: ``ai`` is at a score of 0.5 or more, ``real`` at 0.5
            or less. Of a calibration that is not informative, none can be reached.

        Source: V. Vovk et al., Algorithmic Learning in a Random World, 2005, section 2.2.
        """
        if not self.informative:
            return NEVER
        fpr, fnr = self.fpr if fpr is None else fpr, self.fnr if fnr is None else fnr
        highest_real = _furthest(
            self.real_logits[::-1], self.real_above[::-1], self.real_count, self.real_effective, fpr
        )
        lowest_generated = _furthest(
            self.generated_logits, self.generated_below, self.generated_count, self.generated_effective, fnr
        )
        return Thresholds(
            ai=max(highest_real, self.even) if self.supports(fpr) else math.inf,
            real=min(lowest_generated, self.even) if supports(fnr, self.generated_size) else -math.inf,
        )

    def half_rates(self, *, fpr: float | None = None) -> Thresholds:
        """Thresholds at half of both rates: see :func:`aigdetect.scanning.summary.summed_up`.

        Args:
            fpr: the whole rate, as for :meth:`thresholds`.
        """
        return self.thresholds(fpr=(self.fpr if fpr is None else fpr) / 2, fnr=self.fnr / 2)

    def kind_thresholds(self, told: Iterable[str], *, fpr: float | None = None) -> dict[str, float]:
        """For each kind of picture, the logit above which the verdict may be ``ai``; infinite if none may.

        A kind can hold a verdict back, and never brings one about: the threshold of all kinds together, see
        :meth:`thresholds`, must be passed as well.

        Args:
            told: kinds that the model tells apart; of one without a real image, no verdict is ``ai``.
            fpr: rate at which real images of a kind may lie above; None for the calibration's own.
        """
        fpr = self.fpr if fpr is None else fpr
        return {name: self.kinds[name].threshold(fpr) if name in self.kinds else math.inf for name in told}

    def supports(self, fpr: float) -> bool:
        """Whether there are enough held-out real images to keep the rate ``fpr``."""
        return supports(fpr, self.real_effective or self.real_count)

    def lacks(self, *, fpr: float | None = None, fnr: float | None = None) -> list[str]:
        """What the held-out images are too few for, a line for each verdict that is never given.

        Args:
            fpr: as for :meth:`thresholds`.
            fnr: likewise.
        """
        asked = (
            ("ai", "real", "false-positive", self.fpr if fpr is None else fpr, self.real_effective),
            (
                "real",
                "generated",
                "false-negative",
                self.fnr if fnr is None else fnr,
                self.generated_effective,
            ),
        )
        told = []
        for verdict, kind, error, rate, effective in asked:
            count = getattr(self, f"{kind}_count")
            if not supports(rate, effective or count):
                worth = f" (worth {effective:.0f}, each source counting alike)" if effective else ""
                told.append(
                    f"calibrated on {count} {kind} images{worth}, too few for a {error} rate of {rate:g}: no "
                    f"verdict is {verdict}"
                )
        return told

    def _log_odds(self, logit: float) -> float:
        return self.slope * logit + self.intercept


def supports(rate: float, count: float) -> bool:
    """Whether ``count`` held-out images of a class are enough to keep an error rate of it."""
    return rate * (count + 1) >= 1 - 1e-9


def _furthest(
    logits: Sequence[float], shares: Sequence[float], count: int, effective: float | None, rate: float
) -> float:
    """The furthest logit, counted from the first one on, that keeps a rate.

    Args:
        logits: from the extreme one on.
        shares: weighted share of the class beyond each; empty: all count alike.
        count: images that the logits were thinned from.
        effective: as many images of equal weight; None: ``count``.
        rate: 0 to 1.
    """
    if not shares:
        return logits[_beyond(rate, count, len(logits))]
    size = effective or count
    allowed = (rate * (size + 1) - 1) / size
    return logits[max(0, bisect_right(shares, allowed + 1e-12) - 1)]


def _beyond(rate: float, count: int, kept: int) -> int:
    """How many of the ``kept`` values, thinned from ``count``, may lie beyond a threshold."""
    allowed = max(0, math.floor(rate * (count + 1) + 1e-9) - 1)
    return min(math.floor(allowed * (kept - 1) / max(1, count - 1)), kept - 1)


def _sigmoid(x: float) -> float:
    # the form that cannot overflow
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
