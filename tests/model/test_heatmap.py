from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data as photographs
from tiny import clip_tower, timm_tower
from torch import nn

from aigdetect.images.views import Pixels
from aigdetect.methods.loading import load_detector
from aigdetect.model.detector import Detector
from aigdetect.model.heatmap import MAX_PARTS, HeatMap, Part, heatmap, logits_of_tokens, render, render_small
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.model.weights.find_weights import Weights

PATCH, GRID = 8, 8
TRAINING = Path(__file__).resolve().parents[3] / "shared" / "data" / "train"


@dataclass
class RedTower:
    """A tower of which the truth is known: the embedding is the mean of red over the tokens shown."""

    image_size: int = PATCH * GRID

    def stem(self, images: torch.Tensor) -> torch.Tensor:
        red = nn.functional.avg_pool2d(images[:, :1], PATCH).flatten(1).unsqueeze(-1)
        return torch.cat([torch.zeros_like(red[:, :1]), red], dim=1)

    def run_blocks(self, tokens: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return tokens

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, 1:].mean(dim=1)


@dataclass
class Head:
    """A head of one set of weights, whatever the place of a view."""

    logit: Callable[[torch.Tensor], torch.Tensor]
    sets: int = 1

    def __call__(self, features: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        return self.logit(features)


def red_detector(slope: float = 1.0) -> Detector:
    """Its logit for a part is the part's mean of red, 0..1."""
    network = SimpleNamespace(
        tower=RedTower(),
        depth=2,
        first_token=2,
        mean=torch.zeros(1),
        head=Head(lambda x: x.squeeze(-1)),
        normalise=lambda views: views.permute(0, 3, 1, 2).float() / 255,
    )
    calibration = SimpleNamespace(slope=slope)
    card = SimpleNamespace(preprocess=SimpleNamespace(size=PATCH * GRID), calibration=calibration)
    made: Any = SimpleNamespace(network=network, card=card, device=torch.device("cpu"), batch_size=3)
    return made  # type: ignore[no-any-return]


def red_square(height: int, width: int, top: int, left: int, side: int) -> Pixels:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 2] = 255  # what the tower does not look at
    pixels[top : top + side, left : left + side, 0] = 255
    return pixels


@pytest.mark.parametrize("place", [(0, 0), (100, 200), (180, 260)])
def test_a_place_that_the_logit_depends_on_is_hot_and_the_rest_is_not(place: tuple[int, int]) -> None:
    top, left = place
    heat = heatmap(red_detector(), red_square(240, 320, top, left, 60)).relevance
    assert heat.dtype == np.float32
    assert heat.shape == (96, 128)
    scale = 96 / 240
    y, x = (np.array(np.unravel_index(heat.argmax(), heat.shape)) + 0.5) / scale
    assert top <= y < top + 60
    assert left <= x < left + 60
    assert heat.max() == pytest.approx(1)
    inside = np.zeros(heat.shape, bool)
    edges = [round(edge * scale) for edge in (top, top + 60, left, left + 60)]
    inside[edges[0] : edges[1], edges[2] : edges[3]] = True
    far = ndimage.distance_transform_edt(~inside) > 1.5 * 32 * scale  # a part's diagonal from it
    np.testing.assert_allclose(heat[far], 0, atol=1e-6)


@pytest.mark.parametrize("slope", [1.0, 4.0])
def test_the_map_is_the_calibrated_mean_of_red_over_each_part(slope: float) -> None:
    ramp = np.zeros((64, 256, 3), np.uint8)
    ramp[..., 0] = np.arange(256)
    heat = heatmap(red_detector(slope), ramp).relevance
    columns = (np.arange(128) + 0.5) * 2
    expected = np.clip(columns - 0.5, 15.5, 255 - 15.5) / 255  # parts are 32 wide: none has its centre nearer
    np.testing.assert_allclose(heat[16], slope * expected, atol=5e-5)


def test_small_images_are_enlarged_as_views_are() -> None:
    heat = heatmap(red_detector(), red_square(40, 200, 10, 150, 20))
    assert "squares were enlarged to 32 pixels" in heat.caption
    y, x = np.unravel_index(heat.relevance.argmax(), heat.relevance.shape)
    assert 10 <= (y + 0.5) / 0.64 < 30
    assert 150 <= (x + 0.5) / 0.64 < 170


@pytest.mark.parametrize("shape", [(3000, 4000), (64, 60_000), (32, 2000), (33, 32)])
def test_the_cost_is_bounded_and_what_was_not_seen_is_said(shape: tuple[int, int]) -> None:
    calls: list[int] = []
    detector = red_detector()
    head = detector.network.head
    detector.network.head = Head(lambda x: (calls.append(len(x)), head(x))[1])
    heat = heatmap(detector, np.zeros((*shape, 3), np.uint8))
    assert sum(calls) <= MAX_PARTS
    assert max(calls) <= 4 * detector.batch_size
    assert max(heat.relevance.shape) <= 128
    assert f"each of {sum(calls)} squares" in heat.caption
    assert ("the squares cover" in heat.caption) == (max(shape) >= 2000)


