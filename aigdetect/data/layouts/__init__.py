"""Turns the folder conventions of the field, or a CSV, into one list of labelled images.

A folder's name says the class of everything below it (``0_real``, ``nature``, ``fake``...), other levels say
the generator, the split, or nothing (object classes, shards). No option is needed, and no image is decoded.
"""

from aigdetect.data.layouts.sample import (
    SPLITS,
    DataSet,
    GeneratorCount,
    Ignored,
    Sample,
    count_by_generator,
    require_both_classes,
)
from aigdetect.data.layouts.samples import find_samples

__all__ = [
    "SPLITS",
    "DataSet",
    "GeneratorCount",
    "Ignored",
    "Sample",
    "count_by_generator",
    "find_samples",
    "require_both_classes",
]
