from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import texture, upsampled
from tiny_pairs import write_averaging_pair, write_pair

from aigdetect.errors import UsageError
from aigdetect.methods.autoencoders import read_autoencoders
from aigdetect.methods.dire import Dire, DireSettings
from aigdetect.model.decoders import find_pairs, load_pair

SMALL = DireSettings(size=32, network="test_resnet", pretrained=False)


def test_the_error_is_that_of_the_pair_itself(tmp_path: Path) -> None:
    write_pair(tmp_path, "tae", seed=1)
    network = Dire(SMALL, read_autoencoders(tmp_path).state)
    view = texture(np.random.default_rng(0))[:32, :32]
    back = load_pair(find_pairs(tmp_path)[0]).reconstruct(view)
    found = network.trunk(torch.from_numpy(view)[None])[0]
    assert found.dtype == torch.uint8
    expected = np.abs(view.astype(int) - back)
    assert np.abs(found.numpy().astype(int) - expected).max() <= 1  # its own result is rounded


def test_what_the_decoder_made_has_next_to_none(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path, "mean")
    network = Dire(SMALL, read_autoencoders(tmp_path).state)
    rng = np.random.default_rng(0)
    real, made = (
        network.trunk(torch.from_numpy(make(rng)[None, :32, :32])).float().mean()
        for make in (texture, upsampled)
    )
    assert real > 5 * made


def test_the_network_sees_it_normalised_and_the_autoencoder_does_not_train(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path, "mean")
    network = Dire(SMALL, read_autoencoders(tmp_path).state).eval()
    trunk = network.trunk(torch.from_numpy(texture(np.random.default_rng(0))[None, :32, :32]))
    with torch.inference_mode():
        expected = network.body(network.normalise(trunk))
        assert torch.equal(network.read(trunk), expected)
    assert not any(name.startswith("instrument.") for name in network.trainable())
    assert network.size == 32
    assert F.relu(expected).any()


def test_several_autoencoders_and_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "two", "a", seed=0)
    write_pair(tmp_path / "two", "b", seed=1)
    with pytest.raises(UsageError, match="2 autoencoders are too many; name one by its encoder's file"):
        Dire(SMALL, read_autoencoders(tmp_path / "two").state)
    one = read_autoencoders(tmp_path / "two" / "b_encoder.safetensors")
    assert one.name == "b"
    with pytest.raises(UsageError, match="size: 36 is no multiple of 8"):
        Dire(DireSettings(size=36, network="test_resnet", pretrained=False), one.state)
