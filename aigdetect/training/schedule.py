"""The learning rate over a run: a rise, then constant or half a cosine down to 0."""

from __future__ import annotations

import math

from aigdetect.training.recipe import Recipe


def learning_rate(recipe: Recipe, done: int, total: int) -> float:
    """Learning rate of the step after ``done`` of ``total`` steps."""
    warmup = round(recipe.warmup * total)
    if done < warmup:
        factor = (done + 1) / (warmup + 1)
    elif recipe.schedule == "constant":
        factor = 1.0
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, total - warmup)))
    return recipe.lr * factor
