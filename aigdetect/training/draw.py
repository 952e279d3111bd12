"""Which of the training images a recipe uses, where it does not use all."""

from __future__ import annotations

from collections.abc import Sequence

from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import UsageError
from aigdetect.training.recipe import Recipe


def draw_samples(training: Sequence[Sample], recipe: Recipe) -> list[Sample]:
    """The images that the recipe trains on, drawn uniformly: from all, or from each class.

    Raises:
        UsageError: if more are asked for than there are.
    """
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
