from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from reference import add_bypasses, plain_logit
from safetensors.torch import load_file, save_file
from skimage import data as photographs

import aigdetect
from aigdetect.errors import ImageError, ModelError, UsageError, WeightsError
from aigdetect.images.views import take_views
from aigdetect.methods.loading import load_detector
from aigdetect.model.calibration import Calibration, KindCalibration
from aigdetect.model.card import (
    ADAPTER_NAME,
    AdapterCard,
    ModelCard,
    Preprocess,
    file_sha256,
    read_card,
    write_card,
)
from aigdetect.model.detector import Detector, adapter_config, choose_device
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.arithmetic import choose_precision
from aigdetect.model.towers.build import load_tower


def load(tiny_model: Any, **options: Any) -> Detector:
    return load_detector(tiny_model.folder, weights=tiny_model.weights, device="cpu", **options)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [photographs.astronaut(), photographs.coffee(), photographs.chelsea(), photographs.rocket()]


@pytest.fixture(scope="module")
def views(photos: list[np.ndarray]) -> list[np.ndarray]:
    shifts = (0, 40, 80, 120, 160)
    return [take_views(photo[:, shift:], ["center_crop"], 160) for photo in photos for shift in shifts]


def test_paths_images_and_arrays_score_the_same(
    tiny_model: Any, photos: list[np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "astronaut.png"
    Image.fromarray(photos[0]).save(path)
    detector = load(tiny_model)
    scores = detector.score([path, str(path), Image.open(path), photos[0]])
    assert len(set(scores)) == 1
    assert 0 < scores[0].score < 1
    assert scores[0].score == pytest.approx(1 / (1 + np.exp(-scores[0].logit)))
    assert scores[0].verdict in {"ai", "uncertain", "real"}
    assert detector.score([]) == []


def test_logit_equals_the_plain_tower_with_the_bypass_added_by_hand(
    tiny_model: Any, views: list[np.ndarray]
) -> None:
    import timm

    adapter = load_file(tiny_model.folder / ADAPTER_NAME)
    tower = timm.create_model("test_vit", pretrained=False, num_classes=0).eval()
    tower.load_state_dict(load_file(tiny_model.weights))
    last = len(tower.blocks) - 1
    mlps = {f"block{index}_mlp": tower.blocks[index].mlp for index in (last - 1, last)}
    add_bypasses(mlps, adapter, ranks=(2, 1, 2, 4))
    preprocess = read_card(tiny_model.folder).preprocess
    statistics = {"mean": preprocess.mean, "std": preprocess.std}
    expected = [plain_logit(tower, adapter, view, **statistics) for (view,) in views]
    for batch_size in (1, 3, 8):
        logits = load(tiny_model, precision="float32", batch_size=batch_size).logits(views)
        np.testing.assert_allclose(logits, expected, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_neighbours_order_and_place_in_the_batch_do_not_change_a_bit(
    tiny_model: Any, views: list[np.ndarray], precision: str
) -> None:
    detector = load(tiny_model, precision=precision, batch_size=8)
    together = detector.logits(views)
    assert detector.logits(views) == together
    assert detector.logits(views[::-1]) == together[::-1]
    assert [detector.logits([view])[0] for view in views] == together
    assert detector.logits(views[3:]) == together[3:]


def test_the_package_offers_it(tiny_model: Any) -> None:
    assert aigdetect.load_detector is load_detector
    with pytest.raises(AttributeError):
        aigdetect.nothing_of_that_name  # noqa: B018


def test_a_single_image_and_errors_in_their_place(
    tiny_model: Any, photos: list[np.ndarray], tmp_path: Path
) -> None:
    detector = load(tiny_model)
    path = tmp_path / "a.png"
    Image.fromarray(photos[0]).save(path)
    expected = detector.score([path])
    for single in (path, str(path), Image.fromarray(photos[0]), photos[0]):
        assert detector.score(single) == expected
    (tmp_path / "b.png").write_bytes(b"no image at all, but text")
    first, failure, missing, last = detector.score(
        [path, tmp_path / "b.png", tmp_path / "none.png", path], on_error="return"
    )
    assert [first, last] == expected * 2
    assert "b.png: not an image" in str(failure)
    assert "none.png: cannot be read" in str(missing)
    with pytest.raises(ImageError, match=r"b\.png"):
        detector.score([path, tmp_path / "b.png"])


def test_what_cannot_be_scored_is_named(tiny_model: Any, tmp_path: Path) -> None:
    detector = load(tiny_model)
    (tmp_path / "text.jpg").write_text("no picture")
    small = Image.new("RGB", (20, 300))
    small.save(tmp_path / "small.png")
    for image, named in (
        (tmp_path / "none.png", "none.png"),
        (tmp_path / "text.jpg", "text.jpg"),
        (tmp_path / "small.png", "small.png: too small to score: 20x300"),
        (small, "image 0: too small"),
        (np.zeros((40, 40)), "image 0: array float64 (40, 40)"),
    ):
        with pytest.raises(ImageError) as caught:
            detector.score([image])
        assert named in str(caught.value)


@pytest.fixture
def copied(tiny_model: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model.folder, tmp_path / "copy"))


def change_adapter(folder: Path, change: Any) -> None:
    state = load_file(folder / ADAPTER_NAME)
    change(state)
    old = file_sha256(folder / ADAPTER_NAME)
    save_file(state, folder / ADAPTER_NAME)
    card = folder / "model.yaml"
    card.write_text(card.read_text().replace(old, file_sha256(folder / ADAPTER_NAME)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("head.bias"), "'head.bias' is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "'extra' has no place"),
        (
            lambda state: state.update({"head.bias": torch.zeros(2)}),
            "'head.bias' has shape (2,), expected (1,)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tiny_model: Any, copied: Path, change: Any, named: str) -> None:
    change_adapter(copied, change)
    with pytest.raises(ModelError) as caught:
        load_detector(copied, weights=tiny_model.weights)
    assert named in str(caught.value)


def test_experts_that_add_nothing_are_known_as_such(tiny_model: Any, copied: Path) -> None:
    assert not any(bypass.idle for bypass in load(tiny_model).network.bypasses.values())

    def clear(state: dict[str, torch.Tensor]) -> None:
        state.update({name: 0 * state[name] for name in state if name.endswith(".up")})

    change_adapter(copied, clear)
    untrained = load_detector(copied, weights=tiny_model.weights)
    assert all(bypass.idle for bypass in untrained.network.bypasses.values())


@pytest.mark.parametrize(
    ("setting", "named"), [("blocks: 2", "blocks: 99"), ("head_blocks: 0", "head_blocks: 99")]
)
def test_a_card_that_asks_for_what_its_backbone_lacks_is_named(
    tiny_model: Any, copied: Path, setting: str, named: str
) -> None:
    card = copied / "model.yaml"
    card.write_text(card.read_text().replace(f"  {setting}\n", f"  {named}\n"))
    with pytest.raises(ModelError) as caught:
        load_detector(copied, weights=tiny_model.weights)
    assert str(caught.value).startswith(f"{card}: {named} is ")
    assert str(caught.value).endswith("restore the model folder")


def test_a_damaged_adapter_is_refused(tiny_model: Any, copied: Path) -> None:
    path = copied / ADAPTER_NAME
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not the card's"):
        load_detector(copied, weights=tiny_model.weights)
    path.unlink()
    with pytest.raises(ModelError, match="missing"):
        load_detector(copied, weights=tiny_model.weights)


def test_other_weights_of_the_backbone_are_a_warning(tiny_model: Any, tmp_path: Path) -> None:
    state = load_file(tiny_model.weights)
    state["norm.bias"] += 1
    save_file(state, tmp_path / "other.safetensors")
    said: list[str] = []
    load_detector(tiny_model.folder, weights=tmp_path / "other.safetensors", warn=said.append)
    assert len(said) == 1
    assert "tiny was trained on other weights of timm/test_vit" in said[0]
    with pytest.warns(UserWarning, match="other weights"):
        load_detector(tiny_model.folder, weights=tmp_path / "other.safetensors")


def test_the_right_weights_are_no_warning(tiny_model: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tiny_model)


def test_weights_of_another_tower_are_refused(tiny_model: Any, tmp_path: Path) -> None:
    state = load_file(tiny_model.weights)
    del state["norm.bias"]
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"does not hold the image tower .* the first norm\.bias"):
        load_detector(tiny_model.folder, weights=tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"device": "abacus"}, "device 'abacus'"),
        ({"precision": "float8"}, "precision 'float8'"),
        ({"batch_size": 0}, "batch size: 0"),
        ({"fpr": 1.0}, "fpr: 1.0"),
        ({"fpr": -0.1}, "fpr: -0.1"),
    ],
)
def test_impossible_arguments_are_named(tiny_model: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_detector(tiny_model.folder, weights=tiny_model.weights, **options)
    assert named in str(caught.value)


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == torch.device("cpu")
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_precision("float32", cuda) == "float32"
    assert choose_precision("auto", torch.device("mps")) == "float32"
    for amx, avx, expected in (
        (True, False, "bfloat16"),
        (False, True, "bfloat16"),
        (False, False, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda answer=amx: answer, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda answer=avx: answer, raising=False)
        assert choose_precision("auto", cpu) == expected
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="not on this machine"):
            choose_device("cuda")


def test_a_kind_holds_a_verdict_back_and_never_brings_one_about(
    tiny_weights: Path, photos: list[np.ndarray], tmp_path: Path
) -> None:
    """A model whose every image is a document, and one whose every image is a photograph."""
    tower, found = load_tower("timm/test_vit.r160_in1k", file=tiny_weights)
    adapter = AdapterCard(2, ("mlp",), 2, (1,), None, 4, kinds=("photograph", "document"))
    network = MoleNetwork(tower, adapter_config(adapter), head_blocks=4, kinds=adapter.kinds)
    kinds = {
        "document": KindCalibration(9, 1, (0.0,), (0.0,), 9.0),
        "photograph": KindCalibration(99, 9, (0.0,), (0.0,), 99.0),
    }
    seen = {}
    for number, name in enumerate(adapter.kinds):
        with torch.no_grad():
            network.head.bias.fill_(100.0)
            network.kinds.weight.zero_()
            network.kinds.bias.copy_(torch.tensor([5.0, -5.0]) * (1 - 2 * number))
        folder = tmp_path / name
        folder.mkdir()
        save_file(network.adapter_state(), folder / ADAPTER_NAME)
        card = ModelCard(
            name=name,
            backbone="timm/test_vit.r160_in1k",
            backbone_digest=found.digest,
            preprocess=Preprocess(tower.image_size, tower.mean, tower.std, ("center_crop",)),
            adapter=adapter,
            adapter_sha256=file_sha256(folder / ADAPTER_NAME),
            calibration=Calibration(1.0, 0.0, 999, 99, (0.0,), (1.0,), kinds=kinds),
        )
        write_card(folder, card)
        (seen[name],) = load_detector(folder, weights=tiny_weights, device="cpu").score(photos[0])
    assert {name: (score.kind, score.verdict) for name, score in seen.items()} == {
        "photograph": ("photograph", "ai"),
        "document": ("document", "uncertain"),
    }
    assert seen["photograph"].notes == ()
    assert seen["document"].notes == (
        "document: no verdict ai, the model was calibrated on too few of these",
    )
