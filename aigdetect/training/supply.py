"""What a run reads through the frozen trunk: the training images, and those held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aigdetect.data.dataset import Reading, batched, copies_of_views, digest
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import ImageError
from aigdetect.images.views import Pixels, first_of_scales, scales_of
from aigdetect.model.base import Network
from aigdetect.training.distributed import Group
from aigdetect.training.estimate import Work, estimate, measure, require_room
from aigdetect.training.frozen import FrozenPass, images_at_once
from aigdetect.training.held_out import HeldOut, require_both
from aigdetect.training.recipe import Recipe
from aigdetect.training.source import Computed, Kept, Source
from aigdetect.training.token_store import TABLES_NAME, Table, place_for
from aigdetect.training.watching import Watch

#: outputs for held-out images are kept in memory up to this many bytes, whatever the recipe keeps of others
KEPT_BYTES = 2 << 30


@dataclass(frozen=True)
class Supply:
    """Trunk outputs.

    Attributes:
        source: of the training images.
        held_out: of those held out, with their logits.
        calibrating: of those that are scored once, at the end; None if there are none.
        share: tells every process what the others could not read; all must call it.
    """

    source: Source
    held_out: HeldOut
    calibrating: HeldOut | None
    share: Callable[[], None]


@contextmanager
def open_supply(
    network: Network,
    recipe: Recipe,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    calibration: Sequence[Sample],
    *,
    backbone: str,
    folder: Path,
    tables: Path | None,
    workers: int,
    watch: Watch,
    group: Group,
    contents: Mapping[str, bytes],
    passes: tuple[int, int],
) -> Iterator[Supply]:
    """Open what the run reads, and compute what is kept of it.

    Args:
        network: its frozen part is used; it has not been trained yet.
        recipe: says what is kept where, and how images are augmented.
        training: samples to learn from.
        validation: samples held out.
        calibration: samples held out that are scored once, at the end; perhaps none.
        backbone: digest of the tower's weights.
        folder: of the model to come.
        tables: folder where outputs are kept, and stay for other runs; None for one in ``folder``.
        workers: threads that decode.
        watch: who is told.
        group: the processes.
        contents: SHA-256 of images by path, as far as they are known; empty for what could not be read.
        passes: how many training images are still to be trained on, and how many held-out ones to be scored,
            over all epochs.

    Raises:
        DataError: if too many images cannot be read, or there is none of one class.
        UsageError: if the outputs do not fit where they are to be kept.
    """
    with ExitStack() as stack:
        frozen = FrozenPass(network, recipe.precision)
        stack.callback(frozen.close)
        copies = copies_kept(recipe)
        # a crop at random stands for every crop of a scan
        shown = first_of_scales(recipe.views)
        row = frozen.shape.width * frozen.dtype.itemsize
        trained = len(shown) * len(training) * len(copies)
        measured = len(recipe.views) * (len(validation) + len(calibration))
        keep, place = place_for(
            "disk" if tables and recipe.cache == "auto" else recipe.cache,
            recipe.cache_budget,
            row * (trained + measured),
            tables or folder / TABLES_NAME,
            alone=group.alone,
        )
        settings = {
            "backbone": backbone,
            "precision": recipe.precision,
            "device": frozen.device.type,
            "size": network.size,
            **network.frozen_settings(),
        }
        maker = _Maker(recipe, frozen, settings, place, workers, watch, group, contents, stack)
        small = group.alone and row * len(recipe.views) * len(validation) <= KEPT_BYTES
        parts = (
            _Part(training, copies, shown, keep),
            _Part(validation, [None], recipe.views, keep or small),
            _Part(calibration, [None], recipe.views, keep),
        )
        if place is not None:
            require_room(row * sum(maker.lacks(part)[1] for part in parts if part.keep), place)
        if watch.estimate is not None:
            work = maker.work(parts, passes)
            speed = measure(network, frozen, maker.readable(parts[0]), len(training), scales_of(recipe.views))
            kept = row * sum(part.rows for part in parts if part.keep)
            watch.estimate(estimate(work, speed, threads=workers, kept=kept, place=place))
        source = maker.source("training", parts[0])
        held_out, calibrating = (
            HeldOut(
                network,
                part.samples,
                maker.source("validation", part),
                group,
                stage=watch.stage,
                advance=watch.advance,
                scales=scales_of(recipe.views),
                adapted=recipe.epochs > 0,
            )
            if part.samples
            else None
            for part in parts[1:]
        )
        require_both([sample.label for sample in validation])
        assert held_out is not None  # of both classes
        yield Supply(source, held_out, calibrating, maker.share)


def copies_kept(recipe: Recipe) -> list[int | None]:
    """Copies of each image that epochs take in turn, as many as are worth keeping; None is the plain one."""
    fitted = recipe.head_penalty is not None
    count = recipe.copies if fitted else min(recipe.copies, max(1, recipe.epochs))
    return [None if recipe.plain_copy and not number else number for number in range(count)]


#: a copy and a view, by their numbers
_Cell = tuple[int, int]


@dataclass(frozen=True)
class _Part:
    """Images of the run that are read alike.

    Attributes:
        samples: the images.
        copies: their copies.
        views: through which each copy is seen.
        keep: whether outputs for them are kept.
    """

    samples: Sequence[Sample]
    copies: Sequence[int | None]
    views: Sequence[str]
    keep: bool

    @property
    def rows(self) -> int:
        """How many outputs there are of them."""
        return len(self.samples) * len(self.copies) * len(self.views)


@dataclass(frozen=True)
class _Maker:
    """Makes sources; tables of the same rows are one table."""

    recipe: Recipe
    frozen: FrozenPass
    settings: Mapping[str, Any]
    place: Path | None
    workers: int
    watch: Watch
    group: Group
    contents: Mapping[str, bytes]
    stack: ExitStack
    tables: dict[tuple[int | None, str], Table] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)

    def share(self) -> None:
        """See :attr:`Supply.share`."""
        for reading in self.readings:
            reading.share(self.group.texts_of_all)

    def lacks(self, part: _Part) -> tuple[int, int]:
        """Of how many copies of images outputs are not kept yet, and how many outputs."""
        copies = rows = 0
        for copy in part.copies:
            tables = [self._table(copy, view) for view in part.views]
            for sample in part.samples:
                key = self.contents.get(sample.path) or b""
                lacking = sum(key not in table for table in tables)
                copies += bool(lacking)
                rows += lacking
        return copies, rows

    def work(self, parts: Sequence[_Part], passes: tuple[int, int]) -> Work:
        """What there is to do: outputs that are kept are computed once, others whenever they are wanted."""
        (training, *held_out), (trained, scored) = parts, passes
        shown, scored_views = len(training.views), scored * len(self.recipe.views)
        decoded = frozen = 0
        for part in parts:
            if part.keep:
                copies, rows = self.lacks(part)
                decoded, frozen = decoded + copies, frozen + rows
        if not training.keep:
            fitted = len(training.samples) * len(training.copies) * (self.recipe.head_penalty is not None)
            decoded, frozen = decoded + trained + fitted, frozen + (trained + fitted) * shown
        if not all(part.keep for part in held_out if part.samples):
            decoded, frozen = decoded + scored, frozen + scored_views
        images = len({sample.path for part in parts for sample in part.samples})
        return Work(images, decoded, frozen, trained * shown, scored_views)

    def readable(self, part: _Part) -> Callable[[int], bool]:
        """Whether an image of a part can be read, by its index; it is read for that."""

        def read(index: int) -> bool:
            with suppress(ImageError):
                self._views(part.samples[index], part.copies[:1], part.views)
                return True
            return False

        return read

    def source(self, what: str, part: _Part) -> Source:
        """The outputs for a part of the images, kept or computed when they are wanted."""
        samples, copies, views = part.samples, part.copies, part.views
        reading = Reading.of(what, samples, self.workers, self.watch.unread)
        self.readings.append(reading)
        begins = [shuffle_key(sample, seed=self.recipe.seed)[0] for sample in samples]
        if not part.keep:

            def read(wanted: Iterable[tuple[int, int | None]]) -> Iterator[Pixels | None]:
                chosen = ((samples[index], copy) for index, copy in wanted)
                return reading.each_with(lambda sample, copy: self._views(sample, [copy], views)[0], chosen)

            return Computed(read, self.frozen, copies, begins, self.group)
        tables = [[self._table(copy, view) for view in views] for copy in copies]
        keys = self._fill(samples, copies, views, tables, reading)
        self.share()
        return Kept(tables, keys, begins, self.frozen, self.group)

    def _table(self, copy: int | None, view: str) -> Table:
        if (copy, view) not in self.tables:
            settings = {**self.settings, "copy": copy, "view": view}
            if copy is not None:
                settings |= {"seed": self.recipe.seed, "augmentation": asdict(self.recipe.augmentation)}
            table = Table(settings, self.frozen.shape.width, self.frozen.dtype, folder=self.place)
            self.stack.callback(table.close)
            self.tables[copy, view] = table
        return self.tables[copy, view]

    def _fill(
        self,
        samples: Sequence[Sample],
        copies: Sequence[int | None],
        shown: Sequence[str],
        tables: Sequence[Sequence[Table]],
        reading: Reading,
    ) -> list[bytes | None]:
        """Add what the tables lack, each process for its run of the samples.

        Returns:
            the key of every sample.
        """
        keys = self._keys(samples, reading)
        cells = [(copy, view) for copy in range(len(copies)) for view in range(len(shown))]
        wanted: list[tuple[Sample, list[_Cell]]] = []
        missing: list[bytes] = []
        for index in self.group.run(len(samples)):
            key = keys[index]
            if key is not None and (lacks := [cell for cell in cells if key not in tables[cell[0]][cell[1]]]):
                wanted.append((samples[index], lacks))
                missing.append(key)
        for copy, view in cells:
            tables[copy][view].reserve(sum((copy, view) in lacks for _, lacks in wanted))
        if wanted:
            self.watch.stage(f"frozen blocks on {len(cells)} views of each image", len(wanted))
        views = reading.each_with(partial(self._cells, copies, shown), wanted)
        size = images_at_once(self.frozen.device, len(cells))
        for batch in batched(zip(missing, wanted, views, strict=True), size):
            readable = [(key, lacks, of_image) for key, (_, lacks), of_image in batch if of_image is not None]
            if readable:
                rows = iter(self.frozen.rows([view for _, _, of_image in readable for view in of_image]))
                for key, lacks, _ in readable:
                    for copy, view in lacks:
                        tables[copy][view].add(key, next(rows))
            self.watch.advance(len(batch))
        for copy, view in cells:
            tables[copy][view].settle()
        self.group.wait()
        for copy, view in cells:
            tables[copy][view].share()
        return keys

    def _cells(
        self, copies: Sequence[int | None], shown: Sequence[str], sample: Sample, cells: Sequence[_Cell]
    ) -> list[Pixels]:
        """One view for each cell."""
        needed = sorted({copy for copy, _ in cells})
        of_copies = self._views(sample, [copies[copy] for copy in needed], shown)
        by_copy = dict(zip(needed, of_copies, strict=True))
        return [by_copy[copy][view] for copy, view in cells]

    def _keys(self, samples: Sequence[Sample], reading: Reading) -> list[bytes | None]:
        """SHA-256 of every sample; what is not known is read, also to say why it cannot be."""
        known = [self.contents.get(sample.path) or None for sample in samples]
        read = reading.each(
            digest, (sample for sample, key in zip(samples, known, strict=True) if key is None)
        )
        return [next(read) if key is None else key for key in known]

    def _views(self, sample: Sample, copies: Sequence[int | None], shown: Sequence[str]) -> list[Pixels]:
        return copies_of_views(
            sample,
            copies,
            size=self.settings["size"],
            augmentation=self.recipe.augmentation,
            seed=self.recipe.seed,
            views=shown,
            max_pixels=self.recipe.max_pixels,
            content=self.contents.get(sample.path) or None,
        )
