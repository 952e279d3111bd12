from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigdetect.data.layouts import Sample
from aigdetect.errors import ImageError
from aigdetect.evaluation.protocols import PROTOCOLS, Protocol
from aigdetect.evaluation.robustness import Operation, parse_operations
from aigdetect.evaluation.score_samples import AS_THEY_ARE, form_name, score_forms, score_samples
from aigdetect.images.views import Picture, Pixels
from aigdetect.model.detector import Score
from aigdetect.scanning import preparation


@dataclass(frozen=True)
class Card:
    name: str = "fake"


@dataclass
class Mean:
    """A detector whose logit is the mean grey level of its view."""

    card: Card = Card()
    precision: str = "float32"
    batch_size: int = 3
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def view(self, picture: Picture) -> Pixels:
        pixels = np.asarray(picture)
        self.shapes.append(pixels.shape)
        return pixels[:16, :16]

    def score_views(self, views: Sequence[Pixels]) -> list[Score]:
        return [Score(float(view.mean()), 0.5, 0.0, "uncertain") for view in views]


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for index in range(8):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.full((40, 50, 3), 10 * index, dtype=np.uint8)).save(path)
        found.append(Sample(str(path), index % 2, "g", root=str(tmp_path)))
    return found


def test_one_record_per_image_in_order_whatever_the_threads(samples: list[Sample]) -> None:
    for workers in (1, 4):
        records = list(score_samples(samples, Mean(), protocol=PROTOCOLS["ours"], workers=workers))
        assert [record.logit for record in records] == [10.0 * index for index in range(8)]


def test_an_unreadable_image_keeps_its_place_and_is_not_replaced(samples: list[Sample]) -> None:
    Path(samples[2].path).write_bytes(b"no image")
    records = list(score_samples(samples, Mean(), protocol=PROTOCOLS["ours"]))
    assert records[2].logit is None
    assert "not an image" in str(records[2].error)
    said = records[3]
    assert (said.logit, said.score, said.log10_lr, said.verdict) == (30.0, 0.5, 0.0, "uncertain")
    assert said.error is None
    assert len(records) == 8


def test_the_operation_comes_before_the_protocol_and_the_protocol_before_the_view(
    samples: list[Sample],
) -> None:
    said: list[str] = []

    def note(name: str, change: int) -> object:
        def apply(pixels: Pixels) -> Pixels:
            said.append(name)
            return pixels[change:]

        return apply

    ours = PROTOCOLS["ours"]
    protocol = Protocol("p", "", note("protocol", 1), "", None, ours.splits, "")  # type: ignore[arg-type]
    operation = Operation("o", 1, note("operation", 2))  # type: ignore[arg-type]
    detector = Mean()
    list(score_samples(samples[:1], detector, protocol=protocol, operation=operation))
    assert said == ["operation", "protocol"]
    assert detector.shapes == [(37, 50, 3)]


def test_a_protocol_changes_what_the_model_sees(samples: list[Sample]) -> None:
    detector = Mean()
    list(score_samples(samples[:1], detector, protocol=PROTOCOLS["univfd"]))
    assert detector.shapes == [(224, 224, 3)]


def test_images_of_more_pixels_than_allowed_have_no_score(samples: list[Sample]) -> None:
    (record, *_) = score_samples(samples, Mean(), protocol=PROTOCOLS["ours"], max_pixels=1999)
    assert (record.error or "").endswith("--max-pixels allows more")
    (record, *_) = score_samples(samples, Mean(), protocol=PROTOCOLS["ours"], max_pixels=2000)
    assert record.error is None


def test_names_of_forms() -> None:
    assert form_name(AS_THEY_ARE) == "clean"
    assert [form_name(each) for each in parse_operations("blur:2")] == ["blur:2"]


def test_all_operations_are_applied_to_an_image_that_is_decoded_once(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(samples[4].path).write_bytes(b"no image")
    decoded: list[int] = []
    decode = preparation.decode

    def counted(data: bytes, **options: Any) -> Any:
        decoded.append(len(data))
        return decode(data, **options)

    def fail(pixels: Pixels) -> Pixels:
        if pixels[0, 0, 0] == 20:
            raise ImageError("too dark")
        return pixels + np.uint8(1)

    operations = [AS_THEY_ARE, *parse_operations("blur:2,jpeg:50,noise:10"), Operation("brighter", 1, fail)]
    protocol = PROTOCOLS["ours"]
    apart = {
        (sample.path, form_name(operation)): record
        for operation in operations
        for sample, record in zip(
            samples, score_samples(samples, Mean(), protocol=protocol, operation=operation), strict=True
        )
    }
    monkeypatch.setattr(preparation, "decode", counted)
    together = list(score_forms(samples, Mean(), protocol=protocol, operations=operations, workers=3))
    assert len(together) == len(apart) == 8 * 5
    for sample, operation, record in together:
        assert record == apart[sample.path, form_name(operation)]
    errors = {(Path(s.path).stem, form_name(o)): r.error for s, o, r in together if r.logit is None}
    assert len(errors) == 5 + 1
    assert errors["2", "brighter:1"] == "too dark"
    # one that fails after one operation, and one that is no image, once more for each of them
    assert len(decoded) == 8 + 2 * 5
