"""Which generator, or source of real images, the levels above an image name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from aigdetect.data.layouts.levels import CONTAINER, Level
from aigdetect.data.layouts.marks import Mark
from aigdetect.data.layouts.words import NUMBERED, PROGAN, fold_name, read_class


def name_generator(levels: Sequence[Level], mark: Mark, home: Sequence[Level]) -> str:
    """The generator of a folder's images: from the levels under the root, else from the root's own name.

    Args:
        levels: from the root down to the folder, the root left out.
        mark: which of them decides the class.
        home: the root and what is above it; see :func:`aigdetect.data.layouts.levels.levels_of_root`.
    """
    above, below = levels[: max(mark.depth, 0)], levels[mark.depth + 1 :]
    named = any(level.generator for level in above)
    if mark.word in NUMBERED and not named and _is_progan_training((*home, *above)):
        return "progan"
    # By convention, 0_real and 1_fake hold only images; real and fake are often divided further.
    nearest = (*above, *below) if mark.word in NUMBERED else (*below, *above)
    return next((level.generator for level in nearest if level.generator), "") or name_root(home)


def name_root(home: Sequence[Level]) -> str:
    """The root's name as a generator: that of ``sd1`` for ``sd1/train``, but its own if it is ``images``."""
    for level in reversed(home):
        if CONTAINER.fullmatch(level.name):
            break
        if level.generator and not read_class(fold_name(level.name))[0]:
            return level.generator
    return home[-1].name


def _is_progan_training(levels: Sequence[Level]) -> bool:
    """Whether object classes lie right under ``train`` or ``val``, as in CNNDetection's ProGAN tree."""
    return any(
        upper.split in {"train", "val"} and fold_name(lower.name) in PROGAN
        for upper, lower in pairwise(levels)
    )
