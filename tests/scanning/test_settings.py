"""Rows of other settings do not go together, and what differs is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aigdetect.model.calibration import Calibration
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess
from aigdetect.scanning.model_in_use import ModelInUse
from aigdetect.scanning.settings import Other, Settings, difference, names_of_others

NPR = Other("npr", "1" * 64, "2" * 64, None, "float32")
SETTINGS = Settings(
    "p 1", "m", "c" * 64, "a" * 64, "b" * 64, "cpu", "float32", 8, 0.01, 100, False, also=(NPR,)
)


def test_settings_come_back_from_json_as_they_are() -> None:
    held = json.loads(json.dumps(SETTINGS.as_dict()))
    assert held == SETTINGS.as_dict()
    assert names_of_others(held) == SETTINGS.names_of_others == ("npr",)
    assert difference(held, SETTINGS.as_dict()) == ""


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (replace(SETTINGS, also=()), "further models npr, not none"),
        (replace(SETTINGS, also=(NPR, replace(NPR, model="dct"))), "further models npr, not npr, dct"),
        (
            replace(SETTINGS, also=(replace(NPR, adapter_sha256="3" * 64),)),
            "another npr: adapter sha256 222222222222..., not 333333333333...",
        ),
        (
            replace(SETTINGS, also=(replace(NPR, precision="int8"),)),
            "another npr: precision float32, not int8",
        ),
        (replace(SETTINGS, also=(), model="n"), "model m, not n"),
    ],
)
def test_the_first_difference_is_named(now: Settings, said: str) -> None:
    assert difference(SETTINGS.as_dict(), now.as_dict()) == said


def test_settings_of_a_version_without_further_models_had_none() -> None:
    held = replace(SETTINGS, also=()).as_dict()
    del held["also"]
    assert difference(held, replace(SETTINGS, also=()).as_dict()) == ""
    assert difference(held, SETTINGS.as_dict()) == "further models none, not npr"


def test_the_rate_is_that_of_the_model_unless_another_is_asked_for() -> None:
    card = ModelCard(
        name="mine",
        backbone="ViT-T",
        backbone_digest="b" * 64,
        preprocess=Preprocess(224, (0.5,) * 3, (0.5,) * 3, ("center_crop",)),
        adapter=AdapterCard(0, ("mlp",), 0, (), None, 0),
        adapter_sha256="a" * 64,
        calibration=Calibration(1.0, 0.0, 3, 3, (-3.0, -2.0, 1.0), (-1.0, 2.0, 3.0), fpr=0.1),
    )
    model = ModelInUse(card, card.calibration.thresholds(), None, "cpu", "float32", 8)
    for asked, rate in ((None, 0.1), (0.02, 0.02), (0.0, 0.0)):
        assert Settings.of_model(model, fpr=asked, max_pixels=100, stability=False).fpr == rate
