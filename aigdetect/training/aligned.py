"""Generated images made here: real images through autoencoders, so that content cannot be the cue.

Where a data set has real faces but no generated ones, a detector takes a face for a sign of a real image. Its
own images, given back by a decoder, show every content on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from aigdetect.data.dataset import Reading, load_pixels
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError
from aigdetect.files import fingerprint, write_atomically, writing
from aigdetect.images import perturb
from aigdetect.images.views import Pixels, crop
from aigdetect.training.autoencoder import CROP, crops_used, fit_autoencoder
from aigdetect.training.recipe import UPSAMPLINGS

#: generators of such images are called so, and after the upsampling
PREFIX = "autoencoder_"

#: side of what an autoencoder is given of an image
_SIDE = 256
_CROPS = 2  # to learn from, of each image


@dataclass(frozen=True)
class Aligned:
    """A generated image that was made here.

    Attributes:
        sample: the image, labelled as generated; its generator is ``autoencoder_transposed`` and so on.
        parent: the real image that it was made of.
    """

    sample: Sample
    parent: Sample


def make_aligned(
    samples: Sequence[Sample],
    folder: Path,
    upsamplings: Sequence[str],
    *,
    count: int,
    seed: int,
    reading: Reading,
    stage: Callable[[str, int], None] = lambda name, total: None,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Train one autoencoder for each way of upsampling, and write what it makes of real images.

    The same samples, seed and number of threads give the same images. What is finished is not done again.

    Args:
        samples: training images; the generated ones among them are passed over.
        folder: where the images (PNG) go; made if it is not there.
        upsamplings: out of :data:`aigdetect.training.recipe.UPSAMPLINGS`.
        count: how many real images, drawn uniformly for each way; all of them if there are fewer.
        seed: of the draw, the crops and the autoencoders.
        reading: reads the images; those that cannot be read are left out.
        stage: told that so many crops and images are being used.
        advance: told of those that were.

    Raises:
        DataError: if no real image is large enough to learn from, or too many cannot be read.
        UsageError: if an image cannot be written.
    """
    for upsampling in upsamplings:
        chosen = _drawn(samples, upsampling, count, seed)
        done, asked = folder / f"{upsampling}.done", _asked(chosen, seed)
        if done.exists() and done.read_bytes() == asked:
            continue
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{upsampling}[.-]*"):  # of another order
                left.unlink()
        crops = _crops(chosen, reading, seed=seed)
        if not crops:
            raise DataError(
                f"aligned: no real training image has sides of {CROP} pixels or more to learn from; "
                "leave aligned out"
            )
        stage(f"autoencoder with upsampling by {upsampling}", crops_used())
        network = fit_autoencoder(np.stack(crops), upsampling, seed=seed, advance=advance)
        stage(f"images with upsampling by {upsampling}", len(chosen))
        regions = reading.each(lambda sample: _region(sample, seed), chosen)
        for place, region in enumerate(regions):
            if region is not None:
                path = _path(folder, upsampling, place)
                with writing(path):
                    Image.fromarray(network.reconstruct(region)).save(path, compress_level=1)
            advance(1)
        write_atomically(done, asked)


def list_aligned(
    samples: Sequence[Sample], folder: Path, upsamplings: Sequence[str], *, count: int, seed: int
) -> list[Aligned]:
    """The images that :func:`make_aligned` has written, given the same arguments."""
    return [
        Aligned(Sample(str(path), 1, PREFIX + upsampling, root=str(folder)), parent)
        for upsampling in upsamplings
        for place, parent in enumerate(_drawn(samples, upsampling, count, seed))
        if (path := _path(folder, upsampling, place)).exists()
    ]


def _drawn(samples: Sequence[Sample], upsampling: str, count: int, seed: int) -> list[Sample]:
    seed += UPSAMPLINGS.index(upsampling)
    real = [sample for sample in samples if sample.label == 0]
    return sorted(real, key=lambda sample: (shuffle_key(sample, seed=seed), sample.path))[:count]


def _path(folder: Path, upsampling: str, place: int) -> Path:
    """By place in the draw: images of several data sets may share a name."""
    return folder / f"{upsampling}-{place:06}.png"


def _asked(drawn: Sequence[Sample], seed: int) -> bytes:
    """What images are made of, to know whether those that are there are the ones that are wanted."""
    return "\n".join([str(seed), *(fingerprint(sample.path) for sample in drawn)]).encode("ascii")


def _crops(samples: Sequence[Sample], reading: Reading, *, seed: int) -> list[Pixels]:
    """Square crops to learn from."""
    crops: list[Pixels] = []
    for sample, region in zip(
        samples, reading.each(lambda sample: _region(sample, seed), samples), strict=True
    ):
        if region is not None and min(region.shape[:2]) >= CROP:
            rng = _rng(sample, seed, 1)
            crops += [_random_square(region, CROP, rng) for _ in range(_CROPS)]
    return crops


def _region(sample: Sample, seed: int) -> Pixels:
    """A native square, or one of the reduced image: generated images come as both."""
    pixels, rng = load_pixels(sample), _rng(sample, seed, 0)
    short = min(pixels.shape[:2])
    if short > 1.4 * _SIDE and rng.random() < 0.5:
        pixels = perturb.rescale(pixels, _SIDE / short * rng.uniform(1, 1.2))
    return _random_square(pixels, _SIDE, rng)


def _random_square(pixels: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    side = min(side, height, width)
    return crop(
        pixels, top=int(rng.integers(height - side + 1)), left=int(rng.integers(width - side + 1)), size=side
    )


def _rng(sample: Sample, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([int.from_bytes(shuffle_key(sample, seed=seed), "little"), purpose])
