"""Gathers what the metadata of a file says about where it comes from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar

from aigdetect.evidence import claims
from aigdetect.evidence.c2pa import Credentials, read_credentials
from aigdetect.evidence.containers import Blocks, find_blocks
from aigdetect.evidence.contradictions import contradictions
from aigdetect.evidence.exif import Exif, ExifFacts, read_exif_block
from aigdetect.evidence.findings import Finding, Kind, Says
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.generators.read import read_generations
from aigdetect.evidence.iptc import IptcFacts, read_iptc
from aigdetect.evidence.labels import read_labels
from aigdetect.evidence.stealth import read_stealth
from aigdetect.evidence.xmp import Xmp, XmpFacts, read_xmp
from aigdetect.text import one_line

MAX_SUMMARY = 400
"""Longest summary, in characters."""

SECONDS = 10.0
"""Time that the metadata of one file may take: then no further reader is begun; each is bounded itself."""

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)
_AI = (Says.GENERATED, Says.EDITED)


@dataclass(frozen=True)
class Provenance:
    """What each kind of metadata claims; None or empty where a kind is missing.

    All of it can be forged or removed, save what is signed, which can only be removed.

    Attributes:
        exif: camera facts.
        xmp: source type, credit, programs and history.
        iptc: credit and programs.
        c2pa: content credentials.
        generation: generation parameters, one set for each place in the file.
        findings: what all of these claim.
        contradictions: where these claims cannot all be true, in words.
        in_part: whether time was over before all of it was read.
    """

    exif: ExifFacts | None = None
    xmp: XmpFacts | None = None
    iptc: IptcFacts | None = None
    c2pa: Credentials | None = None
    generation: tuple[Generation, ...] = ()
    findings: tuple[Finding, ...] = ()
    contradictions: tuple[str, ...] = ()
    in_part: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits what is told here, a few words each."""
        return ("metadata read in part: it takes too long",) if self.in_part else ()

    @property
    def ai_claims(self) -> list[Finding]:
        """Findings that say a model took part, the strongest first."""
        return sorted(
            (each for each in self.findings if each.says in _AI),
            key=lambda each: (each.strength.rank, _AI.index(each.says)),
        )

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON, one key per kind of metadata that was found."""
        found: dict[str, Any] = {
            "exif": self.exif and self.exif.as_dict(),
            "xmp": self.xmp and self.xmp.as_dict(),
            "iptc": self.iptc and self.iptc.as_dict(),
            "c2pa": self.c2pa and self.c2pa.as_dict(),
            "generation": [each.as_dict() for each in self.generation],
            "findings": [each.as_dict() for each in self.findings],
            "contradictions": list(self.contradictions),
            "in_part": self.in_part,
        }
        return {name: value for name, value in found.items() if value}

    def summary(self) -> str:
        """One short line of text, empty if nothing was found: claims of AI first, the strongest ahead."""
        parts = [
            f"{each.says.value}: {each.where}, {each.claim} ({each.strength.value})"
            for each in self.ai_claims[:3]
        ]
        parts += [f"contradiction: {each}" for each in self.contradictions[:1]]
        parts += [f"EXIF: {self.exif.summary()}"] if self.exif and self.exif.summary() else []
        parts += [
            f"{each.where}: {each.kind.value} {each.claim}"
            + (f" ({each.strength.value})" if each.kind is Kind.CREDENTIAL else "")
            for each in self.findings
            if each.says not in _AI and each.where != "EXIF"
        ]
        return one_line("; ".join(parts), MAX_SUMMARY)


def read_provenance(data: bytes, seconds: float = SECONDS) -> Provenance:
    """Read all known metadata from the bytes of an image file; never raises.

    Args:
        data: the whole file; its pixels need not be decodable.
        seconds: after which no further kind of metadata is begun.
    """
    within = Within(seconds)
    return understood(within.attempt(find_blocks, data) or Blocks(), data, within)


def understood(
    blocks: Blocks, file: bytes | BinaryIO, within: Within, findings: tuple[Finding, ...] = ()
) -> Provenance:
    """What the metadata of a file say, block by block; never raises.

    Args:
        blocks: those that were found.
        file: all of it, in memory or open; only in memory its pixels are searched, too.
        within: the time that it may take.
        findings: what was found elsewhere.
    """
    exif = within.attempt(read_exif_block, blocks.exif) or Exif()
    xmp = within.attempt(read_xmp, blocks.xmp) or Xmp()
    iptc = within.attempt(read_iptc, blocks.iptc)
    credentials = within.attempt(read_credentials, file) if blocks.credentials else None
    # those that decode pixels or search long texts come last
    hidden = within.attempt(read_stealth, file) if isinstance(file, bytes) else None
    texts = (*blocks.texts, *exif.texts, *xmp.texts, *(hidden or ()))
    labels = within.attempt(read_labels, texts) or ()
    generation = within.attempt(read_generations, texts) or ()
    found = Provenance(
        exif=exif.facts,
        xmp=xmp.facts,
        iptc=iptc,
        c2pa=credentials,
        generation=generation,
        in_part=within.over,
    )
    findings = (*_claims(found), *findings, *claims.text_claims(texts), *labels)
    return replace(found, findings=findings, contradictions=contradictions(findings))


class Within:
    """Readers, one after the other, within a time.

    Attributes:
        over: whether a reader was not asked because the time was over.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.over = False

    def attempt(self, read: Callable[[T], R], block: T) -> R | None:
        """What a reader finds; None if it fails: the bytes may be anything, and must not stop a scan."""
        if time.monotonic() > self._end:
            self.over = True
            return None
        try:
            return read(block)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a panic in a reader written in Rust is no Exception
            _log.debug("%s", read.__name__, exc_info=True)
            return None


def _claims(found: Provenance) -> Iterator[Finding]:
    if found.c2pa:
        yield from claims.credential_claims(found.c2pa)
    for each in found.generation:
        yield claims.generation_claims(each)
    if found.xmp:
        yield from claims.xmp_claims(found.xmp)
    if found.iptc:
        yield from claims.iptc_claims(found.iptc)
    if found.exif:
        yield from claims.exif_claims(found.exif)
