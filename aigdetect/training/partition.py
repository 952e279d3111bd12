"""Which images a run learns from, which it holds out, and which it makes itself."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aigdetect.data.contents import Copy, keep_distinct, read_contents
from aigdetect.data.dataset import Reading
from aigdetect.data.layouts import DataSet, Sample, require_both_classes
from aigdetect.data.split import shuffle_key, split_by_generator
from aigdetect.errors import DataError, UsageError
from aigdetect.training.folds import Fold, leave_out, make_folds
from aigdetect.training.recipe import Recipe
from aigdetect.training.reconstructions import (
    Reconstruction,
    list_reconstructions,
    make_reconstructions,
    parents_of,
)
from aigdetect.training.run import Run

#: folder of images that were made here, while a run goes on
MADE_NAME = ".aligned"


@dataclass(frozen=True)
class Split:
    """Images to learn from and images held out; no two of them are one image.

    Attributes:
        training: images to learn from.
        validation: images held out, by which the model is calibrated.
        selection: further images held out, by which an epoch is chosen; none if the recipe chooses none.
        copies: images left out because their content is there already.
        contradictions: images left out because their content is there as real and as generated.
        contents: SHA-256 of the images by path, empty for what cannot be read.
        validated_on: what was found where validation has data of its own; else empty.
    """

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    selection: tuple[Sample, ...] = ()
    copies: tuple[Copy, ...] = ()
    contradictions: tuple[Sample, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    validated_on: tuple[DataSet, ...] = field(default=(), repr=False)

    def shared_copies(self) -> list[Copy]:
        """The copies that are left out because validation has data of its own, and the image is in it."""
        own = {id(sample) for found in self.validated_on for sample in found.samples}
        return [copy for copy in self.copies if id(copy.original) in own and id(copy.sample) not in own]

    def contents_of(self, samples: Sequence[Sample]) -> list[bytes]:
        """SHA-256 of each sample; empty for what cannot be read."""
        return [self.contents.get(sample.path, b"") for sample in samples]


def split_data(
    data: Sequence[DataSet], recipe: Recipe, *, workers: int = 2, validation_data: Sequence[DataSet] = ()
) -> Split:
    """Divide data sets into training and validation.

    A data set that names splits of its own keeps them; of any other, the recipe's share of every generator is
    held out. With folds nothing is: all images are for training. Of images with the same content one is
    taken: one that a data set holds out itself stays held out. Where the recipe chooses an epoch, further
    images are held out for that.

    Where validation has data of its own, that is all that is held out, besides the groups that the recipe
    names: every other image is for training, but those of a split ``val``, which are left out, and those
    whose content is among the data for validation.

    Args:
        data: what was found.
        recipe: the settings.
        workers: threads that read files.
        validation_data: what was found of data for validation alone: its split ``val`` or else ``test``
            where it names splits, else all of it.

    Raises:
        DataError: if only one class is there, or too many images are in both.
        UsageError: if more images are asked for than there are, or a group that there is not is held out, or
            folds leave nothing to validate on.
    """
    if validation_data and recipe.folds is not None:
        raise UsageError(
            "folds: with them the model is calibrated on the images that it learns from; leave them out, or "
            "the data for validation"
        )
    chosen = [found.pick("train") for found in data]
    require_both_classes(*chosen)
    own_data = [_to_validate_on(found) for found in validation_data]
    _require_both_to_validate_on(own_data)
    held_out = [found.pick("val").samples if "val" in found.splits else () for found in data]
    if own_data:
        held_out = [() for _ in data]
    groups = [*(found.samples for found in own_data), *held_out, *(part.samples for part in chosen)]
    contents = read_contents((sample for group in groups for sample in group), workers=workers)
    distinct = keep_distinct(groups, contents)
    own, rest_of_all = distinct.groups[: len(own_data)], distinct.groups[len(own_data) :]
    held_out, to_learn = list(rest_of_all[: len(data)]), rest_of_all[len(data) :]
    whole = _hold_out([sample for part in to_learn for sample in part], recipe.hold_out)
    selection: list[Sample] = []
    training: list[Sample] = []
    validation = [sample for part in own for sample in part]
    for found, kept, part in zip(data, held_out, to_learn, strict=True):
        rest = [sample for sample in part if sample.generator not in recipe.hold_out]
        if recipe.selects:
            rest, chosen_by = leave_out(rest, share=recipe.validation, seed=recipe.seed)
            selection += chosen_by
        if recipe.folds is not None:
            training += [*rest, *kept]
        elif own_data or "val" in found.splits:
            training += rest
            validation += kept
        else:
            divided = [sample for sample in rest if sample.label not in whole]
            learnt, kept_back = split_by_generator(divided, fraction=recipe.validation, seed=recipe.seed)
            training += [*learnt, *(sample for sample in rest if sample.label in whole)]
            validation += kept_back
        validation += (sample for sample in part if sample.generator in recipe.hold_out)
    if {sample.label for sample in training} != {0, 1}:
        raise DataError(
            "no image of one class is left to train on: all are held out, or given both as real and as "
            "generated"
        )
    drawn = draw_samples(training, recipe)
    if {sample.label for sample in drawn} != {0, 1}:
        raise DataError(
            f"samples: all {len(drawn)} images drawn are of one class; draw more, or of each class"
        )
    return Split(
        tuple(drawn),
        tuple(validation),
        tuple(selection),
        distinct.copies,
        distinct.contradictions,
        contents,
        tuple(own_data),
    )


@dataclass(frozen=True)
class RunImages:
    """The images of a run, once all of them are there.

    Attributes:
        training: to learn from; those that were made here come last.
        validation: scored after every epoch; with folds, by the models that did not learn from them.
        calibration: scored once, at the end, where an epoch is chosen by ``validation``; else none.
        folds: what each of the other models learns from, and scores; perhaps none.
        contents: SHA-256 of images by path, as far as they are known; empty for what could not be read.
    """

    training: Sequence[Sample]
    validation: Sequence[Sample]
    calibration: Sequence[Sample] = ()
    folds: Sequence[Fold] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def judged(self) -> Sequence[Sample]:
        """Those whose logits calibrate the model."""
        return self.calibration or self.validation


def choose_images(split: Split, recipe: Recipe, run: Run) -> RunImages:
    """Make the images that the recipe makes of real ones, and say what becomes of all.

    Raises:
        DataError: if images that are needed cannot be read, or folds leave one class without an image.
        UsageError: if an image cannot be written.
    """
    made = _reconstructions(split.training, recipe, run)
    training = [*split.training, *(each.sample for each in made)]
    if recipe.folds is not None:
        scored = draw_scored(split.training, recipe)
        parents = parents_of(split.training, made)
        folds = make_folds(training, parents, recipe.folds, seed=recipe.seed, scored=scored)
        left_out = [split.training[index] for index in scored]
        return RunImages(training, left_out, folds=folds, contents=split.contents)
    if split.selection:
        return RunImages(training, split.selection, split.validation, contents=split.contents)
    return RunImages(training, split.validation, contents=split.contents)


def _reconstructions(samples: Sequence[Sample], recipe: Recipe, run: Run) -> list[Reconstruction]:
    """The images that the recipe makes of real ones; the first process of a group makes them."""
    place, ways, count, seed = run.folder / MADE_NAME, recipe.aligned, recipe.aligned_images, recipe.seed
    if run.group.first:
        if not run.options.resume:
            shutil.rmtree(place, ignore_errors=True)  # of another run
        make_reconstructions(
            *(samples, place, ways),
            count=count,
            seed=seed,
            reading=Reading.of("real", samples, run.options.workers, run.watch.unread),
            max_pixels=recipe.max_pixels,
            watch=run.watch,
        )
    run.group.wait()
    return list_reconstructions(samples, place, ways, count=count, seed=seed)


def draw_samples(training: Sequence[Sample], recipe: Recipe) -> list[Sample]:
    """The images that the recipe trains on, drawn uniformly: of each group, and then from all or each class.

    Raises:
        UsageError: if more are asked for than there are.
    """
    if recipe.samples_per_group is not None:
        training = _of_groups(training, recipe.samples_per_group, seed=recipe.seed)
    if recipe.samples is None and recipe.samples_per_class is None:
        return list(training)
    shuffled = sorted(training, key=lambda sample: shuffle_key(sample, seed=recipe.seed))
    if recipe.samples is not None:
        if recipe.samples > len(training):
            raise UsageError(f"samples: {recipe.samples} is more than the {len(training)} training images")
        return shuffled[: recipe.samples]
    chosen = []
    for label, name in ((0, "real"), (1, "generated")):
        of_class = [sample for sample in shuffled if sample.label == label]
        if recipe.samples_per_class is not None and recipe.samples_per_class > len(of_class):
            raise UsageError(
                f"samples_per_class: {recipe.samples_per_class} is more than the {len(of_class)} {name} "
                "training images"
            )
        chosen += of_class[: recipe.samples_per_class]
    return chosen


def draw_scored(samples: Sequence[Sample], recipe: Recipe) -> list[int]:
    """Indices of the images that models of folds score where they leave them out, ascending."""
    if recipe.scored_per_group is None:
        return list(range(len(samples)))
    chosen = {sample.path for sample in _of_groups(samples, recipe.scored_per_group, seed=recipe.seed)}
    return [index for index, sample in enumerate(samples) if sample.path in chosen]


def _to_validate_on(found: DataSet) -> DataSet:
    """The part of data for validation that is for that."""
    return next((found.pick(split) for split in ("val", "test") if split in found.splits), found)


def _require_both_to_validate_on(data: Sequence[DataSet]) -> None:
    """Refuse data for validation of one class.

    Raises:
        DataError: if there is some, but none of one class.
    """
    labels = {sample.label for found in data for sample in found.samples}
    if data and labels != {0, 1}:
        roots = ", ".join(repr(found.root) for found in data)
        there = "generated" if labels == {1} else "real"
        raise DataError(f"only {there} images found in {roots}: validation needs both classes")


def _hold_out(samples: Sequence[Sample], groups: Sequence[str]) -> set[int]:
    """The classes of which generators or sources are held out whole.

    Raises:
        UsageError: if there is no image of one of these names.
    """
    names = {sample.generator for sample in samples}
    for group in groups:
        if group not in names:
            known = ", ".join(sorted(names))
            raise UsageError(f"hold_out: no image to train on is of {group!r}; there are {known}")
    return {sample.label for sample in samples if sample.generator in groups}


def _of_groups(samples: Sequence[Sample], most: int, *, seed: int) -> list[Sample]:
    """At most so many images of each generator or source, in the order that they came in."""
    groups: defaultdict[tuple[int, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.label, sample.generator].append(sample)
    chosen = {
        sample.path
        for group in groups.values()
        for sample in sorted(group, key=lambda sample: shuffle_key(sample, seed=seed))[:most]
    }
    return [sample for sample in samples if sample.path in chosen]
