"""Gathers what the metadata of a file says about where it comes from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, TypeVar

from aigdetect.evidence import claims
from aigdetect.evidence.aigc import read_labels
from aigdetect.evidence.apply_rules import read_marks
from aigdetect.evidence.c2pa import Credentials, read_credentials
from aigdetect.evidence.consistency import date_contradictions, table_contradictions
from aigdetect.evidence.containers import Blocks, find_blocks
from aigdetect.evidence.contradictions import contradictions
from aigdetect.evidence.exif import Exif, ExifFacts, read_exif_blocks
from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.findings import MAX_ITEMS, Finding, Kind, Says
from aigdetect.evidence.generators.gather import read_generations, repeated
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.handling import handling_notes
from aigdetect.evidence.iptc import IptcFacts, read_iptc
from aigdetect.evidence.jpeg_structure import JpegStructure, read_structure
from aigdetect.evidence.stealth import read_stealth
from aigdetect.evidence.watermarks import Watermark, can_be_marked
from aigdetect.evidence.xmp import Xmp, XmpFacts, read_xmp
from aigdetect.text import one_line

MAX_SUMMARY = 400
"""Longest summary, in characters."""

SECONDS = 10.0
"""Time that the metadata of one file may take: then no further reader is begun; each is bounded itself."""

MAX_PHOTOGRAPH = 1 << 24
"""Pictures of more pixels are not compared with their thumbnails: that would cost more than all else."""

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger(__name__)
_AI = (Says.GENERATED, Says.EDITED, Says.POSSIBLY)
_MAX_FINDINGS = 200


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
        jpeg: how the file is built, if it is a JPEG.
        handling: what happened to the file on its way, where it says so; a few words each.
        watermarks: messages of public pipelines in the pixels; empty where these were not looked at.
    """

    exif: ExifFacts | None = None
    xmp: XmpFacts | None = None
    iptc: IptcFacts | None = None
    c2pa: Credentials | None = None
    generation: tuple[Generation, ...] = ()
    findings: tuple[Finding, ...] = ()
    contradictions: tuple[str, ...] = ()
    in_part: bool = False
    jpeg: JpegStructure | None = None
    handling: tuple[str, ...] = ()
    watermarks: tuple[Watermark, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits what is told here, or explains it, a few words each."""
        unread = [f"{each.where} {each.claim}" for each in self.findings if each.kind is Kind.METADATA]
        in_part = ["metadata read in part: it takes too long"] if self.in_part else []
        return (*self.handling, *in_part, *unread[:MAX_ITEMS])

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
            "watermarks": [asdict(each) for each in self.watermarks],
            "findings": [each.as_dict() for each in self.findings],
            "contradictions": list(self.contradictions),
            "jpeg": self.jpeg and self.jpeg.as_dict(),
            "in_part": self.in_part,
        }
        return {name: value for name, value in found.items() if value}

    def wants_pixels(self, width: int, height: int) -> bool:
        """Whether the pixels of an image of this size can add anything, and are few enough to be read."""
        has_thumbnail = self.jpeg is not None and bool(self.jpeg.thumbnail)
        return can_be_marked(width, height) or (has_thumbnail and width * height <= MAX_PHOTOGRAPH)

    def seen(self, watermarks: tuple[Watermark, ...], contradictions: tuple[str, ...] = ()) -> Provenance:
        """The same with what was found in the pixels: watermarks, and where metadata contradict them."""
        return replace(
            self,
            watermarks=watermarks,
            findings=(*self.findings, *(each.finding() for each in watermarks)),
            contradictions=(*self.contradictions, *contradictions),
        )

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
    return understood(within.attempt("file", find_blocks, data) or Blocks(), data, within)


def understood(
    blocks: Blocks, file: bytes | BinaryIO, within: Within, claimed: tuple[Finding, ...] = ()
) -> Provenance:
    """What the metadata of a file say, block by block; never raises.

    Args:
        blocks: those that were found.
        file: all of it, in memory or open; only in memory it is searched itself, its pixels, too.
        within: the time that it may take.
        claimed: what was found elsewhere.
    """
    data = file if isinstance(file, bytes) else b""
    exif = within.attempt("EXIF", read_exif_blocks, blocks.exif) or Exif()
    xmp = within.attempt("XMP", read_xmp, blocks.xmp) or Xmp()
    iptc = within.attempt("IPTC", _read_iptc, blocks) or ()
    credentials = within.attempt("C2PA", read_credentials, file) if blocks.credentials else None
    # those that decode pixels or search long texts come last
    hidden = (within.attempt("pixels", read_stealth, data) if data else None) or ()
    credited = (field for facts in iptc for field in facts.fields)
    fields = (*blocks.texts, *exif.fields, *xmp.fields, *credited, *hidden)
    labels = within.attempt("labels", read_labels, fields) or ()
    generation = within.attempt("generation parameters", read_generations, fields) or ()
    marks = within.attempt("marks", _read_marks, fields) or ()
    structure = within.attempt("JPEG", read_structure, data)
    handling = within.attempt("handling", partial(_read_handling, xmp.facts, blocks), fields) or ()
    unread = [*within.failed, *blocks.unread, *exif.unread, *xmp.unread, *repeated(fields)]
    asked = blocks.credentials and not within.over and not within.failed
    if asked and credentials is None and b"c2pa" in data:  # JUMBF boxes may hold other things
        unread.append(Unread("C2PA", "present, not read: not where content credentials belong"))
    if credentials and credentials.outside:
        unread.append(Unread("C2PA", f"outside its place: {credentials.outside}"))
    findings = (
        *(claims.credential_claims(credentials) if credentials else ()),
        *map(claims.generation_claims, generation),
        *(each for facts in xmp.packets or filter(None, (xmp.facts,)) for each in claims.xmp_claims(facts)),
        *(each for facts in iptc for each in claims.iptc_claims(facts)),
        *(
            each
            for facts in exif.blocks or filter(None, (exif.facts,))
            for each in claims.exif_claims(facts, exif.scanned)
        ),
        *claimed,
        *claims.text_claims(fields),
        *labels,
        *marks,
        *claims.unread_claims(unread),
    )
    edited = claims.with_parameters(claims.with_source_type(findings, xmp.facts), generation)
    findings = tuple(dict.fromkeys(edited))[:_MAX_FINDINGS]
    own = tuple(
        said for each in (credentials.manifests if credentials else ()) for said in each.contradictions
    )
    said = (*own, *contradictions(findings), *_inconsistencies(exif.facts, structure, bool(blocks.xmp)))
    return Provenance(
        exif=exif.facts,
        xmp=xmp.facts,
        iptc=iptc[0] if iptc else None,
        c2pa=credentials,
        generation=generation,
        findings=findings,
        contradictions=said[:MAX_ITEMS],
        jpeg=structure,
        handling=handling,
        in_part=within.over,
    )


def _inconsistencies(facts: ExifFacts | None, structure: JpegStructure | None, xmp: bool) -> Iterator[str]:
    """Where EXIF cannot be true of this file."""
    if facts:
        yield from date_contradictions(facts, datetime.now())
        if structure:
            yield from table_contradictions(facts, structure, xmp)


def _read_iptc(blocks: Blocks) -> tuple[IptcFacts, ...]:
    """What each of the blocks of IPTC says that says something."""
    return tuple(facts for block in blocks.iptc if (facts := read_iptc(block.head(len(block.data)))))


def _read_handling(facts: XmpFacts | None, blocks: Blocks, fields: Iterable[Field]) -> tuple[str, ...]:
    records = (bytes(block.data) for block in blocks.iptc)
    return tuple(handling_notes(fields, facts.source_type if facts else "", records))


def _read_marks(fields: Iterable[Field]) -> tuple[Finding, ...]:
    return tuple(islice(read_marks(fields), _MAX_FINDINGS))


class Within:
    """Readers, one after the other, within a time.

    Attributes:
        over: whether a reader was not asked because the time was over.
        failed: which readers failed.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.over = False
        self.failed: list[Unread] = []

    def attempt(self, where: str, read: Callable[[T], R], block: T) -> R | None:
        """What a reader finds; None if it fails: the bytes may be anything, and must not stop a scan."""
        if time.monotonic() > self._end:
            self.over = True
            return None
        try:
            return read(block)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a panic in a reader written in Rust is no Exception
            _log.debug("%s", where, exc_info=True)
            self.failed.append(Unread(where, "not read: its reader failed"))
            return None
