"""What the facts of each kind of metadata claim, as findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from aigdetect.evidence.apply_rules import credit_says, tool_says
from aigdetect.evidence.c2pa import Credentials
from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.findings import Finding, Kind, Says, Strength, clip
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.iptc import IptcFacts
from aigdetect.evidence.manifests import Manifest, Role
from aigdetect.evidence.vocabulary import source_type
from aigdetect.evidence.xmp import XmpFacts

# What scanners call themselves: CanoScan, ScanJet, Perfection V600, Expression 12000XL, GT-X980 ...
_SCANNER = re.compile(
    r"\bscan|scan(?:ner)?\b|coolscan|\bperfection ?[v\d]|\bexpression ?\d+XL|\bgt-x?\d|opticfilm|\blide ?\d"
    r"|\bnoritsu\b|(?:office|desk|laser)jet|workforce|workcentre|imagerunner|pixma|\b(?:mfc|dcp)-\w",
    re.IGNORECASE,
)
_WITHOUT_MANIFESTS = {"unreadable": "cannot be read", "not checked": "present, not checked"}


def exif_claims(facts: ExifFacts, scanned: bool = False) -> Iterator[Finding]:
    """The camera, unless what stands in its place is a program or a scanner; and the software.

    Args:
        facts: of one block of EXIF.
        scanned: whether it says that a scanner was the source.
    """
    if facts.camera:
        says = max(tool_says(facts.make), tool_says(facts.model), key=lambda each: each is not Says.NOTHING)
        claim = clip(facts.camera)
        if says is not Says.NOTHING:
            yield Finding(Kind.CAMERA, "EXIF", claim, says)
        elif scanned or _SCANNER.search(claim):
            yield Finding(Kind.SCANNER, "EXIF", claim)
        else:
            yield Finding(Kind.CAMERA, "EXIF", claim, Says.CAPTURED)
    if facts.software:
        yield Finding(Kind.SOFTWARE, "EXIF", facts.software, tool_says(facts.software))


def text_claims(fields: Iterable[Field]) -> Iterator[Finding]:
    """The software that the texts of a PNG name."""
    for field in fields:
        if field.group == "text" and field.name == "Software" and clip(field.value):
            yield Finding(Kind.SOFTWARE, field.where, clip(field.value), tool_says(field.value))


def with_parameters(findings: Iterable[Finding], generation: Iterable[Generation]) -> Iterator[Finding]:
    """Findings in the light of generation parameters.

    Where these say that an image went in, a program named beside them edited it, whatever else it can do.
    """
    edited = {each.where for each in generation if each.edited}
    for each in findings:
        named = each.kind is Kind.SOFTWARE and each.says is Says.GENERATED and each.where in edited
        yield replace(each, says=Says.EDITED) if named else each


def unread_claims(unread: Iterable[Unread]) -> Iterator[Finding]:
    """What is there and could not be read."""
    for each in unread:
        yield Finding(Kind.METADATA, each.where, clip(each.reason))


def xmp_claims(facts: XmpFacts) -> Iterator[Finding]:
    """Source type, use of generative AI, credit, and programs."""
    where = "XMP"
    name, declared = source_type(facts.source_type)
    if facts.source_type:
        yield Finding(Kind.SOURCE_TYPE, where, name, declared)
    if facts.ai_prompt:
        says = _beside(declared, Says.GENERATED)
        yield Finding(Kind.LABEL, where, clip(f"AI prompt: {facts.ai_prompt}"), says)
    if facts.ai_system:
        yield Finding(Kind.LABEL, where, clip(f"AI system used: {facts.ai_system}"), Says.EDITED)
    if facts.credit:
        yield Finding(Kind.CREDIT, where, facts.credit, credit_says(facts.credit))
    for program in dict.fromkeys(each for each in (facts.creator_tool, facts.software) if each):
        yield Finding(Kind.SOFTWARE, where, program, _beside(declared, tool_says(program)))
    for program in facts.history:
        if tool_says(program) is not Says.NOTHING:
            yield Finding(Kind.SOFTWARE, f"{where} history", program, Says.EDITED)
    if facts.remote_manifest.startswith(("http://", "https://")):
        claim = clip(f"kept at {facts.remote_manifest}, not fetched")
        yield Finding(Kind.CREDENTIAL, where, claim)


def _beside(declared: Says, says: Says) -> Says:
    """What a prompt or a program says beside a source type: where only a part is generated, it made that."""
    return Says.EDITED if declared is Says.EDITED and says is Says.GENERATED else says


def iptc_claims(facts: IptcFacts) -> Iterator[Finding]:
    """Credit and program."""
    if facts.credit:
        yield Finding(Kind.CREDIT, "IPTC", facts.credit, credit_says(facts.credit))
    if facts.program:
        yield Finding(Kind.SOFTWARE, "IPTC", facts.program, tool_says(facts.program))


def credential_claims(found: Credentials) -> Iterator[Finding]:
    """What the manifest of the file claims, and those of its ingredients that say how it came to be."""
    place = " outside its place" if found.outside else ""
    if not found.manifests:
        claim = clip("; ".join((_WITHOUT_MANIFESTS.get(found.state, "says nothing"), *found.reasons)))
        yield Finding(Kind.CREDENTIAL, f"C2PA{place}", claim, strength=found.strength)
    for manifest in found.manifests:
        if manifest.role is Role.FILE or manifest.says is not Says.NOTHING:
            where = f"C2PA{place}" if manifest.role is Role.FILE else f"C2PA {manifest.role.value}{place}"
            claim = _credential(manifest)
            if manifest.strength is Strength.BROKEN:
                claim = clip(", ".join((claim, *found.failures)))
            yield Finding(Kind.CREDENTIAL, where, claim, manifest.says, manifest.strength)
            if manifest.watermarks:
                claim = clip(f"declares a watermark or fingerprint: {', '.join(manifest.watermarks)}")
                yield Finding(Kind.WATERMARK, where, claim, strength=manifest.strength)


def _credential(manifest: Manifest) -> str:
    types = [action.source_type for action in manifest.actions if action.source_type]
    telling = [*types, *manifest.source_types]
    names = dict.fromkeys(source_type(value)[0] for value in telling)
    parts = [manifest.tool, *names, f"signed by {manifest.issuer or 'nobody named'}"]
    return clip(", ".join(part for part in parts if part))


def generation_claims(found: Generation) -> Finding:
    """The tool. Without a word of how it was used, the image may only have passed through it."""
    used = found.as_dict().keys() - {"tool", "where"}
    says = Says.EDITED if found.edited else Says.GENERATED if used else Says.NOTHING
    return Finding(Kind.GENERATION, found.where, clip(found.summary()), says, Strength.TEXT)
