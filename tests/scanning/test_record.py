"""One row of a scan."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, dataclass
from typing import Literal

import pytest

from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.provenance import Provenance
from aigdetect.scanning.record import COLUMNS, Record


@dataclass(frozen=True)
class FakeScore:
    logit: float = 2.5
    score: float = 0.92
    log10_lr: float = 1.1
    verdict: Literal["ai", "uncertain", "real"] = "ai"
    kind: str | None = None
    notes: tuple[str, ...] = ()


def test_columns_are_those_promised() -> None:
    assert ",".join(COLUMNS) == (
        "path,sha256,status,verdict,score,logit,log10_lr,format,width,height,notes,provenance,error"
        ",model,precision,stability,kind,time,frames"
    )


def test_a_record_is_an_error_until_it_is_scored() -> None:
    record = Record("a.png")
    assert (record.status, record.verdict, record.error) == ("error", None, "not scored")
    scored = record.scored(FakeScore(), model="m", precision="float32")
    assert (scored.status, scored.verdict, scored.error) == ("scored", "ai", None)
    assert (scored.score, scored.logit, scored.log10_lr) == (0.92, 2.5, 1.1)
    assert (scored.model, scored.precision) == ("m", "float32")


def test_a_failure_names_its_reason_and_keeps_the_facts() -> None:
    failed = Record("a.png", sha256="00", width=3).failed("file is truncated")
    assert (failed.status, failed.error) == ("error", "file is truncated")
    assert (failed.sha256, failed.width) == ("00", 3)


def test_json_object_has_the_columns_in_order_and_null_for_what_is_not_known() -> None:
    row = json.loads(json.dumps(Record("a.png").as_dict()))
    assert tuple(row) == COLUMNS
    assert row["notes"] == []
    unknown = set(COLUMNS) - {"path", "status", "notes", "error"}
    assert all(row[name] is None for name in unknown)


def test_no_provenance_found_is_not_the_same_as_not_looked() -> None:
    assert Record("a", provenance=Provenance()).as_dict()["provenance"] == {}
    found = Record("a", provenance=Provenance(exif=ExifFacts(make="Canon"))).as_dict()["provenance"]
    assert found == {"exif": {"make": "Canon"}}


def test_a_record_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Record("a").path = "b"  # type: ignore[misc]
