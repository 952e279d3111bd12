"""From labelled samples to views, decoded in threads and in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, tee
from pathlib import Path
from typing import TypeVar

import numpy as np

from aigdetect.data.augment import Augmentation, training_view
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError, ImageError
from aigdetect.images.decode import decode, require_scorable
from aigdetect.images.views import Pixels, take_views

T = TypeVar("T")
R = TypeVar("R")

#: a data set with a larger share of unreadable images is refused
UNREADABLE_SHARE = 0.05


@dataclass
class Unreadable:
    """Images that could not be read, with the reason; counted against a share.

    Attributes:
        total: images in the data set.
        reasons: reason by path.
    """

    total: int
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, reason: str) -> bool:
        """Note one image.

        Returns:
            whether it is new.

        Raises:
            DataError: if the data set is too damaged to train on.
        """
        if path in self.reasons:
            return False
        self.reasons[path] = reason
        if len(self.reasons) > max(1, UNREADABLE_SHARE * self.total):
            raise DataError(
                f"more than {UNREADABLE_SHARE:.0%} of {self.total} images cannot be read, the last one "
                f"{path} ({reason}); repair the data set"
            )
        return True


@dataclass(frozen=True)
class Reading:
    """Reads the images of one set in threads; each that cannot be read is named once, counted and left out.

    Attributes:
        what: what the images are for, in a word.
        unreadable: those that could not be read.
        workers: threads.
        warn: told of each that cannot be read.
    """

    what: str
    unreadable: Unreadable
    workers: int
    warn: Callable[[str], None]

    @classmethod
    def of(cls, what: str, samples: Sequence[Sample], workers: int, warn: Callable[[str], None]) -> Reading:
        """Reads a set of which nothing has been read yet."""
        return cls(what, Unreadable(len(samples)), workers, warn)

    def each(self, function: Callable[[Sample], R], samples: Iterable[Sample]) -> Iterator[R | None]:
        """What ``function`` makes of each sample, in order; None where the image cannot be read.

        Raises:
            DataError: if too many cannot be read.
        """
        ahead, samples = tee(samples)
        results = map_ordered(function, ahead, workers=self.workers)
        for sample, result in zip(samples, results, strict=True):
            if not isinstance(result, ImageError):
                yield result
                continue
            if self.unreadable.add(sample.path, str(result)):
                self.warn(f"{self.what} image left out: {sample.path}: {result}")
            yield None


def load_pixels(sample: Sample) -> Pixels:
    """Decode the image of a sample to ``(H, W, 3)`` uint8.

    Raises:
        ImageError: if it cannot be read or is too small to score.
    """
    try:
        data = Path(sample.path).read_bytes()
    except OSError as error:
        raise ImageError(error.strerror or "cannot be read") from error
    decoded = decode(data)
    require_scorable(decoded)
    return decoded.pixels


def training_views(
    sample: Sample,
    copies: Sequence[int],
    *,
    size: int,
    augmentation: Augmentation,
    seed: int,
    views: Sequence[str] = ("center_crop",),
) -> list[Pixels]:
    """Random views of one image, which depend on the seed, the image's place and the copy's number alone.

    The copies stand for the ``views`` of a scan in turn.
    """
    pixels = load_pixels(sample)
    entropy = int.from_bytes(shuffle_key(sample, seed=seed), "little")
    return [
        training_view(
            pixels, size, augmentation, np.random.default_rng([entropy, copy]), views[copy % len(views)]
        )
        for copy in copies
    ]


def validation_views(sample: Sample, *, size: int, views: Sequence[str] = ("center_crop",)) -> Pixels:
    """The views that a scan would take of the image, ``(V, size, size, 3)`` uint8."""
    return take_views(load_pixels(sample), views, size)


def map_ordered(function: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R | ImageError]:
    """Apply ``function`` in threads; results come in the order of ``items``, few at a time.

    An :class:`ImageError` comes out in place of the result; any other exception is raised.
    """

    def guarded(item: T) -> R | ImageError:
        try:
            return function(item)
        except ImageError as error:
            return error

    pool = ThreadPoolExecutor(workers)
    try:
        iterator = iter(items)
        running = [pool.submit(guarded, item) for item in islice(iterator, 2 * workers)]
        while running:
            yield running.pop(0).result()
            running += [pool.submit(guarded, item) for item in islice(iterator, 1)]
    finally:
        # an interrupt must not wait for what nobody asks for any more
        pool.shutdown(wait=False, cancel_futures=True)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Runs of ``size`` items, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):  # itertools.batched came with Python 3.12
        yield batch
