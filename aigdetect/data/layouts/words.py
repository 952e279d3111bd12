"""The words of the field: what folders and columns call the classes, splits and objects."""

from __future__ import annotations

import re

# Words as `fold_name` writes them: casefolded, with underscores.
_REAL = """
    0_real 0 0.0 real reals real_image real_images nature natural photo photos photograph photographs
    authentic original originals genuine pristine
"""
_FAKE = """
    1_fake 1 1.0 fake fakes fake_image fake_images ai ais ai_generated ai_image ai_images aigc aigi gan gans
    generated synthetic synthesized synthesised deepfake deepfakes
"""
#: class by word
LABELS = dict.fromkeys(_REAL.split(), 0) | dict.fromkeys(_FAKE.split(), 1)
#: words of CNNDetection, GenImage, and of who names classes by number
NUMBERED = frozenset({"0_real", "1_fake"})
GENIMAGE = frozenset({"nature", "ai"})
DIGITS = frozenset({"0", "1"})

# The 20 LSUN classes of ProGAN in CNNDetection's training tree, then those that its test tree adds.
_CLASSES_OF_PROGAN = """
    airplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
    sheep sofa train tvmonitor
"""
#: object classes of ProGAN's training images, and of any
PROGAN = frozenset(_CLASSES_OF_PROGAN.split())
OBJECTS = PROGAN | {"apple", "orange", "summer", "winter", "zebra", "bedroom", "church"}

#: split by word
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def read_class(word: str) -> tuple[str, str]:
    """What the name of a folder says of the class.

    Args:
        word: the name, as :func:`fold_name` writes it.

    Returns:
        the word for a class in it, a key of :data:`LABELS`, and the split beside that, as in ``train_real``
        or ``fake_test``; empty strings where it says none.
    """
    if word in LABELS:
        return word, ""
    for name, split in SPLIT_NAMES.items():
        for rest in (word.removeprefix(f"{name}_"), word.removesuffix(f"_{name}")):
            if rest != word and rest in LABELS and rest not in DIGITS:
                return rest, split
    return "", ""


def fold_name(name: str) -> str:
    """A name as the words here are written: without case, with underscores for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().casefold())
