"""The digital source types of the IPTC NewsCodes, and what each says of how an image came to be.

https://cv.iptc.org/newscodes/digitalsourcetype/, with the terms that were retired, and those that C2PA adds.
"""

from __future__ import annotations

import re

from aigdetect.evidence.findings import Says

_SAYS = {
    "trainedAlgorithmicMedia": Says.GENERATED,
    "compositeWithTrainedAlgorithmicMedia": Says.EDITED,
    "compositeSynthetic": Says.EDITED,
    "digitalCapture": Says.CAPTURED,
    "computationalCapture": Says.CAPTURED,
    "compositeCapture": Says.CAPTURED,
    "negativeFilm": Says.CAPTURED,
    "positiveFilm": Says.CAPTURED,
    # neither AI nor a camera: hand-made, drawn by a fixed rule, edited, or unknown
    "algorithmicMedia": Says.NOTHING,
    "algorithmicallyEnhanced": Says.NOTHING,
    "composite": Says.NOTHING,
    "dataDrivenMedia": Says.NOTHING,
    "digitalArt": Says.NOTHING,
    "digitalCreation": Says.NOTHING,
    "humanEdits": Says.NOTHING,
    "minorHumanEdits": Says.NOTHING,
    "print": Says.NOTHING,  # what was printed may be anything
    "screenCapture": Says.NOTHING,
    "softwareImage": Says.NOTHING,
    "virtualRecording": Says.NOTHING,
    "empty": Says.NOTHING,
    "trainedAlgorithmicData": Says.NOTHING,
}
_BY_LOWER_CASE = {name.lower(): name for name in _SAYS}
_ADDRESS = re.compile(
    r"(?:https?://(?:cv\.iptc\.org/newscodes|c2pa\.org)/)?(?:iptc:)?(?:digitalsourcetype[/:])?(\w+)/?",
    re.IGNORECASE,
)


def source_type(value: str) -> tuple[str, Says]:
    """The name of a digital source type and what it says.

    Args:
        value: an address of the vocabulary, or the bare name of a term.

    Returns:
        the term and what it says; what is no term of the vocabulary comes back as it is, and says nothing.
    """
    match = _ADDRESS.fullmatch(value.strip())
    name = _BY_LOWER_CASE.get(match[1].lower()) if match else None
    return (name, _SAYS[name]) if name else (value, Says.NOTHING)


def named_in(content: bytes) -> tuple[str, ...]:
    """The terms for generative AI that stand somewhere in bytes, in UTF-8 or plain ASCII."""
    return tuple(
        name
        for name, says in _SAYS.items()
        if says in (Says.GENERATED, Says.EDITED) and re.search(rf"(?<![A-Za-z]){name}".encode(), content)
    )
