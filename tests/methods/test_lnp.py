from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import texture
from safetensors.torch import load_file, save_file
from tiny_denoiser import NOISE, write_denoiser

from aigdetect.errors import UsageError, WeightsError
from aigdetect.methods.lnp import Lnp, LnpSettings, noise_channels, read_denoiser

SMALL = LnpSettings(size=32, network="test_resnet", pretrained=False)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("denoiser") / "tiny.safetensors"
    write_denoiser(file)
    return file


def views(count: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([texture(rng)[:32, :32] for _ in range(count)]))


def test_the_denoiser_is_the_file_written_out(denoiser: Path) -> None:
    state = load_file(denoiser)
    network = Lnp(SMALL, read_denoiser(denoiser).state)
    images = views(2).permute(0, 3, 1, 2) / 255
    x = images
    for number in (0, 2, 4):
        x = F.relu(x) if number else x
        x = F.conv2d(x, state[f"model.{number}.weight"], state[f"model.{number}.bias"], padding=1)
    with torch.inference_mode():
        torch.testing.assert_close(network.instrument(images), x)
        expected = (128 + 255 * x).round().clamp(0, 255).permute(0, 2, 3, 1)
        difference = network.trunk(views(2)).float() - expected
    assert difference.abs().max() <= 1


def test_it_finds_the_noise_that_was_added(denoiser: Path) -> None:
    network = Lnp(SMALL, read_denoiser(denoiser).state)
    clean = views(4, seed=1).permute(0, 3, 1, 2) / 255
    torch.manual_seed(0)
    noise = NOISE * torch.randn_like(clean)
    with torch.inference_mode():
        found = network.instrument(clean + noise)
    assert (found - noise).square().mean() < 0.6 * noise.square().mean()


def test_one_of_grey_sees_each_colour_by_itself(tmp_path: Path) -> None:
    same = torch.zeros(1, 1, 3, 3)
    same[..., 1, 1] = 0.5
    save_file({"0.weight": same}, tmp_path / "grey.safetensors")
    network = Lnp(SMALL, read_denoiser(tmp_path / "grey.safetensors").state)
    images = views(2).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(network.instrument(images), images / 2)


def test_channels_are_the_noise_and_numpys_spectrum() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 3, 16, 16))
    found = noise_channels(torch.from_numpy(noise)).numpy()
    np.testing.assert_array_equal(found[:, :3], noise)
    spectrum = np.fft.fft2(noise, norm="ortho")
    for place, part in ((3, np.abs(spectrum) ** 0.8), (4, np.angle(spectrum))):
        grey = np.einsum("bchw,c->bhw", part, [0.3, 0.59, 0.11])
        np.testing.assert_allclose(found[:, place], np.fft.fftshift(grey, axes=(1, 2)), atol=1e-6)


def test_the_first_convolution_alone_begins_with_random_weights(denoiser: Path) -> None:
    network = Lnp(SMALL, read_denoiser(denoiser).state)
    own = {name: tensor.clone() for name, tensor in network.body.state_dict().items()}
    theirs = {
        name: torch.full_like(tensor, 0.5) for name, tensor in own.items() if tensor.is_floating_point()
    }
    first = next(name for name, tensor in own.items() if tensor.ndim == 4)
    theirs[first] = torch.zeros(own[first].shape[0], 3, *own[first].shape[2:])
    network.begin_with(theirs)
    for name, tensor in network.body.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(tensor, own[name] if name == first else theirs[name])
    assert own[first].shape[1] == 5
    with pytest.raises(WeightsError, match="is missing or has another shape"):
        network.begin_with({})


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"0.weight": (3, 4, 3, 3)}, "3 channels of 4"),
        ({"0.weight": (8, 3, 3, 3), "2.weight": (3, 9, 3, 3)}, "layer 2 is no 3x3 convolution of 8 channels"),
        ({"0.weight": (3, 3, 5, 5)}, "layer 0 is no 3x3 convolution"),
        ({"0.bias": (3,)}, "layer 0 is no 3x3 convolution"),
        ({"0.weight": (3, 3, 3, 3), "1.running_mean": (3,)}, "1.running_mean is none of a convolution"),
        ({"a.0.weight": (3, 3, 3, 3), "b.0.weight": (3, 3, 3, 3)}, "has the number of another"),
        ({"0.weight": (3, 3, 3, 3), "0.bias": (4,)}, "Error"),
        ({}, "0 channels of 0"),
    ],
)
def test_what_is_no_denoiser_is_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], said: str
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, file)
    with pytest.raises(UsageError, match=f"holds no DnCNN .*{said}") as caught:
        read_denoiser(file)
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_denoiser(tmp_path)
    (tmp_path / "x").write_text("text")
    with pytest.raises(UsageError, match="holds no DnCNN"):
        read_denoiser(tmp_path / "x")
