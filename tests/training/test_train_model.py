from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_pairs import write_pair

from aigdetect.data import dataset
from aigdetect.data.dataset import copies_of_views
from aigdetect.data.layouts import Sample, find_samples
from aigdetect.errors import DataError, UsageError
from aigdetect.images.views import VIEWS
from aigdetect.methods.loading import load_detector
from aigdetect.metrics.ranking import card_figures
from aigdetect.model.card import read_card
from aigdetect.training import callbacks, head_fit, open_outputs
from aigdetect.training.callbacks import Step, Watch
from aigdetect.training.folds import leave_out, make_folds
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.starting_point import find_initial_model
from aigdetect.training.train_model import train_model

# a dozen held-out images support no false-positive rate, and loading such a model says so
pytestmark = pytest.mark.filterwarnings("ignore:.*too few for a false-positive rate")

SMALL = {
    "backbone": "timm/test_vit",
    "blocks": 2,
    "shared_rank": 2,
    "expert_ranks": [1, 2],
    "epochs": 3,
    "copies": 2,
    "batch_size": 8,
    "lr": 0.01,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes that differ in texture: generated images carry a checkerboard."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    board = 100 * (np.indices((64, 72)).sum(axis=0) // 4 % 2)[..., None]
    for kind, pattern in (("real", 0), ("fake", board)):
        for generator in ("one", "two"):
            folder = root / kind / f"{kind}_{generator}"
            folder.mkdir(parents=True)
            for index in range(15):
                base = rng.integers(0, 150, (1, 1, 3)) + rng.integers(0, 40, (64, 72, 3))
                Image.fromarray((base + pattern).astype(np.uint8)).save(folder / f"{index}.png")
    return root


def train(data: Path, folder: Path, weights: Path, watch: Watch | None = None, **settings: Any) -> Any:
    recipe = make_recipe(SMALL, settings)
    split = split_data([find_samples(data)], recipe)
    return train_model(split, recipe, folder, RunOptions("cpu", weights), watch=watch or Watch())


@pytest.fixture(scope="module")
def trained(data: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "small"
    train(data, folder, tiny_weights, epochs=8)
    return folder


def test_learns_and_writes_a_model_that_loads(trained: Path, tiny_weights: Path, data: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {"model.yaml", "adapter.safetensors", "training.sha256", "log.jsonl", "curves.png"}
    split = split_data([find_samples(data)], make_recipe(SMALL))
    learnt = {hashlib.sha256(Path(sample.path).read_bytes()).hexdigest() for sample in split.training}
    assert (trained / "training.sha256").read_text().split() == sorted(learnt)
    card = read_card(trained)
    assert card.name == "small"
    assert card.metrics["validation"]["auc"] > 0.95
    detector = load_detector(trained, weights=tiny_weights, device="cpu", precision="float32")
    real, fake = (detector.score(sorted((data / kind).rglob("*.png"))) for kind in ("real", "fake"))
    assert np.mean([s.logit for s in fake]) > np.mean([s.logit for s in real]) + 1


def test_the_card_tells_the_whole_story(trained: Path, tiny_weights: Path) -> None:
    card = read_card(trained)
    assert card.data["training"]["real"] == {"real_one": 12, "real_two": 12}
    assert card.data["validation"]["generated"] == {"fake_one": 3, "fake_two": 3}
    assert (card.calibration.real_count, card.calibration.generated_count) == (6, 6)
    assert make_recipe(card.recipe) == make_recipe(SMALL, {"epochs": 8})
    assert card.backbone_digest == load_detector(trained, weights=tiny_weights).card.backbone_digest


def test_the_log_holds_every_step_and_epoch(trained: Path) -> None:
    entries = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in entries if entry["type"] == "step"]
    assert [entry["step"] for entry in steps] == list(range(1, 49))
    for entry in steps:
        assert entry["loss"] == pytest.approx(entry["bce"] + 0.01 * entry["balance"], rel=1e-5)
        assert [len(load) for load in entry["load"]] == [2, 2]
        assert all(sum(load) == pytest.approx(1) for load in entry["load"])
    assert steps[-1]["lr"] < 0.1 * max(entry["lr"] for entry in steps)
    assert len([entry for entry in entries if entry["type"] == "epoch"]) == 8


def test_the_curves_are_a_picture(trained: Path) -> None:
    with Image.open(trained / "curves.png") as image:
        assert image.format == "PNG"
        assert len(image.convert("L").getcolors(256) or []) > 10


def adapter(folder: Path) -> bytes:
    return (folder / "adapter.safetensors").read_bytes()


def packed(data: Path, place: Path, form: str) -> Path:
    """The images of a folder as an archive or a list."""
    names = [sample.key for sample in find_samples(data).samples]
    if form.startswith("tar"):
        with tarfile.open(place, f"w:{form[4:]}") as archive:
            for name in names:
                archive.add(data / name, name)
    elif form == "jsonl":
        rows = [
            {"path": name, "label": name.split("/")[0], "generator": name.split("/")[1]} for name in names
        ]
        place = data / "list.jsonl"
        place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pa = pytest.importorskip("pyarrow", reason="TABLES OF IMAGES NOT TESTED: pyarrow is not installed")
        table = pa.table({"image": [(data / name).read_bytes() for name in names], "path": names})
        if form == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, place)
        else:
            with pa.OSFile(str(place), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
    return place


@pytest.mark.parametrize("form", ["tar", "tar.gz", "parquet", "arrow", "jsonl"])
def test_an_archive_gives_the_model_of_its_folder_bit_for_bit(
    data: Path, tiny_weights: Path, tmp_path: Path, form: str
) -> None:
    place = packed(data, data.with_name(f"{tmp_path.name}.{form}"), form)
    cards = []
    for name, root in (("folder", data), ("archive", place)):
        folder = tmp_path / name / "m"
        cards.append(train(root, folder, tiny_weights, epochs=1, copies=1, folds=2))
    assert adapter(tmp_path / "folder/m") == adapter(tmp_path / "archive/m")
    assert cards[0].as_dict() == cards[1].as_dict()


def test_the_same_seed_gives_the_same_file(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    for name, settings in (("a", {}), ("b", {}), ("c", {"seed": 1})):
        train(data, tmp_path / name, tiny_weights, **settings)
    assert adapter(tmp_path / "a") == adapter(tmp_path / "b")
    assert adapter(tmp_path / "a") != adapter(tmp_path / "c")


@pytest.mark.parametrize("blocks", [0, 2])
def test_cached_tokens_give_what_computing_them_gives(
    data: Path, tiny_weights: Path, tmp_path: Path, blocks: int
) -> None:
    for cache in ("memory", "disk", "none"):  # fewer copies than epochs: the epochs take them in turn
        train(data, tmp_path / cache, tiny_weights, cache=cache, copies=2, blocks=blocks)
    assert adapter(tmp_path / "memory") == adapter(tmp_path / "disk")
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / cache / "log.jsonl").read_text().splitlines()
            if "bce" in line
        ]
        for cache in ("memory", "none")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [
        "adapter.safetensors",
        "curves.png",
        "log.jsonl",
        "model.yaml",
        "training.sha256",
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"blocks": 0},
        {"modules": ["attention"]},
        {"modules": ["attention", "mlp"], "blocks": None},
        {"shared_rank": 0},
        {"expert_ranks": []},
        {"expert_ranks": [4], "alpha": 8},
        {"schedule": "constant"},
        {"symmetric": True},
        {"precision": "bfloat16"},
        {"balanced": True, "views": ["whole", "center_crop"], "copies": 2},
        {"head_blocks": 5},
        {"head_blocks": 1, "blocks": None, "head_penalty": 0.1},
        {"head_blocks": 5, "head_penalty": 0.1, "epochs": 0, "blocks": 0},
        {"head_blocks": 5, "head_penalty": 0.1, "head_kernel": "quadratic", "head_loss": "squares"},
        {"head_penalty": 0.1, "cache": "none", "copies": 2},
    ],
)
def test_every_variant_trains_and_loads(
    data: Path, tiny_weights: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    train(data, tmp_path / "m", tiny_weights, **{"epochs": 1, **settings})
    detector = load_detector(tmp_path / "m", weights=tiny_weights, device="cpu")
    assert len(detector.score([np.full((200, 200, 3), 9, dtype=np.uint8)])) == 1


def test_a_fitted_head_is_where_training_goes_on_from(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """Of an adapted and of a plain tower the same head is fitted; a step of no length changes nothing."""
    settings = {"head_blocks": 4, "head_penalty": 0.01, "views": ["center_crop", "whole"], "copies": 2}
    train(data, tmp_path / "probe", tiny_weights, **settings, epochs=0, blocks=0)
    train(data, tmp_path / "mixture", tiny_weights, **settings, epochs=1, lr=1e-12)
    probe, mixture = (load_file(tmp_path / name / "adapter.safetensors") for name in ("probe", "mixture"))
    assert set(probe) == {"head.weight", "head.bias"}
    for name, expected in probe.items():
        torch.testing.assert_close(mixture[name], expected, rtol=1e-4, atol=1e-5)
    assert read_card(tmp_path / "probe").metrics["validation"]["auc"] > 0.95
    log = (tmp_path / "mixture" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log if "auc" in line] == [0, 1]
    assert not (tmp_path / "probe" / "curves.png").exists()


def test_a_fitted_head_may_stay_while_the_experts_train(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    settings = {"head_blocks": 4, "head_penalty": 0.01, "plain_copy": True}
    train(data, tmp_path / "fitted", tiny_weights, **settings, epochs=0)
    train(data, tmp_path / "trained", tiny_weights, **settings, epochs=2, steps=7, head_rate=0.0)
    fitted, trained = (load_file(tmp_path / name / "adapter.safetensors") for name in ("fitted", "trained"))
    for name, before in fitted.items():
        same = torch.equal(trained[name], before)
        assert same == name.startswith("head"), name
    assert [step["step"] for step in told(tmp_path / "trained", "step")] == list(range(1, 8))
    assert told(tmp_path / "trained", "step")[-1]["lr"] < 0.1 * SMALL["lr"]


def test_views_with_weights_of_their_own(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    settings = {"head_penalty": 0.1, "head_blocks": 3, "views": ["center_crop", "whole"], "head_views": "own"}
    card = train(data, tmp_path / "m", tiny_weights, **settings, epochs=1, plain_copy=True)
    assert load_file(tmp_path / "m" / "adapter.safetensors")["head.weight"].shape == (2, 3 * 64)
    assert (card.adapter.head_views, card.preprocess.views) == ("own", ("center_crop", "whole"))
    detector = load_detector(tmp_path / "m", weights=tiny_weights, device="cpu", precision="float32")
    real, fake = (detector.score(sorted((data / kind).rglob("*.png"))) for kind in ("real", "fake"))
    assert np.mean([s.logit for s in fake]) > np.mean([s.logit for s in real]) + 1


def test_more_crops_in_a_scan_teach_nothing_and_are_calibrated_on(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    settings = {"head_penalty": 0.1, "head_blocks": 3, "head_views": "own", "epochs": 0, "folds": 2}
    few = train(data, tmp_path / "few", tiny_weights, views=["center_crop", "whole"], **settings)
    more = train(
        *(data, tmp_path / "more", tiny_weights),
        views=["center_crop", "top_left", "bottom_right", "whole"],
        scored_per_group=9,
        **settings,
    )
    assert more.adapter_sha256 == few.adapter_sha256
    assert more.metrics["out of fold"] != few.metrics["out of fold"]
    counts = [(card.calibration.real_count, card.calibration.generated_count) for card in (few, more)]
    assert counts == [(30, 30), (18, 18)]
    sample = min((data / "fake").rglob("*.png"))
    pixels = np.asarray(Image.open(sample))
    crops = ("center_crop", "top_left", "bottom_right")
    detectors = {
        name: load_detector(tmp_path / name, weights=tiny_weights, device="cpu", precision="float32")
        for name in ("few", "more")
    }
    network = detectors["few"].network
    with torch.inference_mode():
        views = {
            name: torch.from_numpy(VIEWS[name](pixels, few.preprocess.size))[None]
            for name in (*crops, "whole")
        }
        of_crops = [float(network(views[name], torch.tensor([0]))) for name in crops]
        of_whole = float(network(views["whole"], torch.tensor([1])))
    assert detectors["few"].score(sample)[0].logit == pytest.approx((of_crops[0] + of_whole) / 2, abs=1e-5)
    assert detectors["more"].score(sample)[0].logit == pytest.approx(
        (np.mean(of_crops) + of_whole) / 2, abs=1e-5
    )


def test_a_head_of_more_blocks_than_there_are_stops_before_any_work(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"head_blocks: 99 is not in 0\.\.\d+, the blocks of the tower"):
        train(data, tmp_path / "m", tiny_weights, head_blocks=99)
    assert not (tmp_path / "m").exists()


def told(folder: Path, kind: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["type"] == kind]


def test_micro_batches_change_nothing(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    for accumulate in (1, 4):
        train(data, tmp_path / str(accumulate), tiny_weights, accumulate=accumulate, balance_weight=1.0)
    losses = [[step["loss"] for step in told(tmp_path / name, "step")] for name in ("1", "4")]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_order_and_weights_do_not_depend_on_the_number_of_threads(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(SMALL, {"cache": "none", "balanced_batches": True, "epochs": 1})
    split = split_data([find_samples(data)], recipe)
    for workers in (1, 5):
        folder = tmp_path / str(workers)
        train_model(split, recipe, folder, RunOptions("cpu", tiny_weights, workers=workers))
    assert adapter(tmp_path / "1") == adapter(tmp_path / "5")


def test_patience_ends_a_run_and_the_best_weights_are_kept(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    """So high a learning rate spoils what the fitted head can do."""
    settings = {"head_penalty": 0.1, "lr": 3.0, "epochs": 9, "patience": 2, "schedule": "constant"}
    best = train(data, tmp_path / "best", tiny_weights, **settings, keep="best")
    last = train(data, tmp_path / "last", tiny_weights, **settings)
    epochs = told(tmp_path / "best", "epoch")
    assert epochs == told(tmp_path / "last", "epoch")
    values = [epoch["average_precision"] for epoch in epochs]
    at = values.index(max(values))
    assert len(values) == at + 3 < 10
    assert values[-1] < values[at]
    assert adapter(tmp_path / "best") != adapter(tmp_path / "last")
    # the images that have chosen the epoch calibrate nothing
    assert best.data["selection"] == {
        "real": {"real_one": 3, "real_two": 3},
        "generated": {"fake_one": 3, "fake_two": 3},
    }
    assert best.data["validation"] == {
        "real": {"real_one": 2, "real_two": 2},
        "generated": {"fake_one": 2, "fake_two": 2},
    }
    assert (best.calibration.real_count, best.calibration.generated_count) == (4, 4)
    assert best.metrics["validation"]["auc"] >= last.metrics["validation"]["auc"]


def test_an_epoch_is_chosen_by_origins_of_its_own() -> None:
    sizes = {(0, f"camera{i}"): 10 for i in range(6)} | {(1, f"gan{i}"): 8 for i in range(5)}
    images = [Sample(f"{name}/{i}", label, name) for (label, name), n in sizes.items() for i in range(n)]
    kept, chosen_by = leave_out(images, share=0.2, seed=0)
    names = [{sample.generator for sample in side} for side in (kept, chosen_by)]
    assert not names[0] & names[1]
    assert sorted([*kept, *chosen_by], key=repr) == sorted(images, key=repr)
    assert {sample.label for sample in chosen_by} == {0, 1}
    assert 10 <= len(chosen_by) <= 32


def test_generators_and_sources_are_held_out_by_name(data: Path) -> None:
    found = [find_samples(data)]
    split = split_data(found, make_recipe({"hold_out": ["fake_two"]}))
    held_out = Counter(sample.generator for sample in split.validation)
    # the other class has no group of its own: of that, the usual share of each source is
    assert held_out == {"fake_two": 15, "real_one": 3, "real_two": 3}
    assert "fake_two" not in {sample.generator for sample in split.training}
    assert len(split.training) + len(split.validation) == 60
    whole = split_data(found, make_recipe({"hold_out": ["fake_two", "real_one"], "keep": "best"}))
    assert Counter(sample.generator for sample in whole.validation) == {"fake_two": 15, "real_one": 15}
    assert {sample.generator for sample in whole.selection} == {"fake_one", "real_two"}
    with pytest.raises(UsageError, match="hold_out: no image to train on is of 'dalle'; there are fake_one"):
        split_data(found, make_recipe({"hold_out": ["dalle"]}))


def test_a_run_that_diverges_says_so(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"diverged; start anew with an lr below 1e\+30"):
        train(data, tmp_path / "m", tiny_weights, lr=1e30)


def test_held_out_images_that_cannot_be_kept_are_read_again(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(sample: Sample, copies: Sequence[int | None], **options: Any) -> Any:
        read.extend([sample.path] * (copies[0] is None))
        return copies_of_views(sample, copies, **options)

    monkeypatch.setattr(open_outputs, "copies_of_views", counted)
    kept = train(data, tmp_path / "kept", tiny_weights, cache="none")
    assert len(read) == 12
    read.clear()
    monkeypatch.setattr(open_outputs, "KEPT_BYTES", 0)
    again = train(data, tmp_path / "again", tiny_weights, cache="none")
    assert len(read) == 3 * 12
    np.testing.assert_allclose(again.calibration.real_logits, kept.calibration.real_logits, atol=2e-4)


def test_a_head_is_fitted_on_a_part_where_memory_holds_no_more(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    watch = Watch(stage=lambda name, total: seen.append((name, total)))
    settings = {"head_penalty": 0.1, "epochs": 0, "blocks": 0}
    for views, expected in ((200, 96), (50, 48), (20, 16)):
        monkeypatch.setattr(head_fit, "FIT_BYTES", views * 4 * 64)
        train(data, tmp_path / str(views), tiny_weights, watch, **settings)
        assert ("head on the frozen tower", expected) in seen


def test_unreadable_images_are_named_and_left_out(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    broken = copy / "real" / "real_one" / "3.png"
    broken.write_bytes(broken.read_bytes()[:100])
    warned: list[str] = []
    for cache in ("memory", "none"):
        warned.clear()
        steps: list[Step] = []
        train(
            copy, tmp_path / cache, tiny_weights, Watch(unread=warned.append, step=steps.append), cache=cache
        )
        assert len(steps) == 18
        assert all("3.png" in line for line in warned)
        assert warned
    for path in (copy / "fake").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        train(copy, tmp_path / "m", tiny_weights)


def test_a_data_set_with_its_own_validation_keeps_it(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "train")
    for path in sorted((tmp_path / "train").rglob("[0-3].png")):
        moved = tmp_path / "val" / path.relative_to(tmp_path / "train")
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    shutil.copy(tmp_path / "val/real/real_one/2.png", tmp_path / "train/real/real_two/99.png")
    found = find_samples(tmp_path)
    split = split_data([found], make_recipe())
    assert {sample.split for sample in split.training} == {"train"}
    assert {sample.split for sample in split.validation} == {"val"}
    assert (len(split.training), len(split.validation)) == (44, 16)
    # an image in both: what the data set holds out stays held out
    assert [copy.sample.key for copy in split.copies] == ["train/real/real_two/99.png"]
    assert [copy.original.key for copy in split.copies] == ["val/real/real_one/2.png"]


def test_a_data_set_that_holds_out_all_that_it_trains_on_is_refused(data: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(data)
    with pytest.raises(DataError, match="no image of one class is left to train on"):
        split_data([find_samples(tmp_path, follow_symlinks=True)], make_recipe())


@pytest.mark.parametrize("folds", [None, 2])
def test_one_image_under_several_names_is_split_as_one(data: Path, tmp_path: Path, folds: int | None) -> None:
    shutil.copytree(data, tmp_path / "nest")
    for path in sorted((tmp_path / "nest").rglob("*.png")):  # every image a second time, by copy or by link
        (shutil.copy if int(path.stem) % 2 else os.link)(path, path.with_name(f"copy-{path.name}"))
    (tmp_path / "link").symlink_to("nest")
    nested = [find_samples(tmp_path / name) for name in ("nest", "link")]
    recipe = make_recipe({"folds": folds, "seed": 3})
    split = split_data(nested, recipe)
    every = [*split.training, *split.validation]
    contents = [Path(sample.path).read_bytes() for sample in every]
    assert len(set(contents)) == len(contents) == 60
    assert len(split.copies) == 60 + 120
    if folds:
        for fold in make_folds(split.training, [None] * 60, folds, seed=3):
            sides = [{contents[index] for index in side.tolist()} for side in (fold.kept, fold.left_out)]
            assert not sides[0] & sides[1]
    # without copies, the same images are held out as ever
    plain = split_data([find_samples(data)], recipe)
    assert not plain.copies


def test_samples_are_drawn_uniformly_and_can_be_too_many(data: Path) -> None:
    found = [find_samples(data)]
    few = split_data(found, make_recipe({"samples": 10}))
    assert len(few.training) == 10
    assert set(few.training) <= set(split_data(found, make_recipe()).training)
    with pytest.raises(UsageError, match="samples: 100 is more than the 48"):
        split_data(found, make_recipe({"samples": 100}))


def test_figures_are_computed_once_an_epoch(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, seen = [], []

    def counted(labels: Sequence[int], logits: Sequence[float]) -> dict[str, float | None]:
        calls.append(len(logits))
        return card_figures(labels, logits)

    monkeypatch.setattr(callbacks, "card_figures", counted)
    watch = Watch(epoch=lambda epoch: seen.append(epoch.metrics))
    card = train(data, tmp_path / "m", tiny_weights, watch)
    assert calls == [12] * 3
    entries = [json.loads(line) for line in (tmp_path / "m/log.jsonl").read_text().splitlines()]
    logged = [entry for entry in entries if entry["type"] == "epoch"]
    assert logged == [{"type": "epoch", "epoch": i + 1, **metrics} for i, metrics in enumerate(seen)]
    assert card.metrics["validation"] == seen[-1]


def test_thresholds_of_next_to_nothing_are_warned_of_and_give_no_verdict(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    warned: list[str] = []
    train(data, tmp_path / "m", tiny_weights, Watch(warn=warned.append), epochs=1)
    assert [line.partition(" (worth")[0] for line in warned] == [
        "calibrated on 6 real images",
        "calibrated on 6 generated images",
    ]
    assert "too few for a false-positive rate of 0.01: no verdict is ai" in warned[0]
    assert "too few for a false-negative rate of 0.05: no verdict is real" in warned[1]
    detector = load_detector(tmp_path / "m", weights=tiny_weights, device="cpu")
    scored = detector.score(sorted(data.rglob("*.png")))
    assert {score.verdict for score in scored} == {"uncertain"}


def test_the_folder_must_be_one(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        train(data, tmp_path / "file" / "model", tiny_weights)


def test_more_blocks_than_the_backbone_has_stops_before_any_work(
    data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="blocks: 99 is more than"):
        train(data, tmp_path / "m", tiny_weights, blocks=99)
    assert not (tmp_path / "m").exists()


def test_recipe_precision_is_what_was_used(trained: Path) -> None:
    assert read_card(trained).recipe["precision"] == "float32"
    assert replace(make_recipe(SMALL), precision="auto").precision == "auto"


def test_a_run_goes_on_from_a_trained_model(
    trained: Path, data: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for path in sorted(data.rglob("*.png")):  # other images, some of them known
        kept = other / path.relative_to(data)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            (image if path.stem == "3" else image.rotate(180)).save(kept)
    initial = find_initial_model(str(trained))
    tuned = make_recipe(initial.settings(), {"epochs": 1, "lr": 1e-12, "precision": "float32", "seed": 5})
    plain = make_recipe(SMALL, {"epochs": 1, "lr": 1e-12, "seed": 5})
    warned: list[str] = []
    for name, recipe, begun in (("plain", plain, None), ("tuned", tuned, initial)):
        split = split_data([find_samples(other)], recipe)
        options = RunOptions("cpu", tiny_weights, cache_folder=tmp_path / f"{name} tables")
        watch = Watch(warn=warned.append)
        train_model(split, recipe, tmp_path / name, options, initial=begun, watch=watch)
    before, after = (load_file(folder / "adapter.safetensors") for folder in (trained, tmp_path / "tuned"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-6)
    card = read_card(tmp_path / "tuned")
    assert card.recipe["initial"] == card.data["from"]["adapter"] == read_card(trained).adapter_sha256
    learnt = [
        set((folder / "training.sha256").read_text().split()) for folder in (trained, tmp_path / "tuned")
    ]
    assert len(learnt[0]) == 48
    assert learnt[0] < learnt[1]
    assert len(learnt[1]) > 80
    known = sum(split.contents[sample.path].hex() in learnt[0] for sample in split.validation)
    told = [line for line in warned if "small has learnt" in line]
    assert told == [
        f"small has learnt {known} of the 12 images held out: thresholds and figures come out too good"
    ]
    # what is kept of the frozen tower is the same, whatever a run begins with
    rows = [
        sorted(path.read_bytes() for path in (tmp_path / f"{name} tables").rglob("*.rows"))
        for name in ("plain", "tuned")
    ]
    assert rows[0] == rows[1]
    assert rows[0]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"blocks": 1}, "blocks: 1 is not the 2 of small, which the run begins with"),
        ({"views": ["whole"]}, r"views: \['whole'\] is not the \['center_crop'\] of small"),
        ({"head_penalty": 0.1}, "head_penalty: a head that is fitted anew throws away that of small"),
        ({"initial": "0" * 64}, "initial: 0000"),
    ],
)
def test_a_recipe_for_another_model_than_the_run_begins_with(
    trained: Path, settings: dict[str, Any], named: str
) -> None:
    initial = find_initial_model(str(trained))
    with pytest.raises(UsageError, match=named):
        initial.require_fit(make_recipe(initial.settings(), settings))


def test_validation_has_data_of_its_own(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for kind, source in (("real", "real_one"), ("fake", "fake_two")):
        shutil.copytree(data / kind / source, own / kind / f"new_{kind}")
    (own / "real/new_real/0.png").unlink()
    recipe = make_recipe(SMALL)
    split = split_data([find_samples(data)], recipe, validation_data=[find_samples(own)])
    assert {sample.generator for sample in split.validation} == {"new_real", "new_fake"}
    assert len(split.validation) == 29
    # all of the rest is learnt, but what is there to validate on
    assert Counter(sample.generator for sample in split.training) == {
        "real_one": 1,
        "real_two": 15,
        "fake_one": 15,
    }
    assert len(split.shared_copies()) == 29
    card = train_model(split, recipe, tmp_path / "m", RunOptions("cpu", tiny_weights))
    assert card.data["validation data"] == {
        "folders": [str(own)],
        "left out of training": 29,
        "trained on, too": [],
    }
    assert card.data["validation"] == {"real": {"new_real": 14}, "generated": {"new_fake": 15}}
    assert (card.calibration.real_count, card.calibration.generated_count) == (14, 15)


def test_data_to_validate_on_beside_folds_groups_and_splits(data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for split in ("train", "val"):
        for kind in ("real", "fake"):
            folder = own / split / kind / "new"
            folder.mkdir(parents=True)
            for index in range(4):
                (folder / f"{index}.png").write_bytes(f"{split} {kind} {index}".encode())
    found, beside = [find_samples(data)], {"validation_data": [find_samples(own)]}
    with pytest.raises(UsageError, match="folds: with them the model is calibrated on the images that it"):
        split_data(found, make_recipe({"folds": 2}), **beside)
    held = split_data(found, make_recipe({"hold_out": ["fake_one"], "keep": "best"}), **beside)
    assert Counter(sample.generator for sample in held.validation) == {"new": 8, "fake_one": 15}
    assert {sample.split for sample in held.validation if sample.generator == "new"} == {"val"}
    chosen_by = Counter(sample.label for sample in held.selection)
    assert chosen_by[0] >= 1
    assert chosen_by[1] >= 1
    assert len(held.training) + len(held.selection) == 45
    # a split val of the data to learn from is not learnt, and not validated on
    named = split_data([find_samples(own)], make_recipe({}), validation_data=found)
    assert {sample.split for sample in named.training} == {"train"}
    assert len(named.training) == 8
    assert {sample.root for sample in named.validation} == {str(data)}
    shutil.rmtree(own / "val" / "fake")
    with pytest.raises(DataError, match=r"only real images found in .*own'?: validation needs both classes"):
        split_data(found, make_recipe({}), validation_data=[find_samples(own)])


def test_the_data_to_learn_from_is_no_data_to_validate_on(data: Path) -> None:
    found = [find_samples(data)]
    with pytest.raises(DataError, match="no image of one class is left to train on"):
        split_data(found, make_recipe({}), validation_data=found)


def test_every_image_is_hashed_once(
    data: Path, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()

    def counted(sample: Sample) -> bytes:
        read[sample.path] += 1
        return Path(sample.path).read_bytes()

    monkeypatch.setattr(dataset, "load_bytes", counted)
    train(data, tmp_path / "m", tiny_weights)
    assert len(read) == 60
    assert set(read.values()) == {2}  # to tell copies apart, and to decode


def test_an_image_that_changes_meanwhile_is_left_out(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    recipe = make_recipe(SMALL)
    split = split_data([find_samples(copy)], recipe)
    changed = split.training[0].path
    shutil.copy(split.training[1].path, changed)
    warned: list[str] = []
    watch = Watch(unread=warned.append)
    train_model(split, recipe, tmp_path / "m", RunOptions("cpu", tiny_weights), watch=watch)
    assert warned == [f"training image left out: {changed}: changed since the run began"]


def test_a_run_does_not_go_on_with_other_decoders(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(step: Step) -> None:
        raise StopError

    pairs = tmp_path / "pairs"
    write_pair(pairs, "tae", seed=0)
    recipe = make_recipe(SMALL, {"aligned": [str(pairs)], "aligned_images": 2})
    split = split_data([find_samples(data)], recipe)
    options = RunOptions("cpu", tiny_weights)
    with pytest.raises(StopError):
        train_model(split, recipe, tmp_path / "m", options, watch=Watch(step=stop))
    resumed = replace(options, resume=True)
    for finished in (False, True):
        write_pair(pairs, "tae", seed=1)
        with pytest.raises(UsageError, match="was begun on other decoders than those given now"):
            train_model(split, recipe, tmp_path / "m", resumed)
        write_pair(pairs, "tae", seed=0)
        card = train_model(split, recipe, tmp_path / "m", resumed)
        assert len(card.data["decoders"]) == 64, finished
