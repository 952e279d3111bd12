"""Which images a run learns from, and which it holds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aigdetect.data.contents import Copy, keep_distinct, read_contents
from aigdetect.data.layouts import DataSet, Sample, require_both_classes
from aigdetect.data.split import split_by_generator
from aigdetect.errors import DataError, UsageError
from aigdetect.training.draw import draw_samples
from aigdetect.training.folds import leave_out
from aigdetect.training.recipe import Recipe


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
    return Split(
        tuple(draw_samples(training, recipe)),
        tuple(validation),
        tuple(selection),
        distinct.copies,
        distinct.contradictions,
        contents,
        tuple(own_data),
    )


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
