from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tiny_pairs import WIDTH, block, conv, encoder, write_pair
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.model.decoders import find_pairs, load_pair


def run_block(state: dict[str, Tensor], number: int, x: Tensor) -> Tensor:
    weights = {
        key.removeprefix(f"{number}."): value for key, value in state.items() if key.startswith(f"{number}.")
    }
    if "pool.0.weight" in weights:
        y = F.conv2d(x, weights["pool.0.weight"])
        y = F.relu(F.group_norm(y, 4, weights["pool.1.weight"], weights["pool.1.bias"]))
        x = x + F.conv2d(y, weights["pool.3.weight"])
    y = x
    for place in (0, 2, 4):
        y = F.conv2d(y, weights[f"conv.{place}.weight"], weights[f"conv.{place}.bias"], padding=1)
        y = F.relu(y) if place < 4 else y
    return F.relu(y + x)


@pytest.mark.parametrize("pool", [False, True])
def test_a_pair_gives_an_image_back_as_written_out_step_by_step(tmp_path: Path, pool: bool) -> None:
    write_pair(tmp_path, "tae", seed=0, pool=pool)
    (pair,) = find_pairs(tmp_path)
    network = load_pair(pair)
    assert (pair.name, network.stride) == ("tae", 8)
    e, d = (
        {key: value.float() for key, value in load_file(path).items()}
        for path in (pair.encoder, pair.decoder)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels[:32, :48]).permute(2, 0, 1)[None] / 255
    x = run_block(e, 1, F.conv2d(x, e["0.weight"], e["0.bias"], padding=1))
    for first in (2, 4, 6):
        x = run_block(e, first + 1, F.conv2d(x, e[f"{first}.weight"], stride=2, padding=1))
    x = F.conv2d(x, e["8.weight"], e["8.bias"], padding=1)
    assert x.shape == (1, 3, 4, 6)
    x = F.relu(F.conv2d(3 * torch.tanh(x / 3), d["1.weight"], d["1.bias"], padding=1))
    for first in (3, 6, 9):
        x = run_block(d, first, x).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = F.conv2d(x, d[f"{first + 2}.weight"], padding=1)
    x = F.conv2d(run_block(d, 12, x), d["13.weight"], d["13.bias"], padding=1)
    expected = (255 * x[0].permute(1, 2, 0)).round().clamp(0, 255).numpy()
    back = network.reconstruct(pixels)
    assert back.shape == (32, 48, 3)
    assert np.abs(back.astype(float) - expected).max() <= 1
    assert back.std() > 10


def test_a_stem_may_halve_the_resolution_twice(tmp_path: Path) -> None:
    deep = conv(0, 3, 2) | conv(2, 2, WIDTH) | block(4, WIDTH, WIDTH) | conv(5, WIDTH, WIDTH, bias=False)
    deep |= block(6, WIDTH, WIDTH) | conv(7, WIDTH, 3)
    write_pair(tmp_path, "deep", seed=0, encoder=deep)
    network = load_pair(find_pairs(tmp_path)[0])
    assert network.stride == 8
    assert network.encoder(torch.zeros(1, 3, 16, 24)).shape == (1, 3, 2, 3)


def test_folders_without_a_pair_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "tae", seed=0)
    (tmp_path / "tae_decoder.safetensors").rename(tmp_path / "other_decoder.safetensors")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="holds no pair of files NAME_encoder"):
            find_pairs(folder)


@pytest.mark.parametrize(
    ("part", "shapes", "said"),
    [
        ("encoder", encoder(5), r"channels \(3, 5\) and \(3, 3\)"),
        ("encoder", conv(0, 3, WIDTH) | conv(1, WIDTH, 3), "3 doublings do not undo a reduction by 1"),
        (
            "encoder",
            conv(0, 3, 3)
            | {name: shape for n in range(1, 7) for name, shape in conv(n, 3, 3, bias=False).items()},
            "a reduction by 64 leaves nothing of small images",
        ),
        ("decoder", {"head.weight": (3, 3)}, "tensor head.weight is none of a layer"),
        ("decoder", conv(99, 3, 3), "100 layers are too many"),
        ("decoder", block(0, 3, 3), "there is no convolution"),
        ("decoder", conv(1, 3, WIDTH) | conv(4, WIDTH, 3), "no pair of a tiny autoencoder"),
        ("encoder", encoder() | {"1.conv.0.scale": (3,)}, "no pair of a tiny autoencoder"),
    ],
)
def test_weights_of_something_else_are_refused(
    tmp_path: Path, part: str, shapes: dict[str, tuple[int, ...]], said: str
) -> None:
    write_pair(tmp_path, "tae", seed=0, pool=False, **{part: shapes})
    with pytest.raises(UsageError, match="no pair of a tiny autoencoder") as caught:
        load_pair(find_pairs(tmp_path)[0])
    assert len(str(caught.value).splitlines()) == 1
    caught.match(said)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "tae", seed=0)
    (tmp_path / "tae_encoder.safetensors").write_bytes(b"not weights")
    with pytest.raises(UsageError, match="no pair of a tiny autoencoder"):
        load_pair(find_pairs(tmp_path)[0])
