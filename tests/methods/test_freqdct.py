from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from planted import texture
from scipy.fft import dctn

from aigdetect.methods.freqdct import FreqDct, FreqDctSettings


@pytest.mark.parametrize("colour", [False, True])
def test_features_are_scipys_dct_of_pillows_grey(colour: bool) -> None:
    rng = np.random.default_rng(0)
    images = [texture(rng)[:40, :40] for _ in range(3)]
    network = FreqDct(FreqDctSettings(size=40, colour=colour, epsilon=1e-6))
    found = network.trunk(torch.from_numpy(np.stack(images))).view(3, -1, 40, 40).numpy()
    for image, of_image in zip(images, found, strict=True):
        grey = np.asarray(Image.fromarray(image).convert("L"))[..., None]
        channels = (image if colour else grey).transpose(2, 0, 1).astype(np.float64)
        expected = np.log(np.abs(dctn(channels, type=2, norm="ortho", axes=(1, 2))) + 1e-6)
        # a coefficient next to 0 has no logarithm that single precision could know
        clear = expected > -3
        assert clear.mean() > 0.95
        np.testing.assert_allclose(of_image[clear], expected[clear], atol=5e-3)


def test_the_head_reads_all_coefficients() -> None:
    assert FreqDct(FreqDctSettings(size=16)).head.in_features == 256
    assert FreqDct(FreqDctSettings(size=16, colour=True)).head.in_features == 768
