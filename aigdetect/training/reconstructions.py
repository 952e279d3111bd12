"""Generated images made here: real images through autoencoders, so that content cannot be the cue.

Where a data set has real faces but no generated ones, a detector takes a face for a sign of a real image. Its
own images, given back by a decoder, show every content on both sides. The decoders are those of small
autoencoders trained on the spot, or lie in a folder that the recipe names. What comes back is encoded as its
parent was: else a detector learns who has been a JPEG.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from aigdetect.data.dataset import Reading, load_bytes, load_pixels
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError
from aigdetect.files import write_atomically, writing
from aigdetect.images import perturb
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.views import Pixels, crop
from aigdetect.model.decoders import Pair, find_pairs, load_pair
from aigdetect.training.autoencoder import CROP, crops_used, fit_autoencoder
from aigdetect.training.callbacks import NOBODY, Watch
from aigdetect.training.recipe import UPSAMPLINGS

#: from a sample to its pixels, or to a part of them
Load: TypeAlias = Callable[[Sample], Pixels]

#: generators of such images are called so, and after the upsampling
PREFIX = "autoencoder_"

#: side of what an autoencoder trained here is given of an image
_SIDE = 256
#: a pair gets the whole image, its short side reduced to between so many pixels, or a crop with such sides
_SIDES = (224, 448)
_LONGEST = 4  # times the larger of them, for the long side of a whole image
_CROPS = 2  # to learn from, of each image


@dataclass(frozen=True)
class Reconstruction:
    """A generated image that was made here.

    Attributes:
        sample: the image, labelled as generated; its generator is ``autoencoder_transposed`` and so on.
        parent: the real image that it was made of.
    """

    sample: Sample
    parent: Sample


class Reconstructor(Protocol):
    """Gives an image back with a decoder's traces."""

    def reconstruct(self, pixels: Pixels) -> Pixels:
        """What comes back of an image ``(H, W, 3)`` uint8; a few rows and columns may be cut."""


@dataclass(frozen=True)
class _Way:
    """A way to give images back.

    Attributes:
        name: of the generator that such images are said to come from, without :data:`PREFIX`.
        number: among all ways; draws other images for each.
        pair: the decoder and its encoder; None: an autoencoder trained here.
    """

    name: str
    number: int
    pair: Pair | None = None

    @property
    def key(self) -> str:
        """What its files are called after."""
        return self.name if self.pair is None else f"{self.name}-{self.pair.digest[:12]}"


def make_reconstructions(
    samples: Sequence[Sample],
    folder: Path,
    ways: Sequence[str],
    *,
    count: int,
    seed: int,
    reading: Reading,
    max_pixels: int = MAX_PIXELS,
    watch: Watch = NOBODY,
) -> None:
    """Write what autoencoders make of real images: those of a folder, or one trained for a way of upsampling.

    The same samples, seed and number of threads give the same images. What is finished is not done again.

    Args:
        samples: training images; the generated ones among them are passed over.
        folder: where the images go, encoded as their parents; made if it is not there.
        ways: out of :data:`aigdetect.training.recipe.UPSAMPLINGS`, or folders of pairs
            (:mod:`aigdetect.model.decoders`).
        count: how many real images, drawn uniformly for each way; all of them if there are fewer.
        seed: of the draw, the crops and the autoencoders.
        reading: reads the images; those that cannot be read are left out.
        max_pixels: images of more pixels cannot be.
        watch: told of stages, and of crops and images that were used.

    Raises:
        DataError: if no real image is large enough to learn from, or too many cannot be read.
        UsageError: if an image cannot be written, or a folder of pairs cannot be used.
    """
    for way in _found(ways):
        chosen = _drawn(samples, way, count, seed)
        done, asked = folder / f"{way.key}.done", _asked(chosen, seed)
        if done.exists() and done.read_bytes() == asked:
            continue
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{escape(way.key)}[.-]*"):  # of another order
                left.unlink()
        load = partial(load_pixels, max_pixels=max_pixels)
        network, region_of = _network(way, chosen, reading, load, seed, watch)
        watch.stage(f"images through the decoder {way.name}", len(chosen))
        regions = reading.each(region_of, chosen)
        for place, (sample, region) in enumerate(zip(chosen, regions, strict=True)):
            if region is not None:
                path = _path(folder, way, place)
                with writing(path):
                    _save(network.reconstruct(region), path, sample)
            watch.advance(1)
        write_atomically(done, asked)


def digest_decoders(ways: Sequence[str]) -> str:
    """Digest of the pairs of files in the folders among the ways; empty if there is no folder.

    Raises:
        UsageError: if a folder of pairs cannot be used.
    """
    pairs = [f"{way.name}\0{way.pair.digest}" for way in _found(ways) if way.pair is not None]
    return hashlib.sha256("\n".join(pairs).encode("utf-8", "surrogateescape")).hexdigest() if pairs else ""


