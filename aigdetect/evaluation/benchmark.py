"""From labelled images to the sets of a benchmark: every generator against its real images.

A generator's images are pooled over object classes and sub-folders. Its real images are its own, where the
data set has any under its name; else those of the sources known for it; else all sources of real images in
the same root, then in the other roots, that are no generator's own. Where there are none either, the set is
one-sided, and what needs both classes is not defined.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aigdetect.data.layouts import DataSet, Sample, count_by_generator
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError
from aigdetect.evaluation.families import FAMILIES, Families, Generator, spelling
from aigdetect.evaluation.results import BenchmarkSet, EvaluatedImage, FoundData

REAL = "real"
"""What stands for the family of a set without generated images."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Sets of images, and the images of all of them once each.

    Attributes:
        samples: the images, in an order that depends on their names only.
        images: the same images as they travel in results.
        sets: in the order of the tables.
    """

    samples: tuple[Sample, ...]
    images: tuple[EvaluatedImage, ...]
    sets: tuple[BenchmarkSet, ...]


def take_split(data: DataSet, order: Sequence[str]) -> DataSet:
    """The part of a data set to measure on: the first split of ``order`` that it has, else all of it."""
    return next((data.pick(split) for split in order if split in data.splits), data)


def describe_data(data: DataSet) -> FoundData:
    """What was found under one root, for tables and reports."""
    return FoundData(
        root=data.root,
        kind=data.kind,
        split=", ".join(data.splits),
        counts=tuple((c.generator, c.real, c.generated) for c in count_by_generator(data.samples)),
        ignored=str(data.ignored),
    )


def require_one_class(samples: Iterable[Sample]) -> None:
    """Refuse images that are given in both classes.

    Raises:
        DataError: naming one.
    """
    labels: dict[str, int] = {}
    for sample in samples:
        if labels.setdefault(sample.path, sample.label) != sample.label:
            raise DataError(f"{sample.path}: is given both as real and as generated; give it once")


def build_benchmark(
    data: Sequence[DataSet], families: Families, *, per_class: int | None = None, seed: int = 0
) -> Benchmark:
    """Make the sets of one or several data sets.

    Args:
        data: what was found under every root, each with the split that is measured on.
        families: generators by name.
        per_class: images of each class in a set at most; None for all.
        seed: of the images drawn where there are more; the same source is drawn alike for all its generators.

    Raises:
        DataError: if an image is given as real and as generated.
    """
    pools = _pools(data, families)
    sets = [_limited(each, per_class, seed) for each in (*_generator_sets(pools), *_real_sets(pools))]
    sets.sort(key=lambda each: _place(each.generator, each.pool.name, bool(each.generated)))
    used = dict.fromkeys(sample.path for each in sets for sample in (*each.real, *each.generated))
    require_one_class(sample for pool in pools for sample in pool.samples)
    # a path in two roots is one image
    samples = tuple(
        {sample.path: sample for pool in pools for sample in pool.samples if sample.path in used}.values()
    )
    places = {sample.path: place for place, sample in enumerate(samples)}
    names = _unique_names(sets)
    return Benchmark(
        samples,
        tuple(
            EvaluatedImage(
                sample.path,
                sample.label,
                sample.generator,
                families.find(sample.generator).family if sample.label else "",
            )
            for sample in samples
        ),
        tuple(_finished(each, name, places) for each, name in zip(sets, names, strict=True)),
    )


# -- pools: the images of one name under one root -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pool:
    """Images of one generator or source under one root."""

    data: DataSet
    name: str
    generator: Generator
    real: tuple[Sample, ...]
    generated: tuple[Sample, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        return (*self.real, *self.generated)

    @property
    def shared(self) -> bool:
        """Whether its real images are no generator's own."""
        return bool(self.real and not self.generated)


def _pools(data: Sequence[DataSet], families: Families) -> list[_Pool]:
    found = []
    for one in data:
        # names that differ in case or punctuation only are one generator: DALLE2/1_fake beside dalle2/0_real
        groups: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in one.samples:
            groups[spelling(sample.generator)].append(sample)
        for _, samples in sorted(groups.items()):
            name = samples[0].generator
            real, generated = (tuple(s for s in samples if s.label == label) for label in (0, 1))
            found.append(_Pool(one, name, families.find(name), real, generated))
    return found


# -- sets ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Set:
    pool: _Pool
    generator: Generator
    real: tuple[Sample, ...]
    generated: tuple[Sample, ...]
    reals: str
    left_out: int = 0


def _generator_sets(pools: Sequence[_Pool]) -> list[_Set]:
    found = []
    for pool in pools:
        if pool.generated:
            sources = [pool] if pool.real else _shared_sources(pool, pools)
            real = tuple(sample for source in sources for sample in source.real)
            told = "own" if pool.real else ", ".join(source.name for source in sources)
            found.append(_Set(pool, pool.generator, real, pool.generated, told))
    return found


def _shared_sources(pool: _Pool, pools: Sequence[_Pool]) -> list[_Pool]:
    shared = [other for other in pools if other.shared]
    here = [other for other in shared if other.data is pool.data]
    known = {spelling(name) for name in pool.generator.reals}
    for candidates in (here, shared):
        if named := [other for other in candidates if spelling(other.name) in known]:
            return named
    return here or shared


def _real_sets(pools: Sequence[_Pool]) -> list[_Set]:
    """Real images that no generator is compared with, source by source: they tell of false positives."""
    taken = {
        id(source)
        for pool in pools
        if pool.generated and not pool.real
        for source in _shared_sources(pool, pools)
    }
    return [
        _Set(pool, pool.generator, pool.real, (), "own")
        for pool in pools
        if pool.shared and id(pool) not in taken
    ]


def _limited(each: _Set, per_class: int | None, seed: int) -> _Set:
    if per_class is None:
        return each
    real, generated = (_drawn(samples, per_class, seed) for samples in (each.real, each.generated))
    left_out = len(each.real) + len(each.generated) - len(real) - len(generated)
    return _Set(each.pool, each.generator, real, generated, each.reals, left_out)


def _drawn(samples: tuple[Sample, ...], count: int, seed: int) -> tuple[Sample, ...]:
    if len(samples) <= count:
        return samples
    kept = sorted(samples, key=lambda sample: (shuffle_key(sample, seed=seed), sample.path))[:count]
    return tuple(kept)


def _place(generator: Generator, name: str, generates: bool) -> tuple[int, int, str]:
    family = FAMILIES.index(generator.family) if generates else len(FAMILIES)
    return family, generator.order, name


def _unique_names(sets: Sequence[_Set]) -> list[str]:
    """Titles; where two sets share one, the data set's own spelling goes along, then root and number."""
    names = [each.generator.title if each.generated else each.pool.name for each in sets]
    for form in ("{title} ({own})", "{title} ({root}: {own})"):
        counts = Counter(names)
        for place, each in enumerate(sets):
            if counts[names[place]] > 1:
                names[place] = form.format(
                    title=each.generator.title, own=each.pool.name, root=each.pool.data.root
                )
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name} #{seen[name]}"
    return names


def _finished(each: _Set, name: str, places: dict[str, int]) -> BenchmarkSet:
    def members(samples: Iterable[Sample]) -> tuple[int, ...]:
        return tuple(sorted({places[sample.path] for sample in samples}))

    return BenchmarkSet(
        name=name,
        generator=each.generator.key,
        family=each.generator.family if each.generated else REAL,
        root=each.pool.data.root,
        layout=each.pool.data.kind,
        real=members(each.real),
        generated=members(each.generated),
        reals=each.reals if each.real else "",
        left_out=each.left_out,
    )
