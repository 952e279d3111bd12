"""From labelled samples to views, decoded in threads and in a fixed order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, tee
from typing import TypeVar

from aigdetect.data.augment import Augmentation, training_views
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, ImageError
from aigdetect.images.decode import decode, require_scorable
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.read import read_bytes, why_failed
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
        news: those that other processes have not been told of.
    """

    total: int
    reasons: dict[str, str] = field(default_factory=dict)
    news: list[tuple[str, str]] = field(default_factory=list)

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
        self.news.append((path, reason))
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
        return self.each_with(lambda sample, _: function(sample), ((sample, None) for sample in samples))

    def each_with(
        self, function: Callable[[Sample, T], R], wanted: Iterable[tuple[Sample, T]]
    ) -> Iterator[R | None]:
        """The same with a second argument for each sample.

        Raises:
            DataError: see :meth:`each`.
        """
        ahead, wanted = tee(wanted)
        results = map_ordered(lambda item: function(*item), ahead, workers=self.workers)
        for (sample, _), result in zip(wanted, results, strict=True):
            if not isinstance(result, ImageError):
                yield result
                continue
            self._leave_out(sample.path, why_failed(result))
            yield None

    def share(self, texts_of_all: Callable[[Sequence[str]], Sequence[str]]) -> None:
        """Take in what other processes, which read other images of the set, could not read, and tell them.

        Args:
            texts_of_all: given texts of this process, returns those of all, the same everywhere.

        Raises:
            DataError: if all of them together could not read too many.
        """
        told = texts_of_all(["\0".join(each) for each in self.unreadable.news])
        for text in told:
            path, _, reason = text.partition("\0")
            self._leave_out(path, reason)
        self.unreadable.news.clear()

    def _leave_out(self, path: str, reason: str) -> None:
        if self.unreadable.add(path, reason):
            self.warn(f"{self.what} image left out: {path}: {reason}")


def load_bytes(sample: Sample) -> bytes:
    """The file of a sample.

    Raises:
        ImageError: if it cannot be read, or is larger than a scan would read.
    """
    try:
        if sample.inside is not None:
            return sample.inside.read()
        return read_bytes(sample.path)
    except OSError as error:
        raise ImageError(error.strerror or "cannot be read") from error


def load_pixels(sample: Sample, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode the image of a sample to ``(H, W, 3)`` uint8.

    Args:
        sample: the image.
        max_pixels: images of more pixels are refused.

    Raises:
        ImageError: if it cannot be read, is too large, or too small to score.
    """
    return _pixels(load_bytes(sample), max_pixels)


def digest(sample: Sample) -> bytes:
    """SHA-256 of the file of a sample, 32 bytes.

    Raises:
        ImageError: if it cannot be read.
    """
    return hashlib.sha256(load_bytes(sample)).digest()


def copies_of_views(
    sample: Sample,
    copies: Sequence[int | None],
    *,
    size: int,
    augmentation: Augmentation,
    seed: int,
    views: Sequence[str] = ("center_crop",),
    max_pixels: int = MAX_PIXELS,
    content: bytes | None = None,
) -> list[Pixels]:
    """Copies of one image, each through all views; they depend on seed, content and number alone.

    Args:
        sample: the image.
        copies: numbers of augmented copies; None for the image as it is, through the views of a scan.
        size: side of a view in pixels.
        augmentation: what may happen to augmented copies.
        seed: from 0 on.
        views: names out of :data:`aigdetect.images.views.VIEWS`.
        max_pixels: images of more pixels are refused.
        content: SHA-256 that the file must have, 32 bytes; None for any.

    Returns:
        for each copy ``(V, size, size, 3)`` uint8.

    Raises:
        ImageError: if it cannot be read, has another content, is too large, or too small to score.
    """
    data = load_bytes(sample)
    found = hashlib.sha256(data).digest()
    if content not in (None, found):
        raise ImageError("changed since the run began")
    pixels = _pixels(data, max_pixels)
    number = int.from_bytes(found[:16], "little")
    return [
        take_views(pixels, views, size)
        if copy is None
        else training_views(pixels, size, augmentation, views, [seed, number, copy])
        for copy in copies
    ]


def _pixels(data: bytes, max_pixels: int) -> Pixels:
    decoded = decode(data, max_pixels=max_pixels)
    require_scorable(decoded)
    return decoded.pixels


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
