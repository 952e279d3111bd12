"""Protocols of the field as named presets: which images are taken, and what is done before a model's view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from aigdetect.errors import UsageError
from aigdetect.evaluation.results import ProtocolFacts
from aigdetect.images.views import Pixels


@dataclass(frozen=True, slots=True)
class Protocol:
    """How images are taken and prepared.

    Attributes:
        name: as ``--protocol`` takes it.
        title: in a few words.
        apply: ``(H, W, 3)`` uint8 sRGB to ``(H', W', 3)`` uint8, before the detector's own view.
        prepared: what `apply` does, in words.
        per_class: images of each class in a set at most; None for all.
        splits: the splits that are taken where a data set names any, the first one that it has.
        source: where the protocol is from.
    """

    name: str
    title: str
    apply: Callable[[Pixels], Pixels]
    prepared: str
    per_class: int | None
    splits: tuple[str, ...]
    source: str

    def facts(self, *, seed: int) -> ProtocolFacts:
        """The protocol in words; ``seed`` is that of the images drawn."""
        taken = (
            f"at most {self.per_class} images of each class per set, drawn with seed {seed}"
            if self.per_class
            else "all images of every set"
        )
        return ProtocolFacts(
            self.name,
            self.title,
            (
                self.prepared,
                taken,
                "the split taken, where a data set names splits: the first it has of "
                + ", ".join(self.splits),
                "classes and parts of a generator are pooled into one set; means are unweighted means over "
                "generators",
                f"source: {self.source}",
            ),
        )


def center_crop(pixels: Pixels, size: int) -> Pixels:
    """Square at the centre, not resized; what is smaller is laid on black, as torchvision's CenterCrop does.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        size: side in pixels.

    Returns:
        ``(size, size, 3)`` uint8.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(0, size - height), max(0, size - width)
    if rows or columns:
        margins = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
        pixels = np.pad(pixels, margins)
        height, width = pixels.shape[:2]
    # round() and not //: the field's crops lie where torchvision puts them
    top, left = round((height - size) / 2), round((width - size) / 2)
    return np.array(pixels[top : top + size, left : left + size])


def _as_it_is(pixels: Pixels) -> Pixels:
    return pixels


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "ours",
            "the model's own view of every image",
            _as_it_is,
            "images are handed to the model as they are: it takes its own views",
            None,
            ("test", "val", "train"),
            "aigdetect",
        ),
        Protocol(
            "univfd",
            "UnivFD: centre crop of 224, no resize",
            partial(center_crop, size=224),
            "centre crop of 224 x 224 pixels without resizing; smaller images are laid on black",
            1000,
            ("test", "val", "train"),
            "U. Ojha et al., Towards universal fake image detectors, 2023, and its code",
        ),
        Protocol(
            "genimage",
            "GenImage: the validation split of every generator",
            _as_it_is,
            "the benchmark fixes images and means, not what a detector sees: the model takes its own view",
            None,
            ("val", "test", "train"),
            "M. Zhu et al., GenImage, 2023",
        ),
        Protocol(
            "dif",
            "DIF: centre crop of 256, no resize",
            partial(center_crop, size=256),
            "centre crop of 256 x 256 pixels without resizing, of which the model takes its own view; "
            "smaller images are laid on black",
            None,
            ("test", "val", "train"),
            "S. Sinitsa, O. Fried, Deep image fingerprint, 2024, and its code",
        ),
    )
}
"""Protocols by name; the first is the default."""


def find_protocol(name: str) -> Protocol:
    """Protocol by name.

    Raises:
        UsageError: if there is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"--protocol: {name!r} is not one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
