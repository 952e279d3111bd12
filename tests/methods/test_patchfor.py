from __future__ import annotations

import pytest
import torch

from aigdetect.errors import UsageError
from aigdetect.methods.patchfor import PatchForensics, PatchForensicsSettings
from aigdetect.training.engine import Batch, compute_gradients

SMALL = PatchForensicsSettings(size=64, network="test_resnet", last="layer1", pretrained=False)


def test_the_logit_of_a_view_is_the_mean_over_its_patches() -> None:
    torch.manual_seed(0)
    network = PatchForensics(SMALL).eval()
    trunk = torch.randint(0, 256, (3, 1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        patches = network.training_logits(trunk)
        assert patches.shape[0] == 3
        assert patches.shape[1] > 1
        torch.testing.assert_close(patches.mean(dim=1), network.tail(trunk))
        torch.testing.assert_close(patches.mean(dim=1), network(trunk[:, 0]))


def test_the_loss_is_that_of_every_patch() -> None:
    torch.manual_seed(0)
    network = PatchForensics(SMALL).eval()
    batch = Batch(
        torch.randint(0, 256, (2, 1, 64, 64, 3), dtype=torch.uint8),
        torch.tensor([0.0, 1.0]),
        torch.tensor([0.5, 1.5]),
    )
    losses = compute_gradients(network, batch, balance_weight=0.0)
    assert losses is not None
    of_patches = network.training_logits(batch.trunk).detach()
    of_images = torch.stack(
        [
            torch.nn.functional.softplus(sign * logits).mean()
            for sign, logits in zip((1, -1), of_patches, strict=True)
        ]
    )
    assert losses.loss == pytest.approx(float((batch.weights * of_images).mean()), rel=1e-5)


def test_the_papers_network_ends_with_the_second_block() -> None:
    network = PatchForensics(PatchForensicsSettings())
    assert [name for name, _ in network.body.named_children()][-1] == "block2"
    assert network.head.in_features == 256


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="no part 'block99'"):
        PatchForensics(PatchForensicsSettings(network="test_resnet", last="block99"))
