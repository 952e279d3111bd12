"""A row turned into what the page shows: short texts and keys to sort by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aigdetect.scanning.opinion import opinion_columns, opinions_in
from aigdetect.scanning.page.provenance_lines import Claim, claims_of, lines_of, summary_of
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.record import COLUMNS
from aigdetect.text import log10_lr_text, one_line, score_text, shorten

VERDICTS = ("ai", "uncertain", "real", "error")
"""What a row can say, in the order in which it asks for attention."""

_LONGEST = 5000  # characters of any text on the page; a path of Linux has 4096 at most
_CLAIMED = 160  # characters of the claims in the table; details have them all
_ELSEWHERE = {
    "path",
    "status",
    "verdict",
    "score",
    "log10_lr",
    "notes",
    "provenance",
    "error",
    "width",
    "height",
    "time",
}
_LABELS = {
    "sha256": "SHA-256",
    "logit": "logit",
    "format": "format",
    "model": "model",
    "precision": "precision",
    "kind": "kind of picture",
    "frames": "key frames looked at",
}
_MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Picture:
    """A picture inside the page."""

    kind: str
    data: bytes


@dataclass(frozen=True)
class ShownOpinion:
    """What the page shows of what a further model says of an image.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        score: text, empty if there is none.
        key: number to sort by: the verdict, and within it the score from the top; None if there is no score.
    """

    verdict: str
    score: str
    key: float | None


@dataclass(frozen=True)
class Shown:
    """What the page shows of one image.

    Attributes:
        number: place in the scan, from 1.
        folder: of the path, with its last separator.
        name: of the file, of a frame with its time.
        is_frame: whether it is a frame of a video, which is no file of its own.
        verdict: one of :data:`VERDICTS`.
        rank: place of the verdict in them.
        score: text, empty if there is none.
        score_key: the number behind it.
        log10_lr: text, empty if there is none.
        log10_lr_key: the number behind it.
        odds: the likelihood ratio in words, empty if there is none.
        claimed: the metadata's claims in one line.
        remarks: error first, then the notes.
        facts: label and text.
        claims: what the metadata says.
        thumbnail: picture, or None.
        heatmap: likewise.
        spectrum: likewise.
        heatmap_caption: what the heat map shows.
        before: what the image was made from; picture, or None.
        structure: how a JPEG is built.
        also: what each further model that has a column says, in order.
    """

    number: int
    folder: str
    name: str
    is_frame: bool
    verdict: str
    rank: int
    score: str
    score_key: float | None
    log10_lr: str
    log10_lr_key: float | None
    odds: str
    claimed: str
    remarks: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    claims: tuple[Claim, ...]
    thumbnail: Picture | None
    heatmap: Picture | None
    spectrum: Picture | None
    heatmap_caption: str
    before: Picture | None
    structure: tuple[Claim, ...]
    also: tuple[ShownOpinion, ...]


def show(page_row: PageRow, number: int, also: Sequence[str] = ()) -> Shown:
    """What the page shows of a row.

    Args:
        page_row: rows read back can hold anything; what is of another type than it should be is left out.
        number: place in the scan, from 1.
        also: further models that have a column of the table each; what others say is among the facts.
    """
    row = page_row.row
    path = _text(row.get("path"))
    cut = path.rstrip("/").rfind("/") + 1
    verdict = _verdict(row.get("verdict"))
    score, log10_lr = _number(row.get("score")), _number(row.get("log10_lr"))
    provenance = row.get("provenance")
    provenance = provenance if isinstance(provenance, Mapping) else {}
    time = _number(row.get("time"))
    opinions = opinions_in(row)
    return Shown(
        number=number,
        folder=path[:cut],
        name=path[cut:] if time is None else f"{path[cut:]}#t={time:.3f}",
        is_frame=time is not None,
        verdict=verdict,
        rank=VERDICTS.index(verdict),
        score=score_text(score),
        score_key=score,
        log10_lr=log10_lr_text(log10_lr).replace("-", "−"),
        log10_lr_key=log10_lr,
        odds=_odds(log10_lr),
        claimed=one_line(summary_of(provenance), _CLAIMED),
        remarks=_remarks(row),
        facts=tuple(_facts(row, opinions, also)),
        claims=claims_of({name: value for name, value in provenance.items() if name != "jpeg"}),
        thumbnail=_picture(page_row.thumbnail),
        heatmap=_picture(page_row.heatmap),
        spectrum=_picture(page_row.spectrum),
        heatmap_caption=page_row.heatmap_caption,
        before=_picture(page_row.before),
        structure=lines_of(provenance.get("jpeg"), ""),
        also=tuple(_opinion(*opinions.get(name, (None, None))) for name in also),
    )


def _verdict(value: object) -> str:
    return str(value) if value in VERDICTS else "error"


def _opinion(score: object, verdict: object) -> ShownOpinion:
    number, shown = _number(score), _verdict(verdict)
    key = None if number is None else VERDICTS.index(shown) - number
    return ShownOpinion(shown, score_text(number), key)


def _text(value: object) -> str:
    return shorten(value if isinstance(value, str) else "" if value is None else str(value), _LONGEST)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _remarks(row: Mapping[str, Any]) -> tuple[str, ...]:
    notes = row.get("notes")
    error = [row["error"]] if row.get("error") else []
    return tuple(_text(item) for item in (*error, *(notes if isinstance(notes, (list, tuple)) else ())))


def _facts(
    row: Mapping[str, Any], opinions: Mapping[str, tuple[Any, Any]], also: Sequence[str]
) -> list[tuple[str, str]]:
    """What the table has no column for: of ``opinions``, all but those of the models ``also``."""
    facts = []
    if row.get("width") is not None and row.get("height") is not None:
        facts.append(("size", f"{_text(row['width'])} × {_text(row['height'])} pixels"))
    elsewhere = {*_ELSEWHERE, *opinion_columns(tuple(opinions))}
    others = [*COLUMNS, *(name for name in row if name not in COLUMNS)]
    for name in others:
        if name not in elsewhere:
            lines = lines_of(row.get(name), _LABELS.get(name, name.replace("_", " ")))
            facts += [(line.label, line.text) for line in lines]
    for model, (score, verdict) in opinions.items():
        if model not in also and (number := _number(score)) is not None:
            facts.append((_text(f"further model {model}"), f"score {score_text(number)}, {_text(verdict)}"))
    return facts


def _odds(log10_lr: float | None) -> str:
    """A likelihood ratio in words, to two digits: it knows no more."""
    if log10_lr is None:
        return ""
    times = float(f"{10 ** min(abs(log10_lr), 12):.2g}")
    more, less = ("generated", "real") if log10_lr >= 0 else ("real", "generated")
    if times < 1.15:
        return "about as frequent among real as among generated images"
    return f"about {times:,g} times as frequent among {more} as among {less} images"


def _picture(data: bytes | None) -> Picture | None:
    """A picture with its media type, by its first bytes; None for what is no picture."""
    kind = next((kind for magic, kind in _MAGIC.items() if data and data.startswith(magic)), None)
    return Picture(kind, data) if kind and data else None