def test_out_of_memory_begins_the_map_again_with_half_the_batch() -> None:
    pixels = red_square(240, 320, 100, 200, 60)
    expected = heatmap(red_detector(), pixels).relevance
    calls: list[int] = []
    detector = red_detector()
    head, room = detector.network.head, 3

    def in_little_memory(features: torch.Tensor) -> torch.Tensor:
        calls.append(len(features))
        if len(features) > room:
            raise torch.OutOfMemoryError("out of memory")
        return head(features)

    detector.network.head = Head(in_little_memory)
    np.testing.assert_allclose(heatmap(detector, pixels).relevance, expected, rtol=1e-6)
    assert calls[:3] == [12, 6, 3]
    assert max(calls[2:]) == 3
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        heatmap(detector, pixels)


def test_the_middle_of_a_view_is_chosen() -> None:
    part = Part.of((4, 1), 32)
    assert part == Part(side=16, margin=8, tokens=(0, 6, 7, 10, 11))


@pytest.mark.parametrize("head_blocks", [0, 3])
@pytest.mark.parametrize("tower", [clip_tower, timm_tower])
def test_all_tokens_give_the_logit_of_the_view(tower: Any, head_blocks: int) -> None:
    network = MoleNetwork(tower(), AdapterConfig(blocks=2), head_blocks=head_blocks).eval()
    for parameter in network.trainable().values():
        torch.nn.init.normal_(parameter, std=0.3)
    size = network.tower.image_size
    views = torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        tokens = network.tower.stem(network.normalise(views))
        torch.testing.assert_close(logits_of_tokens(network, tokens), network(views))


def test_it_works_with_any_model(tiny_model: Any) -> None:
    detector = load_detector(tiny_model.folder, weights=tiny_model.weights, device="cpu")
    pixels = photographs.astronaut()
    heat = heatmap(detector, pixels)
    assert heat.relevance.shape == (128, 128)
    assert np.isfinite(heat.relevance).all()
    assert heat.relevance.std() > 0
    np.testing.assert_array_equal(heatmap(detector, pixels).relevance, heat.relevance)


def test_pictures_show_the_map_over_the_image_and_its_scale() -> None:
    pixels = red_square(300, 600, 0, 300, 300)
    levels = np.zeros((50, 100), np.float32)
    levels[:10, :10] = 6
    heat = HeatMap(levels, "m", "c")
    drawn = np.asarray(Image.open(io.BytesIO(render(heat, pixels))).convert("RGB"), int)
    assert drawn.shape[1] == 600
    assert 300 < drawn.shape[0] < 340
    yellow, green = drawn[20, 20], drawn[250, 20]
    assert yellow[0] > green[0] + 50  # the last colour of the scale against its middle
    np.testing.assert_array_equal(drawn[305, 0] > 30, [True, False, True])  # the scale: its first colour
    assert drawn[305, -1, 0] > 200
    small = Image.open(io.BytesIO(render_small(heat, np.tile(pixels, (3, 3, 1)))))
    assert small.format == "WEBP"
    assert small.width == 288


def test_a_level_all_over_is_drawn_in_the_middle_of_the_scale() -> None:
    pixels = np.full((100, 100, 3), 128, np.uint8)
    drawn = [render(HeatMap(np.full((10, 10), level, np.float32), "m", "c"), pixels) for level in (-9, 9)]
    assert drawn[0] == drawn[1]


def test_the_shipped_model_finds_a_generated_part(real_weights: Weights) -> None:
    """Pieces of generated images in photographs that came with another program."""
    generated = sorted((TRAINING / "fake" / "ldm").glob("*.webp"))[:4]
    if len(generated) < 4:
        pytest.skip("THE SHIPPED MODEL'S HEAT MAPS ARE NOT TESTED: there is no ../shared/data/train")
    detector = load_detector(weights=real_weights.path, device="cpu")
    differences = []
    for path, photo in zip(generated, (photographs.coffee(), photographs.chelsea()) * 2, strict=True):
        pixels = np.array(photo[:300, :450])
        pixels[80:240, 30:190] = np.asarray(Image.open(path).convert("RGB"))[48:208, 48:208]
        heat = heatmap(detector, pixels).relevance
        inside = np.zeros(heat.shape, bool)
        scale = heat.shape[1] / 450
        inside[round(80 * scale) : round(240 * scale), round(30 * scale) : round(190 * scale)] = True
        differences.append(heat[inside].mean() - heat[~inside].mean())
    assert np.mean(differences) > 0.5
    assert sum(difference > 0 for difference in differences) >= 3
