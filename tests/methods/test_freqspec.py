from __future__ import annotations

import numpy as np
import torch
from planted import texture

from aigdetect.methods.freqspec import FreqSpec, FreqSpecSettings, log_spectrum


def test_the_spectrum_is_that_of_numpy_scaled_by_its_percentiles() -> None:
    view = texture(np.random.default_rng(0))[:64, :64]
    network = FreqSpec(FreqSpecSettings(size=64, network="test_resnet", pretrained=False))
    found = network.preprocess(torch.from_numpy(view)[None])[0].numpy()
    for channel in range(3):
        logarithms = np.log(np.abs(np.fft.fft2(view[..., channel] / 255)) + 1e-3)
        low, high = np.percentile(logarithms, [5, 95])
        expected = np.clip(2 * (logarithms - low) / (high - low) - 1, -1, 1)
        np.testing.assert_allclose(found[channel], expected, atol=2e-3)


def test_an_even_image_is_no_number_that_is_none() -> None:
    assert torch.isfinite(log_spectrum(torch.full((1, 3, 32, 32), 0.5))).all()
