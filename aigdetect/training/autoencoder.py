"""Small autoencoders: they give a real image back with the traces of a generator's upsampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.images.views import Pixels

#: sides of a reconstructed image are multiples of this
STRIDE = 4
#: side of the crops to learn from
CROP = 128

_WIDTHS = (24, 48, 96)
_LATENT = 8
_STEPS = 2500
_BATCH = 8
_SIDE = 64
_LR, _LR_CRITIC, _LR_LATE = 2e-3, 3e-4, 5e-4
_WARMUP = 100
_CRITIC_FROM, _ADVERSARIAL_FROM, _ADVERSARIAL_WEIGHT = 0.45, 0.5, 0.02
_NOISE = 0.05


class Autoencoder(nn.Module):
    """Encoder and decoder with two halvings and doublings of the resolution, and 8 channels between them.

    Args:
        upsampling: how the decoder doubles the resolution, out of
            :data:`aigdetect.training.recipe.UPSAMPLINGS`.
    """

    def __init__(self, upsampling: str) -> None:
        super().__init__()
        fine, middle, coarse = _WIDTHS
        self.encoder = nn.Sequential(
            nn.Conv2d(3, fine, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(fine, middle, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(middle, coarse, 4, 2, 1),
            _Residual(coarse),
            nn.Conv2d(coarse, _LATENT, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(_LATENT, coarse, 3, 1, 1),
            _Residual(coarse),
            _doubling(upsampling, coarse, middle),
            _doubling(upsampling, middle, fine),
            nn.Conv2d(fine, 3, 3, 1, 1),
        )

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images ``(B, 3, H, W)``, -1..1, to reconstructions; sides are multiples of :data:`STRIDE`.

        The latent ``(B, 8, H/4, W/4)`` is scaled to unit length per place; ``noise`` of its shape is added.
        """
        latent = self.encoder(x)
        latent = latent / (latent.square().mean(dim=1, keepdim=True).sqrt() + 1e-6)
        return self.decoder(latent if noise is None else latent + noise)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def reconstruct(self, pixels: Pixels) -> Pixels:
        """What comes back of an image ``(H, W, 3)`` uint8, its sides cut to multiples of :data:`STRIDE`."""
        height, width = (side // STRIDE * STRIDE for side in pixels.shape[:2])
        out = self(_tensor(pixels[None, :height, :width]))[0]
        restored = ((out.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255)
        return restored.byte().numpy()  # type: ignore[no-any-return]


def fit_autoencoder(
    crops: Pixels, upsampling: str, *, seed: int, advance: Callable[[int], None] = lambda count: None
) -> Autoencoder:
    """Train an autoencoder on real images, first for the least absolute error, then against a critic, too.

    Args:
        crops: ``(N, 128, 128, 3)`` uint8; each is used natively or reduced to half its size.
        upsampling: how the decoder doubles the resolution.
        seed: of the initial weights and the order.
        advance: told of crops that were used; :func:`crops_used` says how many there will be.

    Source: X. Zhang et al., Detecting and Simulating Artifacts in GAN Fake Images (AutoGAN), 2019; the critic
    is that of P. Isola et al. (PatchGAN), 2017, with the non-saturating loss.
    """
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network, critic = Autoencoder(upsampling), _critic()
        of_network = torch.optim.Adam(network.parameters(), betas=(0.5, 0.9))
        of_critic = torch.optim.Adam(critic.parameters(), lr=_LR_CRITIC, betas=(0.5, 0.9))
        for step in range(_STEPS):
            done = step / _STEPS
            x = _batch(crops, rng)
            noise = _NOISE * torch.randn(len(x), _LATENT, _SIDE // STRIDE, _SIDE // STRIDE)
            y = network(x, noise)
            loss = (x - y).abs().mean()
            if done >= _ADVERSARIAL_FROM:
                loss = loss + _ADVERSARIAL_WEIGHT * F.softplus(-critic(y)).mean()
            _step(of_network, loss, _rate(step))
            if done >= _CRITIC_FROM:
                _step(
                    of_critic,
                    F.softplus(critic(y.detach())).mean() + F.softplus(-critic(x)).mean(),
                    _LR_CRITIC,
                )
            advance(len(x))
    return network.eval()


def crops_used() -> int:
    """How many crops :func:`fit_autoencoder` goes through."""
    return _STEPS * _BATCH


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))  # type: ignore[no-any-return]


def _doubling(upsampling: str, before: int, after: int) -> nn.Sequential:
    if upsampling == "transposed":
        return nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2))
    return nn.Sequential(nn.Conv2d(before, 4 * after, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.2))


def _critic() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((3, *_WIDTHS), _WIDTHS, strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(_WIDTHS[-1], 1, 3, 1, 1))


def _batch(crops: Pixels, rng: np.random.Generator) -> Tensor:
    """Crops of 64 pixels' side, most of them native, the others reduced to half."""
    chosen = crops[rng.integers(0, len(crops), _BATCH)]
    if rng.random() < 0.3:
        return F.avg_pool2d(_tensor(chosen), 2)
    top, left = rng.integers(0, CROP - _SIDE + 1, 2)
    return _tensor(chosen[:, top : top + _SIDE, left : left + _SIDE])


def _rate(step: int) -> float:
    """Learning rate: up over the first steps, then down to nothing; lower while the critic speaks, too."""
    done = step / _STEPS
    rate = _LR * min(1.0, step / _WARMUP) * (1 - done) + 1e-5
    return min(rate, _LR_LATE) if done >= _ADVERSARIAL_FROM else rate


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


def _tensor(pixels: Pixels) -> Tensor:
    """``(B, H, W, 3)`` uint8 to ``(B, 3, H, W)`` float32, -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
