"""Which images a model has learnt from: their digests, in the model folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from aigdetect.errors import ModelError
from aigdetect.files import copy_atomically, write_atomically

#: a line of hexadecimal digits for each image, ascending
LEARNT_NAME = "training.sha256"
#: the same with where the images are public, as the shipped models have it
SOURCES_NAME = "sources.csv"


def write_learnt(folder: Path, digests: Iterable[bytes]) -> None:
    """Note the images of a training.

    Args:
        folder: of the model.
        digests: SHA-256 of each image's file, 32 bytes; empty ones are passed over.

    Raises:
        UsageError: if it cannot be written.
    """
    lines = sorted({digest.hex() for digest in digests if digest})
    write_atomically(folder / LEARNT_NAME, "".join(f"{line}\n" for line in lines).encode("ascii"))


def read_learnt(folder: Path) -> frozenset[str]:
    """SHA-256, in hexadecimal digits, of the images that a model has learnt from; empty if it does not say.

    Raises:
        ModelError: if what it says cannot be read.
    """
    plain, sources = folder / LEARNT_NAME, folder / SOURCES_NAME
    try:
        if plain.exists():
            return frozenset(plain.read_text(encoding="ascii").split())
        if sources.exists():
            with sources.open(encoding="utf-8", newline="") as file:
                return frozenset(row["sha256"] for row in csv.DictReader(file))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: its list of training images cannot be read ({error})") from error
    return frozenset()


def copy_learnt(source: Path, folder: Path) -> None:
    """Give a model folder the list of another one, if that has one.

    Raises:
        UsageError: if it cannot be written.
    """
    for name in (LEARNT_NAME, SOURCES_NAME):
        if (source / name).exists():
            copy_atomically(source / name, folder / name)
