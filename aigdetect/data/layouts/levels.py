"""What the name of a folder says of the generator and the split."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from aigdetect.data.layouts.words import OBJECTS, PROGAN, SPLIT_NAMES, fold_name, read_class

_SPLIT_FOLDER = re.compile(r"(?:(?P<before>.+)[_-])?(?P<split>train|val|test)(?P<set>_?set)?", re.IGNORECASE)
# Levels that hold data but name no generator: shards, ImageNet synsets, GenImage's extra level.
_SHARD = re.compile(r"\d+|n\d{8}|imagenet_ai(_.*)?", re.IGNORECASE)
#: names of folders that hold all kinds of things, and say nothing of any
CONTAINER = re.compile(r"(.*_)?datasets?|data|images?|imgs?|pictures|files|all", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Level:
    """What one folder name says: a generator (or source), a split, both, or neither.

    Attributes:
        name: the name itself.
        generator: generator or source; empty if it names none.
        split: out of :data:`aigdetect.data.layouts.sample.SPLITS`; empty if it names none.
    """

    name: str
    generator: str = ""
    split: str = ""


def read_level(name: str, siblings: frozenset[str], *, above_mark: bool) -> Level:
    """What a folder name says.

    Args:
        name: the name.
        siblings: names of the folders beside it, as :func:`fold_name` writes them.
        above_mark: whether no folder above it has said real or fake yet.
    """
    word = fold_name(name)
    # "train" is a split, and one of ProGAN's classes too; there it stands among the others.
    if word == "train" and siblings & (PROGAN - {"train"}):
        return Level(name)
    if word in SPLIT_NAMES and word != "dev":
        return Level(name, split=SPLIT_NAMES[word])
    label, split = read_class(word)
    if split:
        return Level(name, label, split)
    matched = _SPLIT_FOLDER.fullmatch(name)
    if matched and above_mark:  # `progan_train` names a generator, `CNN_synth_testset` none
        generator = "" if matched["set"] else matched["before"] or ""
        return Level(name, generator, matched["split"].lower())
    silent = word in OBJECTS or _SHARD.fullmatch(name) or CONTAINER.fullmatch(name)
    return Level(name, "" if silent else name)


def levels_of_root(root: str) -> tuple[Level, ...]:
    """The root's name and up to two names above it, for roots such as ``progan/train``."""
    names = Path(os.path.abspath(root)).parts[-3:]  # noqa: PTH100 (the user's names, not what links lead to)
    return tuple(read_level(name, frozenset(), above_mark=True) for name in names)
