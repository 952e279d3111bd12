from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from aigdetect.errors import ModelError, UsageError
from aigdetect.model.calibration import Calibration
from aigdetect.model.card import (
    CARD_NAME,
    AdapterCard,
    ModelCard,
    Preprocess,
    find_model_folder,
    read_card,
    shipped_models,
    write_card,
)

CARD = ModelCard(
    name="some",
    backbone="ViT-B-16",
    backbone_digest="ab" * 32,
    preprocess=Preprocess(224, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), ("center_crop", "whole")),
    adapter=AdapterCard(3, ("mlp",), 8, (4, 8, 16), None, 9),
    adapter_sha256="cd" * 32,
    calibration=Calibration(1.5, -0.25, 2, 3, (-2.5, -1.0), (0.5, 1.0, 2.0)),
    command="aigdetect train --data progan",
    recipe={"epochs": 3, "expert_ranks": [4, 8, 16]},
    data={"training": {"real": {"coco": 3}}},
    metrics={"validation": {"auc": 0.9}},
    program="aigdetect 0.1.0",
)


def test_round_trip(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    assert read_card(tmp_path) == CARD
    assert [path.name for path in tmp_path.iterdir()] == [CARD_NAME]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.text(max_size=30))
@example(0.0, 1.0, "line\x85breaks\u2028of all\r\nkinds\n")
@example(0.0, 1.0, "no text: \udcff\udc80")
def test_round_trip_of_any_values(
    tmp_path_factory: pytest.TempPathFactory, a: float, b: float, text: str
) -> None:
    folder = tmp_path_factory.mktemp("card")
    card = replace(CARD, name=text, calibration=replace(CARD.calibration, intercept=a, slope=b))
    write_card(folder, card)
    assert read_card(folder) == card


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"card_version": 1}, "card version 1"),
        ({"card_version": None}, "card version None"),
        ({"backbone": ...}, "backbone: is missing"),
        ({"surprise": 1}, "surprise: unknown setting"),
        ({"adapter": None}, "adapter"),
        ({"calibration": {"slope": 1}}, "calibration.intercept: is missing"),
        ({"calibration": {**CARD.as_dict()["calibration"], "slope": -1.0}}, "slope -1.0"),
        ({"calibration": {**CARD.as_dict()["calibration"], "real_logits": []}}, "real_logits is empty"),
        ({"preprocess": {"size": 224, "mean": ["x"], "std": [1]}}, "preprocess.mean"),
        ({"preprocess": {**CARD.as_dict()["preprocess"], "views": ["top"]}}, "views: ['top']"),
        ({"preprocess": {**CARD.as_dict()["preprocess"], "views": []}}, "views: []"),
    ],
)
def test_damaged_cards_are_one_clear_line(tmp_path: Path, change: dict[str, object], named: str) -> None:
    data = {key: value for key, value in {**CARD.as_dict(), **change}.items() if value is not ...}
    (tmp_path / CARD_NAME).write_text(yaml.safe_dump(data))
    with pytest.raises(ModelError) as caught:
        read_card(tmp_path)
    assert named in str(caught.value)
    assert CARD_NAME in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b"a: [", b"\xff\xfe\x00", b"!!python/object/apply:os.system ['x']"]
)
def test_what_is_no_card(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CARD_NAME).write_bytes(content)
    with pytest.raises(ModelError):
        read_card(tmp_path)


def test_models_are_found_by_folder_and_a_wrong_name_lists_the_shipped(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    assert find_model_folder(str(tmp_path)) == tmp_path
    for name in ("no-such-model", "x" * 300, "a\0b"):
        with pytest.raises(UsageError) as caught:
            find_model_folder(name)
        assert f"model {name!r}: no such folder" in str(caught.value)
        assert all(shipped in str(caught.value) for shipped in shipped_models())
