"""What the files alone tell about the classes of a data set, before any score, and the same after parity.

Parity crops and re-encodes both classes alike, so that format, quality and size say nothing any more. It
cannot undo what was done to the images before, and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from aigdetect.data.audit import LEAST, WARN_AUC, Leak, common_sizes, measure_leaks
from aigdetect.data.dataset import load_pixels, map_ordered
from aigdetect.data.facts import ImageFacts, choose_some, facts_of, read_facts
from aigdetect.data.layouts import Sample
from aigdetect.errors import ImageError, UsageError
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.perturb import encode_jpeg, encode_webp, jpeg, webp
from aigdetect.images.views import Pixels, center_view
from aigdetect.metrics.measure import Figure, Floats

SIZES_TOLD = 3
"""Sizes that are told of a class, the commonest."""

_FOLDS = 5
_ENCODERS = {"jpeg": (encode_jpeg, jpeg), "webp": (encode_webp, webp)}
# as nearly all programs write them
_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "HEIF", "AVIF", "JXL", "JPEG2000"})


@dataclass(frozen=True, slots=True)
class Share:
    """A value and the share of a class's images that have it, 0 to 1: ``Share("JPEG", 0.81)``."""

    value: str
    share: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How a number is spread in a class.

    Attributes:
        low: 10th percentile.
        median: 50th.
        high: 90th.
        count: images that have the number.
    """

    low: float
    median: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What the files of one class are.

    Attributes:
        label: 1 for generated, 0 for real.
        images: how many were read, at least 1.
        formats: container formats, the commonest first.
        sizes: the commonest sizes, such as ``"512x512"``, at most `SIZES_TOLD`.
        qualities: JPEG qualities, 1 to 100; None without JPEGs.
        widths: in pixels.
        heights: in pixels.
        aspects: width over height.
        bytes_per_pixel: size of the file by its pixels.
        exif: share of images with an EXIF block, 0 to 1.
    """

    label: int
    images: int
    formats: tuple[Share, ...]
    sizes: tuple[Share, ...]
    qualities: Spread | None
    widths: Spread
    heights: Spread
    aspects: Spread
    bytes_per_pixel: Spread
    exif: float


