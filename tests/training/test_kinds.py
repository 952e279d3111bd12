from __future__ import annotations

import numpy as np
import torch

from aigdetect.data.kinds import KINDS, kind_of
from aigdetect.data.layouts import Sample
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import AdapterConfig
from aigdetect.model.towers.vit import PlainVit, VitShape
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.training.distributed import ALONE
from aigdetect.training.head_start import Features
from aigdetect.training.kind_head import LEAST_IMAGES, fit_kinds, kinds_told


def network(*kinds: str) -> MoleNetwork:
    base = PlainVit(VitShape(16, patch_size=8, width=32, layers=4, heads=4, hidden=64, embed_dim=16))
    tower = wrap_tower(base, mean=(0.5,) * 3, std=(0.5,) * 3, name="stand-in")
    return MoleNetwork(tower, AdapterConfig(blocks=2), head_blocks=3, kinds=kinds).eval()


def test_words_of_data_sets() -> None:
    assert [kind_of(word) for word in ("photograph", "Old Photograph", "aerial", "meme", "painting")] == [
        "photograph",
        "photograph",
        "photograph",
        "screenshot",
        "drawing",
    ]
    assert kind_of("mixed") is None
    assert kind_of("") is None


def test_kinds_are_learnt_of_enough_images_and_only_if_there_are_several() -> None:
    faces = [Sample(f"{i}", 0, "a", kind="portrait") for i in range(LEAST_IMAGES)]
    scans = [Sample(f"s{i}", 0, "b", kind="scan") for i in range(LEAST_IMAGES)]
    assert kinds_told(faces) == ()
    assert kinds_told(faces + scans[1:]) == ()
    assert kinds_told(scans + faces) == ("face", "document")
    assert set(kinds_told(scans + faces)) <= set(KINDS)


def test_kinds_are_told_by_tokens_that_training_leaves_alone() -> None:
    made = network("photograph", "drawing", "document")
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, 240)
    words = ("photo", "painting", "scan", "mixed")
    samples = [Sample(f"{i}", 0, f"g{i % 5}", kind=words[kind]) for i, kind in enumerate(kinds)]
    rows = rng.normal(size=(240, 2, made.head.in_features))
    assert made.kinds is not None
    assert made.kinds.in_features == made.frozen_tokens * 32 == 32
    for kind in range(3):
        rows[kinds == kind, :, kind] += 4
    features = Features(torch.tensor(rows, dtype=torch.float32), torch.arange(240))
    fit_kinds(made, features, samples, ALONE)
    with torch.inference_mode():
        logits = made.kinds(features.rows[:, :, :32]).mean(dim=1)
    told = kinds < 3
    assert (logits.argmax(dim=1).numpy()[told] == kinds[told]).mean() > 0.97
    # whatever training does to the adapted blocks, the kind stays
    views = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        before = made.outputs(views)
        for bypass in made.bypasses.parameters():
            torch.nn.init.normal_(bypass, std=1.0)
        after = made.outputs(views)
    torch.testing.assert_close(after[:, 1:], before[:, 1:])
    assert float((after[:, 0] - before[:, 0]).abs().max()) > 1e-3


def test_what_tells_kinds_goes_into_the_file_and_takes_no_steps() -> None:
    made = network("photograph", "drawing")
    assert {"kinds.weight", "kinds.bias"} <= set(made.adapter_state())
    assert not {name for name in made.trainable() if name.startswith("kinds")}
    other = network("photograph", "drawing")
    other.load_adapter_state(made.adapter_state())
    assert made.kinds is not None
    assert other.kinds is not None
    assert torch.equal(other.kinds.weight, made.kinds.weight)
