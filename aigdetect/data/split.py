"""Hold out some images of every generator for validation, the same ones on every machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError


def split_by_generator(
    samples: Iterable[Sample], *, fraction: float = 0.2, seed: int = 0
) -> tuple[list[Sample], list[Sample]]:
    """Split images into training and validation within each generator and class.

    An image's side depends on the seed and on names within the data set only: not on the order of the input,
    nor on where the data set lies. Images are told apart by path; that no image comes under two of them is
    the work of `aigdetect.data.contents`.

    Args:
        samples: images, as `aigdetect.data.layouts.find_samples` gives them.
        fraction: share of every group that is held out, 0 to 1, both excluded. A group of two images or more
            gives at least one and keeps at least one; a single image is trained on.
        seed: another seed holds out other images.

    Returns:
        ``(training, validation)``, each sorted by generator, class and `shuffle_key`.

    Raises:
        UsageError: ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"the validation fraction must lie between 0 and 1, it is {fraction}")
    groups: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.generator, sample.label].append(sample)
    training: list[Sample] = []
    validation: list[Sample] = []
    for _, group in sorted(groups.items()):
        group.sort(key=lambda sample: (shuffle_key(sample, seed=seed), sample.path))
        held_out = _held_out(len(group), fraction)
        validation += group[:held_out]
        training += group[held_out:]
    return training, validation


def shuffle_key(sample: Sample, *, seed: int = 0) -> bytes:
    """Sixteen bytes to sort by: a random order that the seed and the path within the data set fix."""
    # surrogatepass: a name that is not text holds lone surrogates
    text = f"{seed}\0{sample.key}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).digest()


def _held_out(count: int, fraction: float) -> int:
    nearest = int(count * fraction + 0.5)
    return min(max(nearest, 1), count - 1)
