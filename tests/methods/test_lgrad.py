from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import texture
from safetensors.torch import save_file
from tiny_discriminator import tensors, write_discriminator
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.methods.lgrad import Discriminator, Lgrad, LgradSettings, read_discriminator

SMALL = LgradSettings(size=32, network="test_resnet", pretrained=False)


def conv(x: Tensor, weight: Tensor, bias: Tensor, **options: int) -> Tensor:
    """A convolution and its activation as ProGAN scales them."""
    scale = math.sqrt(2 / (weight.shape[1] * 9 if options.get("stride") else weight[0].numel()))
    x = F.conv2d(x, scale * weight, **options)
    return F.leaky_relu(x + bias.view(-1, 1, 1), 0.2)


def written_out(state: dict[str, Tensor], images: Tensor, *, blur: bool) -> Tensor:
    """What the discriminator of 32 pixels says, step by step; some layers filter and halve at once."""
    x = conv(images, state["input0.conv.weight"], state["input0.wscale.bias"])
    kernel = torch.tensor([1.0, 2.0, 1.0])
    for block in range(3):
        x = conv(x, state[f"layer{2 * block}.conv.weight"], state[f"layer{2 * block}.wscale.bias"], padding=1)
        down, bias = f"layer{2 * block + 1}", state[f"layer{2 * block + 1}.wscale.bias"]
        if blur:
            each = (torch.outer(kernel, kernel) / 16).expand(x.shape[1], 1, 3, 3)
            x = F.conv2d(x, each, padding=1, groups=x.shape[1])
        if f"{down}.weight" in state:
            wide = F.pad(state[f"{down}.weight"].permute(3, 2, 0, 1), (1, 1, 1, 1))
            wide = (wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]) / 4
            x = conv(x, wide, bias, stride=2, padding=1)
        else:
            weight = state[f"{down}.conv.weight"]
            x = F.avg_pool2d(F.conv2d(x, math.sqrt(2 / weight[0].numel()) * weight, padding=1), 2)
            x = F.leaky_relu(x + bias.view(-1, 1, 1), 0.2)
    alone = torch.full((len(x), 1, 4, 4), 1e-4)
    x = torch.cat([x, alone], dim=1)
    x = conv(x, state["layer6.conv.weight"], state["layer6.wscale.bias"], padding=1)
    first, last = state["layer7.fc.weight"], state["layer8.fc.weight"]
    x = F.linear(x.flatten(1), math.sqrt(2 / first.shape[1]) * first, state["layer7.wscale.bias"])
    x = F.linear(F.leaky_relu(x, 0.2), last / math.sqrt(last.shape[1]), state["layer8.wscale.bias"])
    return x[:, 0]


def images(count: int, size: int = 32) -> Tensor:
    rng = np.random.default_rng(0)
    views = np.stack([texture(rng)[:size, :size] for _ in range(count)])
    return torch.from_numpy(views).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.parametrize("blur", [True, False])
def test_the_discriminator_is_the_file_written_out(tmp_path: Path, blur: bool) -> None:
    write_discriminator(tmp_path / "d.safetensors", 32, blur=blur)
    network = Discriminator(read_discriminator(tmp_path / "d.safetensors").state)
    assert network.size == 32
    with torch.inference_mode():
        expected = written_out(tensors(32, blur=blur), images(3), blur=blur)
        torch.testing.assert_close(network(images(3)), expected, atol=1e-5, rtol=1e-4)
        other = written_out(tensors(32, blur=blur), images(3), blur=not blur)
        assert not torch.allclose(expected, other, atol=1e-3)


@pytest.mark.parametrize("blur", [True, False])
@pytest.mark.parametrize("size", [4, 16, 32])
def test_the_gradient_is_autograds(tmp_path: Path, blur: bool, size: int) -> None:
    write_discriminator(tmp_path / "d.safetensors", size, blur=blur)
    network = Discriminator(read_discriminator(tmp_path / "d.safetensors").state)
    x = images(3, size).requires_grad_()
    (expected,) = torch.autograd.grad(network(x).sum(), x)
    with torch.inference_mode():
        found = network.gradient(images(3, size))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert found.any()


