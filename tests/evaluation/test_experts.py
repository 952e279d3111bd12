from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data as photographs

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, ImageError, UsageError
from aigdetect.evaluation.experts import (
    ExpertStudy,
    choose_images,
    has_experts,
    study_experts,
    tsne,
)
from aigdetect.images.views import Pixels, take_views
from aigdetect.methods.loading import load_detector
from aigdetect.model.detector import Detector
from aigdetect.model.mole import collecting_routing
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import AdapterConfig, ImageTower

SIZE = 160
SAMPLES = tuple(
    Sample(f"/d/{generator}/{label}/{i}", label, generator, root="/d")
    for generator, label in (("camera", 0), ("phone", 0), ("progan", 1), ("dalle", 1))
    for i in range(3)
)


@pytest.fixture(scope="module")
def detector(tiny_model: Any) -> Detector:
    return load_detector(
        tiny_model.folder, weights=tiny_model.weights, device="cpu", precision="float32", batch_size=5
    )


def view_of(sample: Sample) -> Pixels:
    if sample.path == "/d/phone/0/1":
        raise ImageError("torn")
    shift = 7 * SAMPLES.index(sample)
    return take_views(photographs.coffee()[shift:, 2 * shift :], ["center_crop"], SIZE)


@pytest.fixture(scope="module")
def study(detector: Detector) -> ExpertStudy:
    return study_experts(detector, SAMPLES, load_views=view_of)


def readable() -> list[Sample]:
    return [sample for sample in SAMPLES if sample.path != "/d/phone/0/1"]


def tokens_of(network: MoleNetwork, sample: Sample) -> dict[str, torch.Tensor]:
    """Input and output of the frozen MLPs and bypasses, block by block, without the recorder."""
    tower = network.tower
    with torch.no_grad():
        tokens = tower.stem(network.normalise(torch.from_numpy(view_of(sample))))
        found = {}
        for number, block in enumerate(tower.blocks):
            if number >= network.first_block:
                middle = tokens + block.drop_path1(block.ls1(block.attn(block.norm1(tokens))))
                x = block.norm2(middle)
                found[f"block{number}_mlp"] = (x[0], block.mlp.base(x)[0])
            tokens = block(tokens)
    return found


@torch.no_grad()
def test_load_and_gates_are_those_of_the_router_written_out(detector: Detector, study: ExpertStudy) -> None:
    network = detector.network
    seen = {sample: tokens_of(network, sample) for sample in readable()}
    assert study.places == tuple(network.bypasses)
    assert study.separate == ("expert 1 (rank 1)", "expert 2 (rank 2)", "expert 3 (rank 4)")
    for load in study.loads:
        members = [s for s in seen if s.label == load.label and load.generator in (None, s.generator)]
        assert load.images == len(members)
        gates = torch.cat(
            [F.softmax(seen[s][load.place][0] @ network.bypasses[load.place].router.T, -1) for s in members]
        )
        assert load.gate == pytest.approx(gates.mean(0).tolist(), abs=1e-5)
        shares = torch.bincount(gates.argmax(-1), minlength=3) / len(gates)
        assert load.load == pytest.approx(shares.tolist(), abs=1e-3)  # a tie may fall to either side


def test_every_class_and_generator_has_its_row_for_every_place(study: ExpertStudy) -> None:
    groups = [(load.label, load.generator) for load in study.loads if load.place == study.places[0]]
    assert groups == [(0, None), (0, "camera"), (0, "phone"), (1, None), (1, "dalle"), (1, "progan")]
    assert len(study.loads) == len(groups) * len(study.places)
    assert (study.images, study.unreadable) == (11, 1)
    for load in study.loads:
        assert sum(load.load) == pytest.approx(1)
        assert sum(load.gate) == pytest.approx(1)


def test_least_used_is_the_smallest_share_of_a_whole_class(study: ExpertStudy) -> None:
    load, expert = study.least_used
    assert load.generator is None
    assert load.load[expert] == min(min(each.load) for each in study.loads if each.generator is None)


