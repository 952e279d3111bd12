"""Where the findings in one file cannot all be true."""

from __future__ import annotations

from collections.abc import Sequence

from aigdetect.evidence.findings import MAX_ITEMS, Finding, Kind, Says


def contradictions(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Name the contradictions between findings, in words.

    Captured and then edited by AI is no contradiction, captured and generated is. A watermark may have come
    with an edit.
    """
    generated = [
        each
        for each in findings
        if each.says is Says.GENERATED and each.kind not in (Kind.CAMERA, Kind.WATERMARK)
    ]
    captured = [each for each in findings if each.says is Says.CAPTURED]
    said = [
        f"the camera in {each.where} is a program that generates images ({each.claim})"
        for each in findings
        if each.kind is Kind.CAMERA and each.says in (Says.GENERATED, Says.EDITED)
    ]
    for one in captured:
        for other in generated:
            said.append(f"{_named(one)}, but {_named(other)}")
    return tuple(said[:MAX_ITEMS])


def _named(finding: Finding) -> str:
    return f"{finding.where} says {finding.says.value} ({finding.kind.value}: {finding.claim})"
