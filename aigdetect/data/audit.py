"""Ask before training whether the container alone gives the class away: format, size, compression.

A detector trained on JPEGs against PNGs learns the format (arXiv 2403.17608), so each such fact is measured
as if it were a detector of its own.
"""

from __future__ import annotations

import heapq
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

import aigdetect.images.decode  # noqa: F401 - teaches Pillow HEIC and JPEG XL
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.images.jpeg import jpeg_quality

_T = TypeVar("_T", str, float)

WARN_AUC = 0.7
LEAST = 10  # images of a class under which no figure is given

# What Pillow and its plugins let out on malformed or enormous headers.
_MALFORMED = (
    *(OSError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, MemoryError, RuntimeError),
    *(struct.error, Image.DecompressionBombError),
)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a header tells about one image.

    Attributes:
        label: 1 for AI-generated, 0 for real.
        format: container format by content (``"JPEG"``, ``"PNG"``...).
        width: in pixels, as stored.
        height: in pixels, as stored.
        bytes_per_pixel: size of the file by its pixels.
        jpeg_quality: 1 to 100 on the scale of libjpeg, None if it is no JPEG.
    """

    label: int
    format: str
    width: int
    height: int
    bytes_per_pixel: float
    jpeg_quality: int | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """How well one fact alone tells the classes apart; ``str(leak)`` is one readable line.

    Attributes:
        fact: ``"format"``, ``"width"``...
        auc: area under the ROC curve of the better direction, 0.5 (nothing) to 1 (perfectly).
        detail: what is common in each class.
    """

    fact: str
    auc: float
    detail: str

    @property
    def warns(self) -> bool:
        """Whether a detector could live on this fact: ``auc`` of at least ``WARN_AUC``."""
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
        """The leaks that a user should hear of."""
        return tuple(leak for leak in self.leaks if leak.warns)


def audit(samples: Iterable[Sample], *, per_class: int = 2000, seed: int = 0) -> Audit:
    """Read the headers of some images of each class and measure what they give away.

    Args:
        samples: labelled images.
        per_class: headers read per class at most; a random choice that ``seed`` fixes.
        seed: see `aigdetect.data.split.shuffle_key`.

    Returns:
        The leaks; none if a class has under ``LEAST`` readable images.
    """
    samples = tuple(samples)
    chosen = [sample for label in (0, 1) for sample in _some(samples, label, per_class, seed)]
    read = [read_facts(sample) for sample in chosen]
    facts = [fact for fact in read if fact is not None]
    return Audit(measure_leaks(facts), examined=len(facts), unreadable=len(read) - len(facts))


def read_facts(sample: Sample) -> ImageFacts | None:
    """Read one image's header, without its pixels; None if that fails."""
    try:
        size = Path(sample.path).stat().st_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large images and odd metadata are no matter here
            with Image.open(sample.path) as image:
                width, height = image.size
                tables = getattr(image, "quantization", None) or {}
                quality = jpeg_quality(tables[0]) if 0 in tables else None
                form = image.format or ""
    except _MALFORMED:
        return None
    if width < 1 or height < 1:
        return None
    return ImageFacts(sample.label, form, width, height, size / (width * height), quality)


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


_CATEGORIES: dict[str, Callable[[Sequence[ImageFacts]], list[str]]] = {
    "format": lambda facts: [each.format for each in facts],
    "exact size": lambda facts: _rare_as_other([f"{each.width}x{each.height}" for each in facts]),
}
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
    return Leak(fact, max(auc, 1 - auc), f"real {told(real)}; generated {told(generated)}")


def _rare_as_other(values: Sequence[str]) -> list[str]:
    # Sizes that occur once or twice would tell the classes apart by chance.
    totals = Counter(values)
    least = max(LEAST, len(values) // 50)
    return [value if totals[value] >= least else "other" for value in values]


def _commonest(values: Sequence[str]) -> str:
    # By count, then by name, so that equal counts are told in one order.
    most = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{value} {100 * count / len(values):.0f} %" for value, count in most)


def _spread(values: Sequence[float]) -> str:
    low, median, high = np.percentile(values, [10, 50, 90])
    return f"{median:.4g} (mostly {low:.4g} to {high:.4g})"


def _some(samples: Iterable[Sample], label: int, count: int, seed: int) -> list[Sample]:
    ours = (sample for sample in samples if sample.label == label)
    return heapq.nsmallest(count, ours, key=lambda sample: (shuffle_key(sample, seed=seed), sample.path))
