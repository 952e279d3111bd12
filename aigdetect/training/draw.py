"""Which of the training images a recipe uses, where it does not use all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import UsageError
from aigdetect.training.recipe import Recipe


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