@dataclass(frozen=True, slots=True)
class BiasAudit:
    """What the files alone tell about the classes.

    Attributes:
        classes: of every class with a readable image, real first.
        leaks: how well each fact alone tells the classes apart, the worst first.
        combined: ROC AUC of a logistic model on all facts, on images that it was not fitted to; no interval.
        unreadable: images that could not be read.
        parity: what was done to both classes first, such as ``"jpeg:90"``; empty if nothing.
        traps: what may tell the classes apart in spite of parity, one sentence each.
    """

    classes: tuple[ClassFacts, ...]
    leaks: tuple[Leak, ...]
    combined: Figure
    unreadable: int
    parity: str = ""
    traps: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for every fact with an AUC of at least ``WARN_AUC``, the worst first, and one for all."""
        found = [str(leak) for leak in self.leaks if leak.warns]
        if self.combined.value is not None and self.combined.value >= WARN_AUC:
            found.append(
                f"all facts of the files together separate the classes with AUC {self.combined.value:.2f}"
            )
        return tuple(f"after {self.parity}, {line}" if self.parity else line for line in found)


@dataclass(frozen=True, slots=True)
class Parity:
    """Centre crop and re-encoding in memory, alike for both classes: ``parity(pixels)``.

    Attributes:
        codec: ``"jpeg"`` or ``"webp"``.
        quality: of the encoder, 1 to 100.
        size: side of the square crop in pixels.
    """

    codec: str
    quality: int
    size: int

    def __call__(self, pixels: Pixels) -> Pixels:
        """Crop, encode and decode.

        Args:
            pixels: ``(H, W, 3)`` uint8 sRGB; smaller images than the crop are enlarged, as for a model.

        Returns:
            ``(size, size, 3)`` uint8.
        """
        return _ENCODERS[self.codec][1](center_view(pixels, self.size), self.quality)

    def encode(self, pixels: Pixels) -> bytes:
        """The file that `__call__` decodes."""
        return _ENCODERS[self.codec][0](center_view(pixels, self.size), self.quality)

    def __str__(self) -> str:
        """As `parse_parity` takes it: ``"jpeg:90"``."""
        return f"{self.codec}:{self.quality}"


def parse_parity(text: str, *, size: int = 224) -> Parity:
    """Read what follows ``--parity``: ``jpeg:90``, ``webp:75``.

    Args:
        text: codec and quality.
        size: side of the crop in pixels: that of the model's view.

    Raises:
        UsageError: in one line, if the codec is unknown or the quality no whole number from 1 to 100.
    """
    codec, _, quality = text.partition(":")
    if codec not in _ENCODERS:
        raise UsageError(f"--parity: {text!r} is not jpeg:QUALITY or webp:QUALITY, such as jpeg:90")
    if not (quality.isascii() and quality.isdigit() and 1 <= int(quality) <= 100):
        raise UsageError(f"--parity: {text!r} has no quality from 1 to 100, such as {codec}:90")
    return Parity(codec, int(quality), size)


def audit_bias(
    samples: Iterable[Sample],
    *,
    parity: Parity | None = None,
    per_class: int = 2000,
    seed: int = 0,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
) -> BiasAudit:
    """Read some images of each class and measure what their files give away.

    Args:
        samples: labelled images.
        parity: describe the images after this, which decodes them; without it only headers are read.
        per_class: images read per class at most.
        seed: fixes which ones; see `aigdetect.data.facts.choose_some`.
        workers: threads that decode.
        max_pixels: images of more pixels are not decoded.
    """
    chosen = choose_some(samples, per_class=per_class, seed=seed)
    stored = [read_facts(sample) for sample in chosen]
    if parity is None:
        return _audit(stored)
    after = map_ordered(partial(_facts_after, parity=parity, max_pixels=max_pixels), chosen, workers=workers)
    known = [None if isinstance(each, ImageError) else each for each in after]
    # headers alone would also count images that cannot be decoded
    before = [facts for facts, then in zip(stored, known, strict=True) if facts and then]
    return _audit(known, str(parity), _traps(before, parity))


def _facts_after(sample: Sample, *, parity: Parity, max_pixels: int) -> ImageFacts | None:
    return facts_of(parity.encode(load_pixels(sample, max_pixels=max_pixels)), sample.label)


def _audit(read: Sequence[ImageFacts | None], parity: str = "", traps: tuple[str, ...] = ()) -> BiasAudit:
    facts = [each for each in read if each is not None]
    by_class = [[each for each in facts if each.label == label] for label in (0, 1)]
    return BiasAudit(
        classes=tuple(_class_facts(some) for some in by_class if some),
        leaks=measure_leaks(facts),
        combined=combined_auc(facts),
        unreadable=len(read) - len(facts),
        parity=parity,
        traps=traps,
    )


def _class_facts(facts: Sequence[ImageFacts]) -> ClassFacts:
    qualities = [each.jpeg_quality for each in facts if each.jpeg_quality is not None]
    return ClassFacts(
        label=facts[0].label,
        images=len(facts),
        formats=_shares([each.format for each in facts]),
        sizes=_shares([f"{each.width}x{each.height}" for each in facts])[:SIZES_TOLD],
        qualities=_spread(qualities) if qualities else None,
        widths=_spread([each.width for each in facts]),
        heights=_spread([each.height for each in facts]),
        aspects=_spread([each.width / each.height for each in facts]),
        bytes_per_pixel=_spread([each.bytes_per_pixel for each in facts]),
        exif=sum(each.exif for each in facts) / len(facts),
    )


def _shares(values: Sequence[str]) -> tuple[Share, ...]:
    # by count, then by name, so that equal counts are told in one order
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(value, count / len(values)) for value, count in counts)


def _spread(values: Sequence[float]) -> Spread:
    low, median, high = np.percentile(values, [10, 50, 90]).tolist()
    return Spread(low, median, high, len(values))


def combined_auc(facts: Sequence[ImageFacts]) -> Figure:
    """ROC AUC of a logistic model of all facts of the files, the mean over folds left out of the fit.

    Args:
        facts: of images of both classes.

    Returns:
        0 to 1, about 0.5 if the facts tell nothing; no value with under ``LEAST`` images of a class.
    """
    labels = np.array([each.label for each in facts], dtype=np.int64)
    for label, name in enumerate(("real", "generated")):
        if (labels == label).sum() < LEAST:
            return Figure(None, reason=f"under {LEAST} {name} images")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    areas = cross_val_score(model, _features(facts), labels, cv=folds, scoring="roc_auc")
    return Figure(float(areas.mean()))


def _features(facts: Sequence[ImageFacts]) -> Floats:
    """All facts as numbers, ``(n, k)``; none of them knows of the labels."""
    numbers = np.array(
        [
            [
                np.log(each.width),
                np.log(each.height),
                abs(np.log(each.width / each.height)),
                np.log(each.bytes_per_pixel),
                each.jpeg_quality or 0,  # which images have one is told by the format
                each.exif,
            ]
            for each in facts
        ],
        dtype=np.float64,
    )
    categories = [[each.format for each in facts], common_sizes(facts)]
    is_value = [np.array([[v == value for value in sorted(set(some))] for v in some]) for some in categories]
    return np.hstack([numbers, *is_value])


def _traps(before: Sequence[ImageFacts], parity: Parity) -> tuple[str, ...]:
    small = _shared(before, [min(each.width, each.height) < parity.size for each in before])
    lossy = _shared(before, [each.format in _LOSSY for each in before])
    traps = []
    if lossy:
        traps.append(f"{lossy} came in a lossy format: encoded twice now, they keep traces of the first time")
    if small:
        traps.append(f"{small} were smaller than {parity.size} pixels and have been enlarged")
    traps.append("what the images show, and what was done to them before they were saved, is as it was")
    return tuple(traps)


def _shared(facts: Sequence[ImageFacts], holds: Sequence[bool]) -> str:
    """For how many of each class something holds, in words; empty if for none."""
    if not any(holds):
        return ""
    told = []
    for label, name in enumerate(("real", "generated")):
        ours = [held for each, held in zip(facts, holds, strict=True) if each.label == label]
        if ours:
            told.append(f"{100 * sum(ours) / len(ours):.0f} % of the {name} images")
    return " and ".join(told)
