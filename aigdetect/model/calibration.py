"""From a logit to a calibrated score, a likelihood ratio and a verdict.

Everything rests on the logits of held-out images: Platt scaling turns a logit into the probability that the
image was generated at equal priors, order statistics turn an error rate into a threshold, and the number of
images bounds what may be claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from aigdetect.parsing import STRICT_KEYS

Verdict = Literal["ai", "uncertain", "real"]

DEFAULT_FPR = 0.01
DEFAULT_FNR = 0.05
#: more held-out logits than this are thinned to quantiles in the card
CURVE_POINTS = 2001


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


@dataclass(frozen=True)
class Calibration:
    """Platt scaling and the held-out logits behind it.

    Attributes:
        slope: factor on the logit, above 0.
        intercept: added after it.
        real_count: number of held-out real images.
        generated_count: number of held-out generated images.
        real_logits: their logits, ascending; thinned to quantiles if there were very many.
        generated_logits: likewise.
        fpr: rate at which real images may be called ``ai``, unless another one is asked for.
        fnr: rate at which generated images may be called ``real``, likewise.
        fitted_real_count: number of real images that slope and intercept were fitted to, where
            ``real_logits`` are of others; None if they are the same.

    Raises:
        ValueError: if the slope is not above 0, a rate is not in 0..1, or there are no logits of one class.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    slope: float
    intercept: float
    real_count: int
    generated_count: int
    real_logits: tuple[float, ...]
    generated_logits: tuple[float, ...]
    fpr: float = DEFAULT_FPR
    fnr: float = DEFAULT_FNR
    fitted_real_count: int | None = None

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"slope {self.slope} is not above 0")
        for name in ("real", "generated"):
            if not getattr(self, f"{name}_logits") or getattr(self, f"{name}_count") < 1:
                raise ValueError(f"{name}_logits is empty")
        for name in ("fpr", "fnr"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not in 0..1")

    def score(self, logit: float) -> float:
        """Probability, 0..1, that the image was generated if both classes were equally likely before."""
        return _sigmoid(self._log_odds(logit))

    def log10_lr(self, logit: float) -> float:
        """Decimal logarithm of the likelihood ratio, generated over real.

        Capped at the logarithm of the number of held-out images of the class it speaks against: ``n`` images
        cannot show that something happens less often than about once in ``n``.
        """
        value = self._log_odds(logit) / math.log(10)
        reals = self.fitted_real_count or self.real_count
        return min(max(value, -math.log10(self.generated_count)), math.log10(reals))

    def thresholds(self, *, fpr: float | None = None, fnr: float | None = None) -> Thresholds:
        """Thresholds that keep error rates on new images like the held-out ones.

        Split conformal prediction: if ``k`` of ``n`` held-out images lie beyond a threshold, a new image of
        the same kind does with a probability of at most ``(k + 1) / (n + 1)``. So ``k`` is the largest number
        for which that is within the rate asked for, and 0 if there is none: then the sample is too small to
        support the rate, see :meth:`supports`.

        Args:
            fpr: rate at which real images may lie above ``ai``; None for the calibration's own.
            fnr: rate at which generated images may lie below ``real``; None likewise.

        Returns:
            thresholds that never contradict the score: ``ai`` is at a score of 0.5 or more, ``real`` at 0.5
            or less.

        Source: V. Vovk et al., Algorithmic Learning in a Random World, 2005, section 2.2.
        """
        fpr, fnr = self.fpr if fpr is None else fpr, self.fnr if fnr is None else fnr
        even = -self.intercept / self.slope
        highest_real = self.real_logits[-1 - _beyond(fpr, self.real_count, len(self.real_logits))]
        lowest_generated = self.generated_logits[
            _beyond(fnr, self.generated_count, len(self.generated_logits))
        ]
        return Thresholds(ai=max(highest_real, even), real=min(lowest_generated, even))

    def supports(self, fpr: float) -> bool:
        """Whether there are enough held-out real images to keep the rate ``fpr``."""
        return supports(fpr, self.real_count)

    def with_real_logits(self, logits: Sequence[float]) -> Calibration:
        """The same scores with the threshold ``ai`` of other real images.

        Real images alone say nothing of slope and intercept: these stay, and with them the number of real
        images that a likelihood ratio rests on.

        Args:
            logits: one per real image.

        Raises:
            ValueError: if there are none.
        """
        return replace(
            self,
            real_count=len(logits),
            real_logits=_thinned(logits, math.ceil),
            fitted_real_count=self.fitted_real_count or self.real_count,
        )

    def _log_odds(self, logit: float) -> float:
        return self.slope * logit + self.intercept


def supports(rate: float, count: int) -> bool:
    """Whether ``count`` held-out images of a class are enough to keep an error rate of it."""
    return rate * (count + 1) >= 1 - 1e-9


def _beyond(rate: float, count: int, kept: int) -> int:
    """How many of the ``kept`` values, thinned from ``count``, may lie beyond a threshold."""
    allowed = max(0, math.floor(rate * (count + 1) + 1e-9) - 1)
    return min(math.floor(allowed * (kept - 1) / max(1, count - 1)), kept - 1)


def fit_calibration(logits: Sequence[float], labels: Sequence[int]) -> Calibration:
    """Fit Platt scaling to held-out images, both classes weighing the same.

    Platt's smoothed targets keep the slope finite where the classes can be told apart without error.

    Args:
        logits: one per image.
        labels: 1 for generated, 0 for real.

    Raises:
        ValueError: if one class is absent.

    Source: J. Platt, Probabilistic outputs for support vector machines, 1999, section 2.2.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    x = np.asarray(logits, dtype=np.float64)
    generated = np.asarray(labels, dtype=np.int64) == 1
    positives, negatives = int(generated.sum()), int((~generated).sum())
    if not positives or not negatives:
        raise ValueError("calibration needs held-out images of both classes")
    target = np.where(generated, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weight = np.where(generated, 0.5 / positives, 0.5 / negatives) * len(x)
    # each image counts as generated by its target, and as real by the rest
    model = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000)
    model.fit(
        np.concatenate([x, x])[:, None],
        np.concatenate([np.ones_like(x), np.zeros_like(x)]),
        sample_weight=np.concatenate([weight * target, weight * (1 - target)]),
    )
    return Calibration(
        # a detector that ranks backwards must not have its scores turned round in silence
        slope=max(float(model.coef_[0, 0]), 1e-6),
        intercept=float(model.intercept_[0]),
        real_count=negatives,
        generated_count=positives,
        real_logits=_thinned(x[~generated].tolist(), math.ceil),
        generated_logits=_thinned(x[generated].tolist(), math.floor),
    )


def _thinned(logits: Sequence[float], rounded: Callable[[float], int]) -> tuple[float, ...]:
    """Sorted logits to four digits, at most ``CURVE_POINTS`` of them, the extremes always kept.

    Rounded away from the other class: a threshold must not fall short of the very image that it was set at.
    """
    values = sorted(logits)
    if len(values) > CURVE_POINTS:
        last = len(values) - 1
        values = [values[round(i * last / (CURVE_POINTS - 1))] for i in range(CURVE_POINTS)]
    return tuple(rounded(value * 10_000) / 10_000 for value in values)


def _sigmoid(x: float) -> float:
    # the form that cannot overflow
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
