"""Ask before any training or scoring whether the container alone gives the class away.

A detector trained on JPEGs against PNGs learns the format (arXiv 2403.17608), so each such fact is measured
as if it were a detector of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from sklearn.metrics import roc_auc_score

from aigdetect.data.facts import ImageFacts, choose_some, read_facts
from aigdetect.data.layouts import Sample

_T = TypeVar("_T", str, float)

WARN_AUC = 0.7
"""From this AUC on, a fact is warned of."""

LEAST = 10
"""With fewer images of a class that have a fact, no figure is given."""


@dataclass(frozen=True, slots=True)
class Leak:
    """How well one fact alone tells the classes apart; ``str(leak)`` is one readable line.

    Attributes:
        fact: ``"format"``, ``"width"``...
        auc: area under the ROC curve of the better direction, 0.5 (nothing) to 1 (perfectly).
        detail: what is common in each class.
        count: images that have the fact: of the JPEG quality, the JPEGs.
        marks_pixels: whether the fact leaves traces in the pixels; metadata does not, but tells of sources
            that differ.
    """

    fact: str
    auc: float
    detail: str
    count: int
    marks_pixels: bool = True

    @property
    def warns(self) -> bool:
        """Whether the fact tells the classes apart: ``auc`` of at least ``WARN_AUC``."""
        return self.auc >= WARN_AUC

    def __str__(self) -> str:
        """The fact, its AUC and what is common in each class."""
        return f"{self.fact} alone separates the classes with AUC {self.auc:.2f}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Audit:
    """Leaks of a data set, the worst first, with the numbers of files behind them."""

    leaks: tuple[Leak, ...]
    examined: int
    unreadable: int

    @property
    def warnings(self) -> tuple[Leak, ...]:
        """The leaks that a detector could live on."""
        return tuple(leak for leak in self.leaks if leak.warns and leak.marks_pixels)


def audit(samples: Iterable[Sample], *, per_class: int = 2000, seed: int = 0) -> Audit:
    """Read the headers of some images of each class and measure what they give away.

    Args:
        samples: labelled images.
        per_class: headers read per class at most; a random choice that ``seed`` fixes.
        seed: see `aigdetect.data.split.shuffle_key`.

    Returns:
        The leaks; none if a class has under ``LEAST`` readable images.
    """
    read = [read_facts(sample) for sample in choose_some(samples, per_class=per_class, seed=seed)]
    facts = [fact for fact in read if fact is not None]
    return Audit(measure_leaks(facts), examined=len(facts), unreadable=len(read) - len(facts))


def measure_leaks(facts: Sequence[ImageFacts]) -> tuple[Leak, ...]:
    """Measure for every fact how well it alone tells the classes apart.

    Numbers are ranked. Of a format, and of an exact size (a generator's may be fixed while photographs spread
    to both sides of it), the share of generated images is the score; rare sizes count as one.

    Args:
        facts: of images of both classes.

    Returns:
        The leaks, the worst first; without a fact that under ``LEAST`` images of a class have.
    """
    leaks = [_category_leak(fact, of, facts) for fact, of in _CATEGORIES.items()]
    leaks += [_number_leak(fact, of, facts) for fact, of in _NUMBERS.items()]
    return tuple(sorted((leak for leak in leaks if leak), key=lambda leak: -leak.auc))


def common_sizes(facts: Sequence[ImageFacts]) -> list[str]:
    """Size of each image, such as ``"512x512"``; ``"other"`` where a size is rare.

    Sizes that occur once or twice would tell the classes apart by chance.
    """
    values = [f"{each.width}x{each.height}" for each in facts]
    totals = Counter(values)
    least = max(LEAST, len(values) // 50)
    return [value if totals[value] >= least else "other" for value in values]


_CATEGORIES: dict[str, Callable[[Sequence[ImageFacts]], list[str]]] = {
    "format": lambda facts: [each.format for each in facts],
    "exact size": common_sizes,
    "EXIF": lambda facts: ["with" if each.exif else "without" for each in facts],
}
_METADATA = frozenset({"EXIF"})
_NUMBERS: dict[str, Callable[[ImageFacts], float | None]] = {
    "width": lambda each: each.width,
    "height": lambda each: each.height,
    "aspect ratio": lambda each: each.width / each.height,
    "bytes per pixel": lambda each: each.bytes_per_pixel,
    "JPEG quality": lambda each: each.jpeg_quality,
}


def _category_leak(
    fact: str, of: Callable[[Sequence[ImageFacts]], list[str]], facts: Sequence[ImageFacts]
) -> Leak | None:
    values, labels = of(facts), [each.label for each in facts]
    totals = Counter(values)
    generated = Counter(value for value, label in zip(values, labels, strict=True) if label)
    shares = [generated[value] / totals[value] for value in values]
    return _leak(fact, labels, shares, values, _commonest)


def _number_leak(
    fact: str, of: Callable[[ImageFacts], float | None], facts: Sequence[ImageFacts]
) -> Leak | None:
    known = [(each.label, value) for each in facts if (value := of(each)) is not None]
    labels, values = [label for label, _ in known], [value for _, value in known]
    return _leak(fact, labels, values, values, _spread)


def _leak(
    fact: str,
    labels: Sequence[int],
    scores: Sequence[float],
    values: Sequence[_T],
    told: Callable[[Sequence[_T]], str],
) -> Leak | None:
    real, generated = (
        [v for v, label in zip(values, labels, strict=True) if label == which] for which in (0, 1)
    )
    if min(len(real), len(generated)) < LEAST:
        return None
    auc = float(roc_auc_score(labels, scores))
    detail = f"real {told(real)}; generated {told(generated)}"
    return Leak(fact, max(auc, 1 - auc), detail, len(labels), fact not in _METADATA)


def _commonest(values: Sequence[str]) -> str:
    # By count, then by name, so that equal counts are told in one order.
    most = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{value} {100 * count / len(values):.0f} %" for value, count in most)


def _spread(values: Sequence[float]) -> str:
    low, median, high = np.percentile(values, [10, 50, 90])
    return f"{median:.4g} (mostly {low:.4g} to {high:.4g})"
