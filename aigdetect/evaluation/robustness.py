"""The robustness suite as data, and what a detector's scores say after each of its operations.

Operations work on whole images, those of both classes alike, before the model takes its view of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aigdetect.errors import UsageError
from aigdetect.images import perturb
from aigdetect.images.views import Pixels
from aigdetect.metrics.bootstrap import LEAST, RESAMPLES, Distribution, bootstrap
from aigdetect.metrics.measure import (
    Figure,
    Floats,
    Ints,
    checked,
    unrankable,
)
from aigdetect.metrics.ranking import AVERAGE_PRECISION
from aigdetect.metrics.rates import accuracy, false_positive_rate

Bools = NDArray[np.bool_]

CLEAN = "clean"
"""What a summary calls the images as they are."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation at one level.

    Attributes:
        name: a key of `SUITE`.
        level: sigma, quality, factor or share; see the operation in `aigdetect.images.perturb`.
        apply: ``(H, W, 3)`` uint8 pixels to ``(H', W', 3)`` uint8 pixels, the same every time.
    """

    name: str
    level: float
    apply: Callable[[Pixels], Pixels]

    def __str__(self) -> str:
        """Name and level as `parse_operations` takes them: ``"blur:2"``."""
        return f"{self.name}:{self.level:g}"


@dataclass(frozen=True, slots=True)
class Kind:
    """An operation of the suite.

    Attributes:
        title: what it does and what its levels are, for a legend.
        levels: those of the suite, from weak to strong.
        low: lowest level that may be asked for.
        high: the highest.
        at: the operation at a level.
        whole: whether levels are whole numbers.
    """

    title: str
    levels: tuple[float, ...]
    low: float
    high: float
    at: Callable[[float], Callable[[Pixels], Pixels]]
    whole: bool = False


_FIRST_QUALITY = 90  # of the JPEG that is encoded a second time
_SHARED_QUALITY = 85  # of a screenshot that is passed on as a JPEG

SUITE: dict[str, Kind] = {
    "blur": Kind(
        "Gaussian blur, sigma in pixels",
        (1, 2, 3, 4),
        *(0.1, 64),
        lambda level: partial(perturb.gaussian_blur, sigma=level),
    ),
    "jpeg": Kind(
        "JPEG, quality (libjpeg, 4:2:0)",
        (90, 80, 70, 60, 50, 40, 30),
        *(1, 100),
        lambda level: partial(perturb.jpeg, quality=int(level)),
        whole=True,
    ),
    "webp": Kind(
        "lossy WebP, quality",
        (90, 75, 50, 30),
        *(1, 100),
        lambda level: partial(perturb.webp, quality=int(level)),
        whole=True,
    ),
    "resize": Kind(
        "resized by a factor and back, bicubic",
        (0.75, 0.5, 0.25),
        *(0.01, 4),
        lambda level: partial(perturb.resize_back, factor=level),
    ),
    "noise": Kind(
        "Gaussian noise, sigma in grey levels",
        (2, 5, 10),
        *(0.1, 128),
        lambda level: partial(perturb.gaussian_noise, sigma=level),
    ),
    "crop": Kind(
        "crop at a random place, share of each side kept",
        (0.9, 0.75, 0.5),
        *(0.01, 1),
        lambda level: partial(perturb.random_crop, share=level),
    ),
    "double-jpeg": Kind(
        f"JPEG of quality {_FIRST_QUALITY}, then again on a grid 4 pixels off, quality of the second",
        (90, 75, 50),
        *(1, 100),
        lambda level: partial(perturb.double_jpeg, first=_FIRST_QUALITY, second=int(level)),
        whole=True,
    ),
    "screenshot": Kind(
        "screenshot at a factor of the size, bilinear, saved as PNG",
        (1.25, 0.75, 0.5),
        *(0.01, 4),
        lambda level: partial(perturb.screenshot, factor=level),
    ),
    "screenshot-jpeg": Kind(
        f"screenshot at a factor of the size, bilinear, saved as JPEG of quality {_SHARED_QUALITY}",
        (1.25, 0.75, 0.5),
        *(0.01, 4),
        lambda level: partial(perturb.screenshot, factor=level, quality=_SHARED_QUALITY),
    ),
}
"""The operations by name. Blur and JPEG are those of the paper's figure 4."""