def list_reconstructions(
    samples: Sequence[Sample], folder: Path, ways: Sequence[str], *, count: int, seed: int
) -> list[Reconstruction]:
    """The images that :func:`make_reconstructions` has written, given the same arguments."""
    return [
        Reconstruction(Sample(str(path), 1, PREFIX + way.name, root=str(folder)), parent)
        for way in _found(ways)
        for place, parent in enumerate(_drawn(samples, way, count, seed))
        if (path := _path(folder, way, place)).exists()
    ]


def parents_of(samples: Sequence[Sample], made: Sequence[Reconstruction]) -> list[int | None]:
    """For every sample None, and then for every reconstruction the index of its parent among the samples."""
    places = {sample.path: index for index, sample in enumerate(samples)}
    return [None] * len(samples) + [places[each.parent.path] for each in made]


def _found(ways: Sequence[str]) -> list[_Way]:
    """Each way once; those that learn to upsample here keep their numbers, whichever are asked for."""
    found = {name: _Way(name, UPSAMPLINGS.index(name)) for name in ways if name in UPSAMPLINGS}
    pairs = [pair for name in ways if name not in UPSAMPLINGS for pair in find_pairs(Path(name))]
    for pair in pairs:
        way = _Way(pair.name, len(UPSAMPLINGS) + len(found), pair)
        found.setdefault(way.key, way)
    return list(found.values())


def _network(
    way: _Way,
    chosen: Sequence[Sample],
    reading: Reading,
    load: Load,
    seed: int,
    watch: Watch,
) -> tuple[Reconstructor, Callable[[Sample], Pixels]]:
    """The autoencoder of a way, and what it is given of an image."""
    if way.pair is not None:
        return load_pair(way.pair), partial(_region_of_any_shape, load=load, seed=seed)
    region_of = partial(_region, load=load, seed=seed)
    crops = _crops(chosen, reading, region_of, seed=seed)
    if not crops:
        raise DataError(
            f"aligned: no real training image has sides of {CROP} pixels or more to learn from; "
            "leave aligned out"
        )
    watch.stage(f"autoencoder with upsampling by {way.name}", crops_used())
    network = fit_autoencoder(np.stack(crops), way.name, seed=seed, advance=watch.advance)
    return network, region_of


def _save(pixels: Pixels, path: Path, parent: Sample) -> None:
    """Write an image as its parent was encoded: a JPEG with the same tables, or else without loss."""
    with Image.open(io.BytesIO(load_bytes(parent))) as image:
        if isinstance(image, JpegImageFile):
            sampling = get_sampling(image)
            # by number, whatever the numbers are: Pillow takes those from 0 on alone
            tables = [table for _, table in sorted(image.quantization.items())]
            Image.fromarray(pixels).save(path, "JPEG", qtables=tables, subsampling=max(0, sampling))
        else:
            Image.fromarray(pixels).save(path, "PNG", compress_level=1)


def _drawn(samples: Sequence[Sample], way: _Way, count: int, seed: int) -> list[Sample]:
    seed += way.number
    real = [sample for sample in samples if sample.label == 0]
    return sorted(real, key=lambda sample: (shuffle_key(sample, seed=seed), sample.path))[:count]


def _path(folder: Path, way: _Way, place: int) -> Path:
    """By place in the draw: images of several data sets may share a name."""
    return folder / f"{way.key}-{place:06}.image"


def _asked(drawn: Sequence[Sample], seed: int) -> bytes:
    """What images are made of, to know whether those that are there are the ones that are wanted."""
    return "\n".join([str(seed), *(sample.fingerprint for sample in drawn)]).encode("ascii")


def _crops(samples: Sequence[Sample], reading: Reading, region_of: Load, *, seed: int) -> list[Pixels]:
    """Square crops to learn from."""
    crops: list[Pixels] = []
    for sample, region in zip(samples, reading.each(region_of, samples), strict=True):
        if region is not None and min(region.shape[:2]) >= CROP:
            rng = _rng(sample, seed, 1)
            crops += [_random_square(region, CROP, rng) for _ in range(_CROPS)]
    return crops


def _region_of_any_shape(sample: Sample, *, load: Load, seed: int) -> Pixels:
    """The whole image reduced, or a crop, with sides as generated images have them."""
    pixels, rng = load(sample), _rng(sample, seed, 0)
    short = math.exp(rng.uniform(*np.log(_SIDES)))
    if rng.random() < 0.5:
        factor = short / min(pixels.shape[:2])
        pixels = perturb.rescale(pixels, factor) if factor < 1 else pixels
        # a strip is cut: a decoder needs much memory for each pixel
        short = long = float(_LONGEST * _SIDES[1])
    else:
        long = min(_SIDES[1], short * rng.uniform(1, 2))
    height, width = pixels.shape[:2]
    sides = (short, long) if height < width else (long, short)
    rows, columns = (min(round(side), most) for side, most in zip(sides, (height, width), strict=True))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return np.array(pixels[top : top + rows, left : left + columns])


def _region(sample: Sample, *, load: Load, seed: int) -> Pixels:
    """A native square, or one of the reduced image: generated images come as both."""
    pixels, rng = load(sample), _rng(sample, seed, 0)
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