def test_newer_names_and_whole_images_are_the_same_network(tmp_path: Path) -> None:
    state = tensors(32, fused=1 << 10)
    newer = {
        name.replace("conv.", "").replace("fc.", "").replace("wscale.", ""): tensor
        for name, tensor in state.items()
    }
    for name, held in {"old": state, "new": newer}.items():
        save_file(held, tmp_path / f"{name}.safetensors")
    old, new = (read_discriminator(tmp_path / f"{name}.safetensors").state for name in ("old", "new"))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_what_the_network_sees_goes_from_0_to_255_for_each_image_alone(tmp_path: Path) -> None:
    write_discriminator(tmp_path / "d.safetensors", 32)
    network = Lgrad(SMALL, read_discriminator(tmp_path / "d.safetensors").state)
    rng = np.random.default_rng(0)
    views = torch.from_numpy(np.stack([texture(rng)[:32, :32] for _ in range(3)]))
    seen = network.trunk(views)
    assert seen.dtype == torch.uint8
    assert seen.flatten(1).amin(dim=1).tolist() == [0, 0, 0]
    assert seen.flatten(1).amax(dim=1).tolist() == [255, 255, 255]
    assert torch.equal(network.trunk(views[1:2])[0], seen[1])
    gradient = network.instrument.gradient(views.permute(0, 3, 1, 2).float() / 127.5 - 1)
    one = gradient[1].permute(1, 2, 0)
    expected = 255 * (one - one.min()) / (one.max() - one.min())
    assert (seen[1] - expected).abs().max() <= 1


def test_a_gradient_that_is_nowhere_is_black(tmp_path: Path) -> None:
    state = tensors(32)
    state["layer8.fc.weight"] *= 0
    save_file(state, tmp_path / "d.safetensors")
    network = Lgrad(SMALL, read_discriminator(tmp_path / "d.safetensors").state)
    assert not network.trunk(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).any()


def test_the_discriminator_does_not_train_and_has_the_size_of_the_views(tmp_path: Path) -> None:
    write_discriminator(tmp_path / "d.safetensors", 32)
    state = read_discriminator(tmp_path / "d.safetensors").state
    network = Lgrad(SMALL, state)
    assert not any(name.startswith("instrument.") for name in network.trainable())
    with pytest.raises(UsageError, match="size: 256 is not the 32 of the discriminator"):
        Lgrad(LgradSettings(network="test_resnet", pretrained=False), state)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layer2.conv.weight": (8, 9, 3, 3)}, "do not follow one another"),
        ({"layer2.conv.weight": (8, 8, 5, 5)}, "one of 1x1 and then some of 3x3"),
        ({"layer8.fc.weight": (5, 14)}, "tell labels apart"),
        ({"layer8.fc.weight": (14,)}, "8 convolutions and 2 dense layers make none"),
        ({"layer0.conv.scale": (3,)}, "has no place in it"),
        ({"layer3.weight": None}, "convolutions"),
        ({"layer8.fc.weight": None}, ""),
        ({"input0.wscale.bias": None}, ""),
        ({"input0.wscale.bias": (7,)}, ""),
    ],
)
def test_weights_of_something_else_are_refused(
    tmp_path: Path, changes: dict[str, tuple[int, ...] | None], said: str
) -> None:
    state = tensors(32)
    for name, shape in changes.items():
        assert shape is not None or name in state
        state.pop(name, None)
        if shape is not None:
            state[name] = torch.zeros(shape)
    save_file(state, tmp_path / "d.safetensors")
    match = f"holds no discriminator of ProGAN or StyleGAN .*{said}"
    with pytest.raises(UsageError, match=match) as caught:
        read_discriminator(tmp_path / "d.safetensors")
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_discriminator(tmp_path)
    for contents in (b"text", b""):
        (tmp_path / "x").write_bytes(contents)
        with pytest.raises(UsageError, match="holds no discriminator"):
            read_discriminator(tmp_path / "x")
    save_file({"a": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(UsageError, match="tensor a has no place in it"):
        read_discriminator(tmp_path / "x")
