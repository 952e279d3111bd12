"""Files that other programs run: the model's own logits, whatever the batch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import clip_tower, plain_tower

from aigdetect.errors import ModelError, UsageError
from aigdetect.files import file_sha256
from aigdetect.methods.loading import load_detector, load_network
from aigdetect.model import standalone
from aigdetect.model.card import ADAPTER_NAME, read_card, write_card
from aigdetect.model.head import Head
from aigdetect.model.network import MoleNetwork
from aigdetect.model.standalone import CARD_KEY, export_model, told
from aigdetect.model.towers.merging import TokenMerging
from aigdetect.model.towers.tower import AdapterConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def model(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that sees two views, each with weights of its own on three class tokens and their products."""
    folder = tmp_path_factory.mktemp("export") / "two"
    folder.mkdir()
    card = read_card(tiny_model.folder)
    card = replace(
        card,
        adapter=replace(card.adapter, head_blocks=3, head_views="own", head_kernel="quadratic"),
        preprocess=replace(card.preprocess, views=("center_crop", "whole")),
    )
    torch.manual_seed(3)
    state = load_file(tiny_model.folder / ADAPTER_NAME)
    head = Head(blocks=3, width=64, sets=2, kernel="quadratic")
    assert head.quadratic is not None
    head.quadratic.fit(torch.randn(20, 2, 192))
    state |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    state |= {"head.weight": 3 * torch.randn(head.weight.shape), "head.bias": torch.randn(2)}
    save_file(state, folder / ADAPTER_NAME)
    write_card(folder, replace(card, adapter_sha256=file_sha256(folder / ADAPTER_NAME)))
    return folder


def network_of(folder: Path, weights: Path) -> Any:
    card = read_card(folder)
    quiet = {"say": lambda line: None, "warn": lambda line: None}
    return load_network(folder, card, weights=weights, offline=True, **quiet)[0], card


@pytest.fixture(scope="module")
def onnx_file(model: Path, tiny_model: Any) -> Path:
    path = model.parent / "mole.onnx"
    difference = export_model(*network_of(model, tiny_model.weights), path, "onnx")
    assert difference < 1e-4
    return path


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*sides, 3), dtype=np.uint8) for sides in ((200, 170), (90, 300), (64, 64))]


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_any_number_of_images_gets_the_models_own_logits(
    model: Path, tiny_model: Any, onnx_file: Path, images: list[np.ndarray], tmp_path: Path, form: str
) -> None:
    detector = load_detector(model, weights=tiny_model.weights, device="cpu", precision="float32")
    views = np.stack([detector.view(image) for image in images])
    expected = [score.logit for score in detector.score(images)]
    if form == "onnx":
        session = onnxruntime.InferenceSession(str(onnx_file))
        about = session.get_modelmeta().custom_metadata_map[CARD_KEY]

        def run(some: np.ndarray) -> np.ndarray:
            return session.run(None, {"views": some})[0]
    else:
        path = tmp_path / "mole.pt2"
        export_model(*network_of(model, tiny_model.weights), path, "torch")
        extra = {CARD_KEY: ""}
        program = torch.export.load(path, extra_files=extra)
        about = extra[CARD_KEY]

        def run(some: np.ndarray) -> np.ndarray:
            return program.module()(torch.from_numpy(some)).detach().numpy()

    assert len(set(np.round(expected, 2))) == 3
    for count in (1, 3):
        np.testing.assert_allclose(run(views[:count]), expected[:count], atol=1e-3)
    np.testing.assert_allclose(run(np.tile(views, (3, 1, 1, 1, 1))), expected * 3, atol=1e-3)
    assert json.loads(about) == told(read_card(model))
    assert json.loads(about)["views"] == ["center_crop", "whole"]


@pytest.mark.parametrize("head_views", ["own", "shared"])
def test_crops_count_together_like_the_whole_image(
    model: Path, tiny_model: Any, images: list[np.ndarray], tmp_path: Path, head_views: str
) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    state = load_file(model / ADAPTER_NAME)
    if head_views == "shared":
        own = (
            "head.weight",
            "head.bias",
            *(f"head.quadratic.{name}" for name in ("centre", "scale", "components")),
        )
        state |= {name: state[name][:1].clone() for name in own}
    save_file(state, folder / ADAPTER_NAME)
    card = read_card(model)
    card = replace(
        card,
        adapter=replace(card.adapter, head_views=head_views),
        preprocess=replace(card.preprocess, views=("center_crop", "top_left", "whole", "bottom_right")),
        adapter_sha256=file_sha256(folder / ADAPTER_NAME),
    )
    write_card(folder, card)
    detector = load_detector(folder, weights=tiny_model.weights, device="cpu", precision="float32")
    views = np.stack([detector.view(image) for image in images])
    export_model(*network_of(folder, tiny_model.weights), tmp_path / "crops.pt2", "torch")
    logits = torch.export.load(tmp_path / "crops.pt2").module()(torch.from_numpy(views)).detach().numpy()
    np.testing.assert_allclose(logits, [score.logit for score in detector.score(images)], atol=1e-3)


def test_the_readmes_example_scores_as_the_program_does(
    model: Path, tiny_model: Any, onnx_file: Path, images: list[np.ndarray]
) -> None:
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "Inference" in block
    )
    for number, image in enumerate(images):
        Image.fromarray(image).save(onnx_file.parent / f"{number}.png")
    names = [f"{number}.png" for number in range(len(images))]
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=onnx_file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    detector = load_detector(model, weights=tiny_model.weights, device="cpu", precision="float32")
    for line, name, score in zip(done.stdout.splitlines(), names, detector.score(images), strict=True):
        path, _, logit, _, value = line.split()
        assert path == name
        assert float(logit) == pytest.approx(score.logit, abs=2e-3)
        assert float(value) == pytest.approx(score.score, abs=2e-3)


@pytest.mark.parametrize(
    ("tower", "settings"),
    [
        (clip_tower, {"blocks": 2}),
        (plain_tower, {"blocks": 2}),
        (plain_tower, {"blocks": 1, "modules": ("attention",)}),
        (plain_tower, {"blocks": 0}),
        (plain_tower, {"blocks": 1, "merging": TokenMerging(0.25, 1)}),
    ],
)
def test_clips_towers_too(
    model: Path, tmp_path: Path, tower: Callable[..., Any], settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    network = MoleNetwork(tower(layers=3), AdapterConfig(**settings), head_blocks=3, head_sets=2).eval()
    for parameter in network.trainable().values():
        torch.nn.init.normal_(parameter, std=0.3)
    card = read_card(model)
    card = replace(card, preprocess=replace(card.preprocess, size=32))
    assert export_model(network, card, tmp_path / "m.onnx", "onnx") < 1e-4


def test_a_file_with_other_logits_is_not_kept(
    model: Path, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone, "_onnx", lambda whole, views, about: (b"", np.zeros(3, np.float32) + 99))
    with pytest.raises(ModelError, match="as onnx, a logit differs by"):
        export_model(*network_of(model, tiny_model.weights), tmp_path / "m.onnx", "onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(model: Path, tiny_model: Any, onnx_file: Path) -> None:
    made = network_of(model, tiny_model.weights)
    with pytest.raises(UsageError, match="is there already; name another file"):
        export_model(*made, onnx_file, "onnx")
    with pytest.raises(UsageError, match="--to: 'tflite' is none of onnx, torch"):
        export_model(*made, onnx_file.with_suffix(".tflite"), "tflite")
