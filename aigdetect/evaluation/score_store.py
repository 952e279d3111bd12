"""Logits kept per image as CSV: a second report costs no inference, and an interrupted one goes on.

Beside ``NAME.csv`` lies ``NAME.json``, which says what the logits are of: model, digests, protocol. What a
calibration makes of them is not kept: it follows from the card at hand. Each row is on disk before the next
image is scored. Images are recognised by absolute path, size and time of change.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.evaluation.results import ImageScore
from aigdetect.files import FINGERPRINT_DIGITS, write_atomically, writing
from aigdetect.model.calibration import Calibration, Verdict
from aigdetect.scanning.record import Record
from aigdetect.scanning.writers import csv_line

STORE_VERSION = 3
"""Written beside the scores; another one is refused."""


@dataclass(frozen=True, slots=True)
class StoredScore:
    """One row of a store; the attributes are the columns, in order.

    Attributes:
        path: as the data set has it, made safe for spreadsheets; `image` identifies the file.
        label: 1 for generated, 0 for real.
        generator: generator or source.
        operation: what was done to the image first: ``"clean"``, ``"blur:2"``, ``"parity jpeg:90"``.
        logit: output of the model.
        kind: kind of picture that the model takes it for; empty if it is not sure.
        held_back: ``"yes"`` if the verdict was uncertain for another reason than the logit: the kind, or how
            little of the image is left.
        error: why there is no score; empty if there is one.
        precision: arithmetic of the model.
        sha256: digest of the file; empty if it could not be read.
        image: fingerprint of absolute path, size and time of change.
    """

    path: str
    label: int
    generator: str
    operation: str
    logit: float | None
    kind: str
    held_back: str
    error: str
    precision: str
    sha256: str
    image: str


COLUMNS = tuple(field.name for field in fields(StoredScore))
"""Names of the columns, in order."""


class ScoreStore:
    """Scores of one model under one protocol; a context manager while rows are added.

    Attributes:
        precisions: arithmetic of the scores it holds.

    Args:
        folder: where the files lie, made if it is not there; None keeps all in memory.
        name: of the files, without their endings.
        subject: what the scores are of, as pairs of term and text; another subject is refused.
        calibration: of the model; scores, likelihood ratios and verdicts are what it says of the logits.
        kinds: of pictures, that the model tells apart.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        subject: Mapping[str, str],
        calibration: Calibration,
        kinds: Sequence[str] = (),
    ) -> None:
        self.precisions: set[str] = set()
        self._path = folder and folder / f"{name}.csv"
        self._calibration = calibration
        self._thresholds = calibration.thresholds()
        self._kind_thresholds = calibration.kind_thresholds(kinds)
        self._head = {"version": STORE_VERSION, **subject}
        self._scores: dict[tuple[str, str], ImageScore] = {}
        self._images: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._rows: list[str] = []
        self._file: BinaryIO | None = None

    def read(self) -> None:
        """Take in what an earlier run left; a row that was cut short, and rows of failures, are dropped.

        Raises:
            UsageError: if the scores are of another model or protocol, or cannot be read.
        """
        if self._path is None or not _header_of(self._path).exists():
            return
        try:
            self._refuse_other(json.loads(_header_of(self._path).read_text(encoding="utf-8")))
            # a row that was cut short may end inside a character
            text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
            rows = [_stored(row) for row in _whole_rows(text)]
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._path}: cannot be read ({error}); --force scores anew") from error
        for row in rows:
            if not row.error:
                self._take(row)

    def missing(self, samples: Sequence[Sample], operation: str) -> list[Sample]:
        """The samples without a score after an operation, in order."""
        return [sample for sample in samples if self.score(sample, operation).score is None]

    def score(self, sample: Sample, operation: str) -> ImageScore:
        """Score of a sample after an operation; with an error if there is none."""
        return self._scores.get((self._image(sample), operation), ImageScore(error="not scored"))

    def digest(self, sample: Sample) -> str:
        """SHA-256 of a sample's file when it was scored; empty if it was not, or could not be read."""
        return self._digests.get(self._image(sample), "")

    def count_known(self, samples: Sequence[Sample], digests: Collection[str]) -> int:
        """How many of the samples that were scored have one of these contents.

        Args:
            samples: the samples.
            digests: SHA-256 in hexadecimal digits, such as those of a training.
        """
        return sum(self.digest(sample) in digests for sample in samples)

    def __enter__(self) -> ScoreStore:
        """Open the files; what was read stays in them.

        Raises:
            UsageError: if they cannot be written.
        """
        if self._path is not None:
            with writing(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(_header_of(self._path), f"{json.dumps(self._head, indent=1)}\n".encode())
                write_atomically(self._path, (csv_line(COLUMNS) + "".join(self._rows)).encode("utf-8"))
                self._file = self._path.open("ab", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, sample: Sample, operation: str, record: Record) -> None:
        """Take in a record, and hand its row to the operating system.

        Raises:
            UsageError: if the file cannot be written.
        """
        error = "" if record.logit is not None else record.error or "not scored"
        held_back = (
            record.logit is not None
            and record.verdict == "uncertain"
            and self._thresholds.verdict(record.logit) != "uncertain"
        )
        row = StoredScore(
            sample.path,
            sample.label,
            sample.generator,
            operation,
            record.logit,
            record.kind or "",
            "yes" if held_back else "",
            error,
            record.precision or "",
            record.sha256 or "",
            self._image(sample),
        )
        self._take(row)
        if self._file is not None and self._path is not None:
            with writing(self._path):
                self._file.write(self._rows[-1].encode("utf-8"))

    def _take(self, row: StoredScore) -> None:
        self._scores[row.image, row.operation] = self._judged(row)
        self._digests[row.image] = row.sha256
        self._rows.append(csv_line([getattr(row, name) for name in COLUMNS]))
        if row.precision:
            self.precisions.add(row.precision)

    def _judged(self, row: StoredScore) -> ImageScore:
        """What the calibration makes of a logit."""
        if row.logit is None:
            return ImageScore(error=row.error)
        verdict: Verdict = self._thresholds.verdict(row.logit)
        # without a kind it was the image itself that allowed no verdict, whatever the calibration
        if row.held_back and (not row.kind or row.logit <= self._kind_thresholds.get(row.kind, -math.inf)):
            verdict = "uncertain"
        calibration = self._calibration
        return ImageScore(
            row.logit, calibration.score(row.logit), calibration.log10_lr(row.logit), verdict, row.error
        )

    def _image(self, sample: Sample) -> str:
        if sample.path not in self._images:
            self._images[sample.path] = sample.fingerprint
        return self._images[sample.path]

    def _refuse_other(self, head: object) -> None:
        held = head if isinstance(head, dict) else {}
        for term, text in self._head.items():
            if held.get(term) != text:
                raise UsageError(
                    f"{self._path}: holds scores of another {term} ({held.get(term)}, now {text}); "
                    "choose another folder, or score anew with --force"
                )


def _header_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _whole_rows(text: str) -> Iterator[dict[str, str]]:
    """Rows of a store; a last one that was cut short is left out."""
    for row in csv.DictReader(io.StringIO(text, newline="")):
        # the fingerprint comes last: with all its digits the row is whole
        if len(row.get("image") or "") == FINGERPRINT_DIGITS:
            yield row


def _stored(row: Mapping[str, str]) -> StoredScore:
    return StoredScore(
        # what made it safe for spreadsheets must not grow from run to run
        row["path"].removeprefix("'"),
        int(row["label"]),
        row["generator"].removeprefix("'"),
        row["operation"],
        float(row["logit"]) if row["logit"] else None,
        row["kind"],
        row["held_back"],
        row["error"],
        row["precision"],
        row["sha256"],
        row["image"],
    )
