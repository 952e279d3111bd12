"""Opens what a run reads through the frozen trunk, and computes what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial

from aigdetect.data.dataset import Reading, batched, copies_of_views, digest
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import ImageError, UsageError
from aigdetect.images.views import Pixels, first_of_scales, scales_of
from aigdetect.model.base import Network
from aigdetect.training.callbacks import Epoch
from aigdetect.training.checkpoint import State
from aigdetect.training.estimate import Estimate, Work, estimate, images_left, measure, require_room
from aigdetect.training.held_out import HeldOut, require_both
from aigdetect.training.partition import RunImages
from aigdetect.training.recipe import Recipe
from aigdetect.training.run import Run
from aigdetect.training.token_store import TABLES_NAME, Table, place_for
from aigdetect.training.trunk_outputs import (
    ComputedOutputs,
    FrozenPass,
    KeptOutputs,
    TrunkOutputs,
    images_at_once,
)

#: outputs for held-out images are kept in memory up to this many bytes, whatever the recipe keeps of others
KEPT_BYTES = 2 << 30


@dataclass(frozen=True)
class RunOutputs:
    """What the frozen trunk makes of the images of a run.

    Attributes:
        training: of the training images.
        validation: of those that are scored after every epoch, with their logits.
        calibration: of those that are scored once, at the end; None if there are none.
        share_unread: tells every process what the others could not read; all must call it.
    """

    training: TrunkOutputs
    validation: HeldOut
    calibration: HeldOut | None
    share_unread: Callable[[], None]

    def validate(self, number: int) -> Epoch:
        """Logits of the validation images after an epoch."""
        epoch = self.validation.epoch(number)
        self.share_unread()
        return epoch


@contextmanager
def open_outputs(
    network: Network, recipe: Recipe, images: RunImages, state: State, run: Run
) -> Iterator[RunOutputs]:
    """Open what the run reads, and compute what is kept of it.

    Args:
        network: its frozen part is used; it has not been trained yet.
        recipe: says what is kept where, and how images are augmented.
        images: of the run.
        state: where the run stands, by which it is told what there is left to do.
        run: the run.

    Raises:
        DataError: if too many images cannot be read, or there is none of one class.
        UsageError: if the outputs do not fit where they are to be kept.
    """
    with ExitStack() as stack:
        frozen = FrozenPass(network, recipe.precision)
        stack.callback(frozen.close)
        maker = _OutputMaker(network, recipe, images, frozen, run, stack)
        maker.require_room()
        if run.watch.estimate is not None:
            run.watch.estimate(maker.estimate(network, images_left(recipe, images, state)))
        training, validation, calibration = maker.parts
        learnt = maker.outputs("training", training)
        held_out, calibrating = (
            HeldOut(network, recipe, part.samples, maker.outputs("validation", part), run)
            if part.samples
            else None
            for part in (validation, calibration)
        )
        require_both([sample.label for sample in images.validation])
        assert held_out is not None  # of both classes
        yield RunOutputs(learnt, held_out, calibrating, maker.share_unread)


def _copies_kept(recipe: Recipe) -> list[int | None]:
    """Copies of each image that epochs take in turn, as many as are worth keeping; None is the plain one."""
    fitted = recipe.head_penalty is not None
    count = recipe.copies if fitted else min(recipe.copies, max(1, recipe.epochs))
    return [None if recipe.plain_copy and not number else number for number in range(count)]


#: a copy, by its number, and a view, by its name
_Cell = tuple[int | None, str]


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
    keep: bool = False


def _outputs_of(parts: Iterable[_Part]) -> Iterator[tuple[Sample, int | None, list[str]]]:
    """Images of some parts, their copies, and the views of these, each once.

    What is left out of a fold is seen by validation as it is, and so it may be in training.
    """
    before: list[tuple[_Part, set[str]]] = []
    for part in parts:
        for copy in part.copies:
            for sample in part.samples:
                seen = [each.views for each, paths in before if copy in each.copies and sample.path in paths]
                if views := [view for view in part.views if not any(view in of for of in seen)]:
                    yield sample, copy, views
        before.append((part, {sample.path for sample in part.samples}))


def _count(outputs: Iterable[tuple[Sample, int | None, list[str]]]) -> int:
    return sum(len(views) for _, _, views in outputs)


class _OutputMaker:
    """Decides what is kept, and makes the outputs; tables of the same rows are one table."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        images: RunImages,
        frozen: FrozenPass,
        run: Run,
        stack: ExitStack,
    ) -> None:
        self.recipe, self.frozen, self.run = recipe, frozen, run
        # a crop at random stands for every crop of a scan
        training = _Part(images.training, _copies_kept(recipe), first_of_scales(recipe.views))
        validation = _Part(images.validation, [None], recipe.views)
        calibration = _Part(images.calibration, [None], recipe.views)
        tables, alone = run.options.cache_folder, run.group.alone
        if tables and recipe.cache in ("memory", "none"):
            raise UsageError(
                f"{tables}: nothing is kept in a folder with the cache {recipe.cache}; use disk or auto"
            )
        keep, self.place = place_for(
            "disk" if tables and recipe.cache == "auto" else recipe.cache,
            recipe.cache_budget,
            frozen.row_bytes * _count(_outputs_of([training, validation, calibration])),
            tables or run.folder / TABLES_NAME,
            alone=alone,
        )
        small = alone and frozen.row_bytes * _count(_outputs_of([validation])) <= KEPT_BYTES
        self.parts = (
            replace(training, keep=keep),
            replace(validation, keep=keep or small),
            replace(calibration, keep=keep),
        )
        self._size, self._contents = network.size, images.contents
        # what all tables depend on
        self._settings = {
            "backbone": run.identity.backbone,
            "precision": recipe.precision,
            "device": frozen.device.type,
            "size": network.size,
            **network.frozen_settings(),
        }
        self._stack = stack  # closes them
        self._tables: dict[_Cell, Table] = {}
        self._readings: list[Reading] = []

    def share_unread(self) -> None:
        """See :attr:`RunOutputs.share_unread`."""
        for reading in self._readings:
            reading.share(self.run.group.texts_of_all)

    def require_room(self) -> None:
        """Refuse to keep more on a disk than there is room for.

        Raises:
            UsageError: if it does not hold what is lacking.
        """
        if self.place is not None:
            require_room(self.frozen.row_bytes * self._lacks()[1], self.place)

    def estimate(self, network: Network, left: tuple[int, int]) -> Estimate:
        """What the run is about to take, by a short measurement.

        Args:
            network: the network.
            left: how many training images are still to be trained on, and how many others to be scored, over
                all epochs.
        """
        training, place, threads = self.parts[0], self.place, self.run.options.workers
        readable, scales = self._readable(training), scales_of(self.recipe.views)
        speed = measure(network, self.frozen, readable, len(training.samples), scales)
        kept = self.frozen.row_bytes * _count(_outputs_of(self._kept))
        return estimate(self._work(*left), speed, threads=threads, kept=kept, place=place)

    @property
    def _kept(self) -> list[_Part]:
        return [part for part in self.parts if part.keep]

    def _lacks(self) -> tuple[int, int]:
        """Of how many copies of images outputs that are to be kept are lacking, and how many outputs."""
        copies = rows = 0
        for sample, copy, views in _outputs_of(self._kept):
            key = self._contents.get(sample.path) or b""
            lacking = sum(key not in self._table(copy, view) for view in views)
            copies += bool(lacking)
            rows += lacking
        return copies, rows

    def _work(self, trained: int, scored: int) -> Work:
        """What there is to do: outputs that are kept are computed once, others whenever they are wanted."""
        training, *held_out = self.parts
        shown, scored_views = len(training.views), scored * len(self.recipe.views)
        decoded, frozen = self._lacks()
        if not training.keep:
            fitted = len(training.samples) * len(training.copies) * (self.recipe.head_penalty is not None)
            decoded, frozen = decoded + trained + fitted, frozen + (trained + fitted) * shown
        if not all(part.keep for part in held_out if part.samples):
            decoded, frozen = decoded + scored, frozen + scored_views
        images = len({sample.path for part in self.parts for sample in part.samples})
        return Work(images, decoded, frozen, trained * shown, scored_views)

    def _readable(self, part: _Part) -> Callable[[int], bool]:
        """Whether an image of a part can be read, by its index; it is read for that."""

        def read(index: int) -> bool:
            with suppress(ImageError):
                self._views(part.samples[index], part.copies[:1], part.views)
                return True
            return False

        return read

    def outputs(self, what: str, part: _Part) -> TrunkOutputs:
        """Those for a part of the images, kept or computed when they are wanted."""
        samples = part.samples
        reading = Reading.of(what, samples, self.run.options.workers, self.run.watch.unread)
        self._readings.append(reading)
        begins = [shuffle_key(sample, seed=self.recipe.seed)[0] for sample in samples]
        if not part.keep:

            def read(wanted: Iterable[tuple[int, int | None]]) -> Iterator[Pixels | None]:
                chosen = ((samples[index], copy) for index, copy in wanted)
                return reading.each_with(
                    lambda sample, copy: self._views(sample, [copy], part.views)[0], chosen
                )

            return ComputedOutputs(read, self.frozen, part.copies, begins, self.run.group)
        keys = self._keys(samples, reading)
        self._fill(part, keys, reading)
        self.share_unread()
        tables = [[self._table(copy, view) for view in part.views] for copy in part.copies]
        return KeptOutputs(tables, keys, begins, self.frozen, self.run.group)

    def _table(self, copy: int | None, view: str) -> Table:
        if (copy, view) not in self._tables:
            settings = {**self._settings, "copy": copy, "view": view}
            if copy is not None:
                settings |= {"seed": self.recipe.seed, "augmentation": asdict(self.recipe.augmentation)}
            table = Table(settings, self.frozen.shape.width, self.frozen.dtype, folder=self.place)
            self._stack.callback(table.close)
            self._tables[copy, view] = table
        return self._tables[copy, view]

    def _fill(self, part: _Part, keys: Sequence[bytes | None], reading: Reading) -> None:
        """Add what the tables lack, each process for its share of the samples."""
        tables = {(copy, view): self._table(copy, view) for copy in part.copies for view in part.views}
        wanted: list[tuple[Sample, list[_Cell]]] = []
        missing: list[bytes] = []
        for index in self.run.group.share_of(len(keys)):
            key = keys[index]
            if key is not None and (lacks := [cell for cell, table in tables.items() if key not in table]):
                wanted.append((part.samples[index], lacks))
                missing.append(key)
        for cell, table in tables.items():
            table.reserve(sum(cell in lacks for _, lacks in wanted))
        if wanted:
            self.run.watch.stage(f"frozen blocks on {len(tables)} views of each image", len(wanted))
        views = reading.each_with(partial(self._cells, part.views), wanted)
        size = images_at_once(self.frozen.device, len(tables))
        for batch in batched(zip(missing, wanted, views, strict=True), size):
            readable = [(key, lacks, of_image) for key, (_, lacks), of_image in batch if of_image is not None]
            if readable:
                rows = iter(self.frozen.rows([view for _, _, of_image in readable for view in of_image]))
                for key, lacks, _ in readable:
                    for cell in lacks:
                        tables[cell].add(key, next(rows))
            self.run.watch.advance(len(batch))
        for table in tables.values():
            table.settle()
        self.run.group.wait()
        for table in tables.values():
            table.share()

    def _cells(self, views: Sequence[str], sample: Sample, cells: Sequence[_Cell]) -> list[Pixels]:
        """The view of each cell, out of ``views`` of the copies that they are of."""
        copies = list(dict.fromkeys(copy for copy, _ in cells))
        by_copy = dict(zip(copies, self._views(sample, copies, views), strict=True))
        return [by_copy[copy][views.index(view)] for copy, view in cells]

    def _keys(self, samples: Sequence[Sample], reading: Reading) -> list[bytes | None]:
        """SHA-256 of every sample; what is not known is read, also to say why it cannot be."""
        known = [self._contents.get(sample.path) or None for sample in samples]
        read = reading.each(
            digest, (sample for sample, key in zip(samples, known, strict=True) if key is None)
        )
        return [next(read) if key is None else key for key in known]

    def _views(self, sample: Sample, copies: Sequence[int | None], shown: Sequence[str]) -> list[Pixels]:
        return copies_of_views(
            sample,
            copies,
            size=self._size,
            augmentation=self.recipe.augmentation,
            seed=self.recipe.seed,
            views=shown,
            max_pixels=self.recipe.max_pixels,
            content=self._contents.get(sample.path) or None,
        )
