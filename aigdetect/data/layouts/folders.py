"""From folders to labelled images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from aigdetect.data.layouts.generators import name_generator
from aigdetect.data.layouts.levels import Level, levels_of_root
from aigdetect.data.layouts.marks import GIVEN, Mark
from aigdetect.data.layouts.sample import DataSet, Ignored, Sample, require_images
from aigdetect.data.layouts.walk import Folder, find_flaw, walk_folders
from aigdetect.data.layouts.words import DIGITS, GENIMAGE, LABELS, NUMBERED, fold_name, read_class

_DATED_SPLIT = re.compile(r"(train|val|test)20\d\d", re.IGNORECASE)  # of COCO, and of sets made like it


def from_folder(root: str, *, follow: bool) -> DataSet:
    """The labelled images of a folder.

    Args:
        root: the folder.
        follow: whether links inside it are followed.

    Raises:
        DataError: no image found, contradictory folders, a folder that cannot be read.
    """
    home = levels_of_root(root)
    found = _collect(root, home, mark=None, follow=follow)
    if not found.samples and found.ignored.unlabelled:
        found = _by_own_name(root, home, follow) or found
    require_images(found)
    return found


def from_labelled(root: str, label: int, *, follow: bool) -> DataSet:
    """All images below a folder as of one class, whatever the folders in it are called.

    Folders below it name generators or sources, else its own name or that above it does; not such a one as
    ``train2017``.

    Raises:
        DataError: no image found, a folder that cannot be read.
    """
    home = levels_of_root(root)
    while len(home) > 1 and _DATED_SPLIT.fullmatch(home[-1].name):
        home = home[:-1]
    found = _collect(root, home, mark=Mark(label, "", strength=GIVEN, depth=-1), follow=follow)
    require_images(found)
    return replace(found, kind=f"all given as {'generated' if label else 'real'}")


def _by_own_name(root: str, home: Sequence[Level], follow: bool) -> DataSet | None:
    """The images of a root such as ``progan/0_real``, for evaluation on one class."""
    word, _ = read_class(fold_name(home[-1].name))
    if not word or word in DIGITS:
        return None
    found = _collect(root, home, mark=Mark(LABELS[word], word, strength=0, depth=-1), follow=follow)
    return replace(found, kind=f"one folder of {'generated' if LABELS[word] else 'real'} images")


def _collect(root: str, home: Sequence[Level], *, mark: Mark | None, follow: bool) -> DataSet:
    samples: list[Sample] = []
    ignored: Counter[str] = Counter()
    words: set[str] = set()
    for folder, files in walk_folders(Folder(root, mark=mark, follow=follow)):
        flaws = [find_flaw(entry, follow=follow) for entry in files]
        ignored.update(flaw for flaw in flaws if flaw)
        paths = [entry.path for entry, flaw in zip(files, flaws, strict=True) if not flaw]
        if folder.mark is None:
            ignored["unlabelled"] += len(paths)
        elif paths:
            words.add(folder.mark.word)
            generator = name_generator(folder.levels, folder.mark, home)
            samples += [Sample(path, folder.mark.label, generator, folder.split, root) for path in paths]
    has_splits = any(sample.split for sample in samples)
    return DataSet(root, _kind(words, has_splits=has_splits), tuple(samples), Ignored(**ignored))


def _kind(words: set[str], *, has_splits: bool) -> str:
    kinds = {
        "0_real/1_fake folders": words & NUMBERED,
        "GenImage ai/nature" if has_splits else "ai/nature folders": words & GENIMAGE,
        "real/fake folders": words - NUMBERED - GENIMAGE,
    }
    return " and ".join(kind for kind, used in kinds.items() if used)
