from __future__ import annotations

import numpy as np
import pytest
import torch

from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.training.trunk_outputs import FrozenPass


@pytest.mark.parametrize(
    ("blocks", "head_blocks"), [(0, 0), (0, 3), (2, 0), (2, 1), (2, 2), (2, 5), (3, 4), (None, 5)]
)
def test_a_row_holds_what_the_trunk_gives_and_what_the_head_reads(
    tiny_weights, blocks: int | None, head_blocks: int
) -> None:
    """However the two overlap; the tail of what a row holds is the whole network."""
    tower, _ = load_tower("timm/test_vit", file=tiny_weights)
    torch.manual_seed(0)
    network = MoleNetwork(tower, AdapterConfig(blocks=blocks), head_blocks=head_blocks).eval()
    frozen = FrozenPass(network, "float32")
    size = network.tower.image_size
    views = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    rows = frozen.rows(list(views))
    assert rows.shape == (3, frozen.shape.width)
    trunk = rows[:, frozen.shape.trunk_columns].view(3, *frozen.shape.trunk)
    features = rows[:, frozen.shape.feature_columns].view(3, *frozen.shape.features)
    with torch.inference_mode():
        alone = torch.cat([network.trunk(torch.from_numpy(view[None])) for view in views])
        torch.testing.assert_close(trunk, alone)
        torch.testing.assert_close(features, network.read(alone), rtol=1e-4, atol=1e-5)
        logits = network(torch.from_numpy(views))
        torch.testing.assert_close(network.tail(trunk[:, None]), logits, rtol=1e-4, atol=1e-4)
    frozen.close()
