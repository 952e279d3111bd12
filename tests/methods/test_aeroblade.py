from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from planted import texture, upsampled
from tiny_pairs import write_averaging_pair, write_pair

from aigdetect.errors import UsageError
from aigdetect.methods.aeroblade import Aeroblade, AerobladeSettings
from aigdetect.methods.autoencoders import read_autoencoders
from aigdetect.methods.method import IMAGENET

SMALL = AerobladeSettings(size=32, pretrained=False)


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    return (images - mean) / std


def test_the_distance_is_that_of_vgg_on_its_second_layer_written_out(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path, "mean")
    torch.manual_seed(0)
    with torch.device("meta"):
        vgg = timm.create_model("vgg16", pretrained=False).features[:9]
    vgg = vgg.to_empty(device="cpu")
    for parameter in vgg.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network = Aeroblade(SMALL, read_autoencoders(tmp_path).state).eval()
    network.begin_with({f"features.{name}": tensor for name, tensor in vgg.state_dict().items()})
    views = np.stack([make(np.random.default_rng(0))[:32, :32] for make in (texture, upsampled)])
    images = torch.from_numpy(views).permute(0, 3, 1, 2) / 255
    back = F.avg_pool2d(images, 2).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.inference_mode():
        one, other = (vgg(normalised(each)) for each in (images, back))
        cosines = F.cosine_similarity(one, other, dim=1)
        expected = (2 - 2 * cosines).mean(dim=(1, 2)).log()
        found = network.trunk(torch.from_numpy(views))[:, 0]
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    assert found[0] > found[1] + 1


def test_of_several_autoencoders_the_nearest_counts(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path / "both", "mean")
    write_averaging_pair(tmp_path / "mean", "mean")
    for folder in ("both", "other"):
        write_pair(tmp_path / folder, "random", seed=0)
    views = torch.from_numpy(
        np.stack([upsampled(np.random.default_rng(seed))[:32, :32] for seed in range(3)])
    )
    found = {}
    for folder in ("mean", "other", "both"):
        instrument = read_autoencoders(tmp_path / folder)
        torch.manual_seed(0)
        found[folder] = Aeroblade(SMALL, instrument.state).trunk(views)
    assert torch.equal(found["both"], torch.minimum(found["mean"], found["other"]))
    assert (found["mean"] < found["other"]).all()


def test_an_image_that_comes_back_as_it_is_has_a_number(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path, "mean")
    network = Aeroblade(SMALL, read_autoencoders(tmp_path).state)
    black = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    assert torch.isfinite(network.trunk(black)).all()


def test_nothing_trains_but_the_head(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path, "mean")
    network = Aeroblade(SMALL, read_autoencoders(tmp_path).state)
    assert set(network.trainable()) == {"head.weight", "head.bias"}
    assert any(name.startswith("instrument.0.encoder.") for name in network.adapter_state())


@pytest.mark.parametrize("size", [16, 31])
def test_sizes_that_leave_nothing_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match=f"size: {size} is below 32"):
        AerobladeSettings(size=size)