def parse_operations(text: str) -> tuple[Operation, ...]:
    """Read what follows ``--robustness``: ``all``, or names and single levels: ``blur,jpeg:50,jpeg:65``.

    A name alone stands for all its levels in the suite. Each operation comes once, in the order of the text.

    Raises:
        UsageError: in one line, if a name is unknown or a level cannot be used.
    """
    found: dict[str, Operation] = {}
    for part in SUITE if text.strip() == "all" else text.split(","):
        name, colon, level = part.strip().partition(":")
        if name not in SUITE:
            known = ", ".join(SUITE)
            raise UsageError(f"--robustness: {name!r} is not one of: all, {known}")
        levels = [_level(name, level)] if colon else SUITE[name].levels
        for value in levels:
            operation = Operation(name, value, SUITE[name].at(value))
            found.setdefault(str(operation), operation)
    return tuple(found.values())


def _level(name: str, text: str) -> float:
    kind = SUITE[name]
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"--robustness: {name}:{text}: {text!r} is not a number") from None
    if not kind.low <= value <= kind.high:
        raise UsageError(f"--robustness: {name}:{text} is not in {kind.low:g}..{kind.high:g}")
    if kind.whole and not value.is_integer():
        raise UsageError(f"--robustness: {name}:{text} is not a whole number")
    return value


# -- summary ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LevelSummary:
    """What an operation did to a detector.

    Attributes:
        name: of the operation; `CLEAN` for the images as they are.
        level: of the operation; 0 for clean.
        average_precision: by group of images, such as a family, in the order given.
        accuracy: by group, at the clean threshold.
        false_positive_rate: of all real images, at the clean threshold, with Wilson's interval.
        drift: that rate less the rate on the same images as they are, -1 to 1, with a paired interval.
    """

    name: str
    level: float
    average_precision: Mapping[str, Figure]
    accuracy: Mapping[str, Figure]
    false_positive_rate: Figure
    drift: Figure


def summarise(
    labels: ArrayLike,
    clean: ArrayLike,
    perturbed: Sequence[tuple[Operation, ArrayLike]],
    *,
    groups: Mapping[str, Bools],
    threshold: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[LevelSummary, ...]:
    """Summarise the scores of the same images under every operation, the clean ones first.

    Args:
        labels: ``(n,)``, 1 for generated, 0 for real.
        clean: scores ``(n,)`` of the images as they are.
        perturbed: operations, each with the scores ``(n,)`` of the same images, in the same order, after it.
        groups: which images belong to a group, ``(n,)`` bool by its name: the generated images of a family,
            and the real ones that they are compared with.
        threshold: an image is called ``ai`` above it; chosen without the perturbed scores.
        resamples: behind each interval; 0 for no intervals.
        seed: of the resamples.

    Returns:
        the clean images, then one summary per operation in their order.

    Raises:
        ValueError: if labels are other than 0 and 1, or arrays do not fit each other.
    """
    whole, before = checked(labels, clean)

    def summary(name: str, level: float, scores: ArrayLike) -> LevelSummary:
        _, after = checked(whole, scores)
        precision, right = {}, {}
        for group, members in groups.items():
            precision[group], right[group] = bootstrap(
                whole[members],
                after[members],
                [AVERAGE_PRECISION, accuracy(threshold)],
                resamples=resamples,
                seed=seed,
            )
        rate = false_positive_rate(whole, after, threshold)
        drift = _drift(whole, before, after, threshold, resamples, seed)
        return LevelSummary(name, level, precision, right, rate, drift)

    rest = (summary(operation.name, operation.level, scores) for operation, scores in perturbed)
    return (summary(CLEAN, 0, before), *rest)


def _drift(
    labels: Ints, before: Floats, after: Floats, threshold: float, resamples: int, seed: int
) -> Figure:
    real = labels == 0
    if not real.any():
        return Figure(None, reason="no real images")
    if reason := unrankable(before[real]) or unrankable(after[real]):
        return Figure(None, reason=reason)
    once, now = before[real] > threshold, after[real] > threshold
    count = len(now)
    more, fewer = int((now & ~once).sum()), int((once & ~now).sum())
    still = "" if more or fewer else f"none of {count} real images changed sides"
    figure = Figure((more - fewer) / count, reason=still)
    if not resamples:
        return figure
    if count < LEAST:
        return Figure(figure.value, reason=f"no interval: under {LEAST} real images")
    # resampling the real images comes to this: each one rose above the threshold, fell below it, or stayed
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.array([more, fewer, count - more - fewer]) / count, size=resamples)
    return Distribution(figure, (drawn[:, 0] - drawn[:, 1]) / count).figure()