@torch.no_grad()
def test_features_are_the_frozen_mlp_and_one_expert(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[np.ndarray] = []

    def keep(features: np.ndarray, *, seed: int) -> np.ndarray:
        kept.append(features)
        return features[:, :2]

    monkeypatch.setattr("aigdetect.evaluation.experts.tsne", keep)
    study = study_experts(detector, SAMPLES, load_views=view_of)
    assert [(each.place, each.expert) for each in study.maps] == [
        (place, name) for place in detector.network.bypasses for name in study.names
    ]
    assert study.names[0] == "shared (rank 2)"
    assert study.mapped == tuple((sample.generator, sample.label) for sample in readable())
    assert study.token == "class token"
    network = detector.network
    expected = {}
    for place in study.places:
        bypass = network.bypasses[place]
        pairs = [tokens_of(network, sample)[place] for sample in readable()]
        start = 0
        for name, rank in zip(study.names, bypass.config.ranks, strict=True):
            a, b = bypass.down[start : start + rank], bypass.up[:, start : start + rank]
            expected[place, name] = [(mlp[0] + b @ (a @ x[0])).tolist() for x, mlp in pairs]
            start += rank
    for each, features in zip(study.maps, kept, strict=True):
        np.testing.assert_allclose(features, expected[each.place, each.expert], atol=1e-4)


def test_a_study_leaves_no_trace_and_changes_no_logit(detector: Detector) -> None:
    views = [view_of(sample) for sample in readable()]
    before = detector.logits(views)
    study_experts(detector, SAMPLES, load_views=view_of)
    assert detector.logits(views) == before
    assert not collecting_routing()
    for block in detector.network.tower.blocks:
        assert not block.mlp._forward_hooks
        assert not getattr(block.mlp, "base", block.mlp)._forward_hooks
    assert not any(bypass._forward_hooks for bypass in detector.network.bypasses.values())


def test_hooks_are_gone_after_a_failure(detector: Detector) -> None:
    with pytest.raises(AssertionError, match="divisible"):
        study_experts(detector, SAMPLES, load_views=lambda sample: np.zeros((1, 7, 7, 3), dtype=np.uint8))
    assert not any(bypass._forward_hooks for bypass in detector.network.bypasses.values())


def test_the_same_study_twice(detector: Detector, study: ExpertStudy) -> None:
    again = study_experts(detector, SAMPLES, load_views=view_of, workers=1)
    assert again.loads == study.loads
    for one, other in zip(again.maps, study.maps, strict=True):
        assert np.array_equal(one.points, other.points)


def test_few_points_on_the_maps_fairly_chosen(detector: Detector) -> None:
    study = study_experts(detector, SAMPLES, load_views=view_of, points=8)
    fair = choose_images(SAMPLES, per_group=2)
    assert len(fair) == 8
    wanted = [sample for sample in readable() if sample in fair]
    assert study.mapped == tuple((sample.generator, sample.label) for sample in wanted)
    assert study.maps == ()  # under the least number of points


def test_progress_counts_every_image(detector: Detector) -> None:
    counted: list[None] = []
    study_experts(detector, SAMPLES, load_views=view_of, on_image=lambda: counted.append(None))
    assert len(counted) == len(SAMPLES)


def test_no_readable_image_is_an_error(detector: Detector) -> None:
    def torn(sample: Sample) -> Pixels:
        raise ImageError("torn")

    with pytest.raises(DataError, match="no image could be read"):
        study_experts(detector, SAMPLES, load_views=torn)
    with pytest.raises(DataError, match="no image could be read"):
        study_experts(detector, (), load_views=torn)


def without_experts(detector: Detector, tower: ImageTower, config: AdapterConfig) -> Detector:
    return Detector(
        MoleNetwork(tower, config),
        dataclasses.replace(detector.card, name="plain"),
        device=detector.device,
        precision="float32",
        batch_size=2,
        thresholds=detector.thresholds,
    )


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_model_without_separate_experts_is_refused(detector: Detector, blocks: int) -> None:
    from tiny import clip_tower

    from aigdetect.model.mole import MixtureConfig

    shared_only = AdapterConfig(blocks=blocks, mixture=MixtureConfig(shared_rank=2, expert_ranks=()))
    plain = without_experts(detector, clip_tower(), shared_only)
    assert has_experts(detector)
    assert not has_experts(plain)
    with pytest.raises(UsageError, match="plain: has no separate experts"):
        study_experts(plain, SAMPLES, load_views=view_of)


def test_attention_bypasses_have_loads_but_no_maps(detector: Detector) -> None:
    from tiny import clip_tower

    both = without_experts(
        detector, clip_tower(size=SIZE), AdapterConfig(blocks=1, modules=("attention", "mlp"))
    )
    study = study_experts(both, SAMPLES, load_views=view_of)
    assert study.places == tuple(
        f"block3_{place}"
        for place in ("attention_query", "attention_key", "attention_value", "attention_out", "mlp")
    )
    assert {load.place for load in study.loads} == set(study.places)
    assert {each.place for each in study.maps} == {"block3_mlp"}


def test_choice_is_per_generator_and_class_whatever_the_order(tmp_path: Path) -> None:
    samples = [
        Sample(f"/d/{g}/{i}", label, g, root="/d")
        for g, label in (("a", 0), ("a", 1), ("b", 1))
        for i in range(9)
    ]
    chosen = choose_images(samples, per_group=4)
    assert [(s.generator, s.label) for s in chosen] == [("a", 0)] * 4 + [("a", 1)] * 4 + [("b", 1)] * 4
    assert choose_images(samples[::-1], per_group=4) == chosen
    assert choose_images(samples, per_group=4, seed=1) != chosen
    assert len(choose_images(samples, per_group=100)) == len(samples)


def test_tsne_keeps_far_groups_apart() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=50, size=(3, 20))
    group = np.repeat(np.arange(3), 15)
    points = tsne(centres[group] + rng.normal(size=(45, 20)))
    assert points.shape == (45, 2)
    assert points.dtype == np.float32
    middle = np.stack([points[group == g].mean(0) for g in range(3)])
    nearest = np.linalg.norm(points[:, None] - middle, axis=-1).argmin(1)
    assert np.array_equal(nearest, group)


def test_tsne_of_equal_points_is_one_point() -> None:
    assert not tsne(np.ones((12, 4), dtype=np.float32)).any()


def test_tsne_of_two_points() -> None:
    assert np.isfinite(tsne(np.array([[0.0, 1.0], [1.0, 0.0]]))).all()
