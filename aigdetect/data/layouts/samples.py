"""Finds the labelled images of a folder or a list."""

from __future__ import annotations

import os
from pathlib import Path

from aigdetect.data.layouts.folders import from_folder, from_labelled
from aigdetect.data.layouts.lists import from_list
from aigdetect.data.layouts.sample import DataSet
from aigdetect.data.layouts.shards import find_shards, from_shards
from aigdetect.errors import DataError


def find_samples(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    label: int | None = None,
    follow_symlinks: bool = False,
) -> DataSet:
    """Find the labelled images of a data set, whatever its layout.

    Args:
        root: a folder (``0_real/1_fake`` at any depth; GenImage's ``ai/nature``; ``real/fake`` and synonyms
            above or below the generators), a CSV or JSON Lines with path, label[, generator][, split]
            [, group], or an archive of images or a folder of such: tar, WebDataset's shards, Parquet, Arrow
            (see `aigdetect.data.layouts.shards`).
        split: keep only ``"train"``, ``"val"`` or ``"test"`` where the data set has such a level; nothing
            happens where it has none.
        label: 0 takes every image of a folder or archive for real, 1 for generated; None goes by names.
        follow_symlinks: also follow symbolic links inside folders; a root, and what a CSV names, may be one.

    Returns:
        The images with class, generator and split. One class alone is fine here, see
        `require_both_classes`.

    Raises:
        DataError: nothing there, no image found, contradictory folders, a bad row in the CSV, an archive that
            cannot be read.
        UsageError: ``split`` is none of the three; an archive needs a library that is not installed.
    """
    place = os.fsdecode(root)
    if shards := find_shards(place, label, follow=follow_symlinks):
        found = from_shards(place, shards)
    elif Path(place).is_dir():
        found = (
            from_folder(place, follow=follow_symlinks)
            if label is None
            else from_labelled(place, label, follow=follow_symlinks)
        )
    elif Path(place).is_file() and label is None:
        found = from_list(place)
    else:
        raise DataError(f"no such folder, list or archive: {place!r}; check the path")
    return found if split is None else found.pick(split)
