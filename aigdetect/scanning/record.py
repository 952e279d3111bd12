"""One row of a scan: what is known about one image."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol

from aigdetect.evidence.provenance import Provenance
from aigdetect.model.calibration import Verdict
from aigdetect.scanning.opinion import Opinion
from aigdetect.scanning.stability import Stability

Status = Literal["scored", "error"]

Cause = Literal["file", "access", "time", "memory", "process", "scoring"]
"""Why there is no score: the file itself, or what may pass, such as a disk that is out of reach."""


class Scored(Protocol):
    """What a detector says of one image (``aigdetect.Score``)."""

    @property
    def logit(self) -> float:
        """Output of the network."""

    @property
    def score(self) -> float:
        """Calibrated probability, 0..1."""

    @property
    def log10_lr(self) -> float:
        """Decimal logarithm of the likelihood ratio."""

    @property
    def verdict(self) -> Verdict:
        """In one word."""

    @property
    def kind(self) -> str | None:
        """Kind of picture; None if that is not known."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the verdict rests on beside the logit."""


@dataclass(frozen=True)
class Record:
    """What is known about one image, a frame of a video, or a whole video; None for what is not known.

    The attributes are the columns, in order, but for the last four; columns are only ever added at the end.
    Those of further models, if any are asked, come behind all others.

    Attributes:
        path: as given, or joined to the folder as given; ``os.fsencode`` brings back its bytes.
        sha256: digest of the file, in hexadecimal.
        status: ``"scored"`` or ``"error"``.
        verdict: ``"ai"``, ``"uncertain"`` or ``"real"``.
        score: calibrated probability of being generated, 0..1, at equal priors.
        logit: output of the network.
        log10_lr: decimal logarithm of the likelihood ratio.
        format: container by content.
        width: in pixels, as displayed.
        height: in pixels, as displayed.
        notes: what limits the score.
        provenance: what the metadata claims; never part of the score.
        error: why the image was not scored.
        model: name of the model that scored it.
        precision: precision in which it was scored.
        stability: what the model says of the image after mild changes, if that was asked for.
        kind: what kind of picture the model takes it for, such as photograph or document.
        time: of a frame of a video: seconds from its first picture; None for a file.
        frames: of a video: how many of its frames were looked at; None for an image, and for a frame.
        cause: what kind of error it is, or what kept its metadata from being read, or a further model from
            scoring it; no column.
        doubtful: whether so little of the image is left, or to be seen, that the verdict can only be
            uncertain; no column.
        parts: of a video: the records of its frames; no column.
        also: what each further model that is asked says of it; two columns each.
    """

    path: str
    sha256: str | None = None
    status: Status = "error"
    verdict: Verdict | None = None
    score: float | None = None
    logit: float | None = None
    log10_lr: float | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    notes: tuple[str, ...] = ()
    provenance: Provenance | None = None
    error: str | None = "not scored"
    model: str | None = None
    precision: str | None = None
    stability: Stability | None = None
    kind: str | None = None
    time: float | None = None
    frames: int | None = None
    cause: Cause = field(default="file", metadata={"column": False})
    doubtful: bool = field(default=False, metadata={"column": False})
    parts: tuple[Record, ...] = field(default=(), metadata={"column": False})
    also: tuple[Opinion, ...] = field(default=(), metadata={"column": False})

    @property
    def rows(self) -> tuple[Record, ...]:
        """All rows of a file: its own, and those of its frames."""
        return (self, *self.parts)

    @property
    def shown_path(self) -> str:
        """What a row is called where people read it: of a frame with its time, as in a fragment of a URI."""
        return self.path if self.time is None else f"{self.path}#t={self.time:.3f}"

    def at(self, path: str) -> Record:
        """The record, and those of its parts, of a file that goes by another path."""
        return replace(self, path=path, parts=tuple(part.at(path) for part in self.parts))

    def scored(self, score: Scored, *, model: str, precision: str) -> Record:
        """The record with the score that a model gave it."""
        return replace(
            self,
            status="scored",
            verdict="uncertain" if self.doubtful else score.verdict,
            score=score.score,
            logit=score.logit,
            log10_lr=score.log10_lr,
            error=None,
            model=model,
            precision=precision,
            kind=score.kind,
        ).noted(*score.notes)

    def failed(self, error: str, cause: Cause = "file") -> Record:
        """The record with the reason why it has no score, and what kind of reason that is."""
        return replace(self, status="error", error=error, cause=cause)

    def noted(self, *notes: str) -> Record:
        """The record with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def steadied(self, stability: Stability) -> Record:
        """A scored record with what the model says after mild changes; a verdict that flips is uncertain."""
        if self.verdict is None:
            return self
        flips = () if self.doubtful else stability.against(self.verdict)
        return replace(
            self,
            verdict="uncertain" if flips else self.verdict,
            stability=stability,
        ).noted(*((f"verdict not stable: {', '.join(flips)}",) if flips else ()))

    def heard(self, model: str, said: Record, before: Record) -> Record:
        """The record with what a further model says; why it says nothing is a note, and may pass.

        Args:
            model: what the model is called among those that are asked.
            said: the record of the same file, had that model scored it.
            before: the record before any model saw it.
        """
        opinion = Opinion(model, said.score, said.verdict)
        with_it = replace(self, also=(*self.also, opinion))
        if not said.error or said.error == before.error:
            return with_it
        cause = said.cause if self.cause == "file" else self.cause
        return replace(with_it, cause=cause).noted(f"{model}: {said.error}")

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON, its keys in the order of the columns."""
        row: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        row["notes"] = list(self.notes)
        row["provenance"] = self.provenance and self.provenance.as_dict()
        row["stability"] = self.stability and self.stability.as_dict()
        for opinion in self.also:
            row |= opinion.as_columns()
        return row


COLUMNS = tuple(each.name for each in fields(Record) if each.metadata.get("column", True))
"""Names of the columns, in order, without those of further models."""
